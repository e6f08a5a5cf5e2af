//! Backoff after failures: longer each time, and never the same for two threads.

use std::time::Duration;

/// Exponential backoff with equal jitter: half of the wait is fixed, half is random.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max, next: first }
    }

    /// The wait after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.max);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Resets it after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(300));
        for upper in [100, 200, 300, 300] {
            let pause = backoff.pause();
            assert!((ms(upper / 2)..=ms(upper)).contains(&pause), "{pause:?} of {upper}");
        }
        backoff.reset();
        assert!(backoff.pause() <= ms(100));
    }
}
