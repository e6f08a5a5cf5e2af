//! `memory_limit`: sizes as people write them, and what fits into one.

use super::{Config, Input, Output};
use crate::limits::Crew;

/// Bytes of a written size. Decimal units are powers of 1000, binary ones of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size in the largest binary unit that leaves at least one: `4.0 GiB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        // Tenths by integers: no rounding up to the next unit.
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// Threads of a queue beside its receivers: leases, settling, depth, and turns of a FIFO queue.
const THREADS_PER_QUEUE: usize = 4;
/// Threads of the program whatever it is to do: main, signals, ledger, statistics, status page, own events, live view,
/// and the first connections of the status page.
const THREADS_ALWAYS: usize = 12;

impl Config {
    /// The threads and connections that it asks for.
    pub fn crew(&self) -> Crew {
        let per_queue = |input: &Input| input.receivers + 1;
        Crew {
            others: THREADS_ALWAYS + (THREADS_PER_QUEUE - 1) * self.inputs.len(),
            callers: self.inputs.iter().map(per_queue).sum::<usize>() + self.sources.len(),
            fetchers: self.globals.fetchers,
            workers: self.globals.workers,
            senders: self.outputs.iter().map(Output::connections).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bytes_decimal_and_binary_units() {
        assert_eq!(parse_size("67108864"), Some(67_108_864));
        assert_eq!(parse_size("256MiB"), Some(256 << 20));
        assert_eq!(parse_size(" 4 GiB "), Some(4 << 30));
        assert_eq!(parse_size("2GB"), Some(2_000_000_000));
        assert_eq!(parse_size("2gb"), Some(2_000_000_000));
        for bad in ["", "GiB", "4G", "1.5GiB", "-1", "99999999999999999999", "99999999TiB", "4GiBs", "é"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn writes_what_people_read() {
        assert_eq!(format_size(4 << 30), "4.0 GiB");
        assert_eq!(format_size((1 << 30) - 1), "1023.9 MiB");
        assert_eq!(format_size(5), "5 bytes");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", number in 0_u64..1 << 20) {
            let _ = parse_size(&text);
            proptest::prop_assert_eq!(parse_size(&format!("{number}MiB")), Some(number << 20));
        }
    }
}
