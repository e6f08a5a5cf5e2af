//! Durations in the configuration: `90`, `90s`, `30m`, `6h`, `14d`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::kind::Kind;
use super::node::Mapping;
use crate::base::text::span;

const ADVICE: &str =
    "write a whole number with a unit: 90s, 30m, 6h or 14d; without a unit it counts seconds";

/// Reads the value of a key. None if it is absent, or invalid, which is reported.
pub(super) fn read(
    keys: &Mapping<'_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let text = keys.string(key)?;
    let Some(duration) = parse(&text) else {
        let message = format!("{text:?} is not a duration");
        keys.report.error(Kind::Invalid, keys.path_of(key), message, ADVICE);
        return None;
    };
    if !range.contains(&duration) {
        let bounds = format!("allowed: {} to {}", span(*range.start()), span(*range.end()));
        keys.report.error(Kind::OutOfRange, keys.path_of(key), format!("{text} is out of range"), bounds);
        return None;
    }
    Some(duration)
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let seconds = match text[end..].trim_start() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(text[..end].parse::<u64>().ok()?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let seconds = |text: &str| parse(text).map(|duration| duration.as_secs());
        assert_eq!([seconds("90"), seconds("90s"), seconds("30m")], [Some(90), Some(90), Some(1800)]);
        assert_eq!([seconds("6h"), seconds(" 14 d ")], [Some(21_600), Some(1_209_600)]);
        for bad in ["", "h", "-1h", "1.5h", "1w", "1h30m", "99999999999999999999d", "é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
