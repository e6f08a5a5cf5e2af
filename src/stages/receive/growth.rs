//! The growth of a queue's dead letters. The code is pure: time is an argument.

use std::time::Instant;

use crate::base::limits::DEAD_LETTERS_NEWS;

/// The history of a count that SQS estimates: it may be slightly off, and correct at the next reading.
#[derive(Debug, Default)]
pub struct Growth {
    /// The baseline for growth.
    level: Option<u64>,
    /// The last count, if it was below the baseline.
    below: Option<u64>,
    /// Growth that is news, and the time of the latest increase.
    news: Option<(u64, Instant)>,
}

impl Growth {
    /// Takes a count. Returns the recent growth: 0 if that is no longer news.
    pub fn look(&mut self, count: u64, now: Instant) -> u64 {
        let level = self.level.unwrap_or(count);
        if count > level {
            let before = self.grown(now);
            self.news = Some((before + count - level, now));
        }
        // Twice in a row below the baseline, it has decreased: they were redriven or purged.
        let lower = self.below.filter(|_| count < level).map(|below| below.min(count));
        let rest = lower.map_or(0, |lower| count - lower);
        if rest > 0 {
            self.news = Some((self.grown(now) + rest, now));
        }
        self.below = (count < level && lower.is_none()).then_some(count);
        self.level = Some(if lower.is_some() { count } else { level.max(count) });
        self.grown(now)
    }

    fn grown(&self, now: Instant) -> u64 {
        let is_news = |at: Instant| now.saturating_duration_since(at) < DEAD_LETTERS_NEWS;
        self.news.filter(|(_, at)| is_news(*at)).map_or(0, |(grown, _)| grown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The growth reported at each of these readings, half a minute apart.
    fn told(counts: &[u64]) -> Vec<u64> {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let looks = (0u32..).zip(counts);
        looks.map(|(number, count)| growth.look(*count, start + number * Duration::from_secs(30))).collect()
    }

    #[test]
    fn growth_is_told_and_what_was_there_before_is_not() {
        assert_eq!(told(&[5, 5, 7, 7, 8]), [0, 0, 2, 2, 3]);
    }

    #[test]
    fn an_estimate_that_was_off_once_is_no_growth() {
        assert_eq!(told(&[5, 4, 5, 5, 0, 5]), [0; 6]);
    }

    #[test]
    fn after_a_redrive_the_first_new_one_counts() {
        assert_eq!(told(&[5, 0, 0, 1]), [0, 0, 0, 1]);
        assert_eq!(told(&[5, 0, 1, 1]), [0, 0, 1, 1]);
    }

    #[test]
    fn it_is_news_for_a_while() {
        let looks = DEAD_LETTERS_NEWS.as_secs() as usize / 30;
        let told = told(&[&[0, 3], [3].repeat(looks).as_slice()].concat());
        assert_eq!((told[1], told[looks], told[looks + 1]), (3, 3, 0));
    }
}
