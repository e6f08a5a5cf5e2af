//! The key `memory_limit`: sizes as people write them, and what fits into one.

use super::kind::Kind;
use super::problem::Report;
use crate::base::limits;
use crate::base::limits::Crew;
use crate::settings::{Config, Input, Output};

/// Parses a size. Decimal units are powers of 1,000, binary ones of 1,024.
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

/// Formats a size in the largest binary unit that leaves at least one: `4.0 GiB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        // Tenths by integers, so that nothing rounds up to the next unit.
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// Threads of a queue besides its receivers: leases, settling, depth, and turns of a FIFO queue.
const THREADS_PER_QUEUE: usize = 4;
/// Threads of the program for any configuration: main, signals, ledger, statistics, status page, internal events, live
/// view, and the first connections of the status page.
const THREADS_ALWAYS: usize = 12;

impl Config {
    /// The configured threads and connections.
    pub fn crew(&self) -> Crew {
        self.crew_of(usize::MAX)
    }

    /// The crew with at most this many threads of each kind, but at least one per queue and output.
    fn crew_of(&self, each_max: usize) -> Crew {
        let (receivers_max, senders_max) = self.shares_of(each_max);
        let per_queue = |input: &Input| input.receivers.min(receivers_max) + 1;
        let senders = |output: &Output| output.senders_of(output.senders.min(senders_max));
        Crew {
            queues: self.inputs.len(),
            others: THREADS_ALWAYS + (THREADS_PER_QUEUE - 1) * self.inputs.len(),
            callers: self.inputs.iter().map(per_queue).sum::<usize>() + self.sources.len(),
            sources: self.sources.len(),
            fetchers: self.globals.fetchers.min(each_max),
            workers: self.globals.workers.min(each_max),
            senders: self.outputs.iter().map(senders).sum(),
            endings: self.outputs.iter().map(|output| output.endings_of(senders(output))).sum(),
            spares: self.outputs.iter().map(|output| output.spares).sum(),
            spare_endings: self.outputs.iter().map(|output| output.endings_of(output.spares)).sum(),
        }
    }

    /// Receivers per queue and senders per output, if this many of all are allowed.
    fn shares_of(&self, each_max: usize) -> (usize, usize) {
        let share = |count: usize| (each_max / count.max(1)).max(1);
        (share(self.inputs.len()), share(self.outputs.len()))
    }

    /// Lowers the numbers of threads, the largest first, until they fit `memory_limit` with room to work in, and then those
    /// of senders that stand by.
    pub(super) fn fit_memory(&mut self, is_limit_written: bool, memory: u64, report: &Report) {
        let spares: Vec<usize> =
            self.outputs.iter_mut().map(|output| std::mem::take(&mut output.spares)).collect();
        self.fit_threads(is_limit_written, memory, report);
        for (at, wanted) in spares.into_iter().enumerate() {
            self.fit_spares(at, wanted);
        }
    }

    /// Lets as many of an output's senders stand by as leave an eighth of `memory_limit` above the least.
    fn fit_spares(&mut self, at: usize, wanted: usize) {
        let most = self.globals.memory_limit / 8 * 7;
        for spares in (0..=wanted).rev() {
            self.outputs[at].spares = spares;
            if self.crew().memory_limit_min() <= most {
                break;
            }
        }
    }

    /// A default limit is raised first, as far as the machine's memory allows.
    fn fit_threads(&mut self, is_limit_written: bool, memory: u64, report: &Report) {
        let needed = self.crew().memory_limit_min();
        if !is_limit_written {
            self.globals.memory_limit = self.globals.memory_limit.max(needed.min(memory));
        }
        let limit = self.globals.memory_limit;
        if needed <= limit {
            return;
        }
        let fits = |each_max: &usize| self.crew_of(*each_max).memory_limit_min() <= limit;
        let most = limits::THREADS_MAX.max(limits::RECEIVERS_MAX * self.inputs.len());
        match (1..most).rev().find(fits) {
            Some(each_max) => self.lower_threads(each_max, needed, report),
            None => {
                let least = format_size_up(self.crew_of(1).memory_limit_min());
                let message = format!(
                    "{} is too little for {} inputs, even with one thread of each kind",
                    format_size(limit),
                    self.inputs.len() + self.sources.len()
                );
                let advice = format!("write at least {least}, or move some inputs to another collector");
                report.error(Kind::OutOfRange, "globals.memory_limit", message, advice);
            }
        }
    }

    fn lower_threads(&mut self, each_max: usize, needed: u64, report: &Report) {
        let (receivers_max, senders_max) = self.shares_of(each_max);
        let Config { globals, inputs, outputs, .. } = self;
        let limit = format_size(globals.memory_limit);
        let lower = |path: String, count: &mut usize, most: usize| {
            if *count > most {
                let message =
                    format!("{count} do not fit a memory_limit of {limit}, so {most} will be started");
                let advice = format!(
                    "raise \"memory_limit\" to {} for all configured threads, or configure fewer",
                    format_size_up(needed)
                );
                report.warning(Kind::OutOfRange, path, message, advice);
                *count = most;
            }
        };
        lower("globals.fetchers".to_owned(), &mut globals.fetchers, each_max);
        lower("globals.workers".to_owned(), &mut globals.workers, each_max);
        for output in outputs {
            lower(format!("outputs.{}.config.senders", output.name), &mut output.senders, senders_max);
        }
        // One warning for all queues: hundreds would hide the rest.
        if let Some(first) = inputs.iter_mut().find(|input| input.receivers > receivers_max) {
            lower(format!("inputs.{}.receivers", first.key), &mut first.receivers, receivers_max);
        }
        inputs.iter_mut().for_each(|input| input.receivers = input.receivers.min(receivers_max));
    }
}

/// Rounds up to a size that can be written in the file.
fn format_size_up(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(limits::MIB as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

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

    const FILE: &str = r#"
        globals: {id: "1", memory_limit: LIMIT, fetchers: 500, workers: 2}
        outputs: {relay: {type: relay, config: {address: h, port: 1, type: TCP, senders: SENDERS, confirmation: acknowledgement}}}
        inputs: {INPUTS}"#;

    fn load(limit: &str, senders: usize, inputs: usize) -> Result<config::Loaded, config::Problems> {
        let input = |number| {
            format!(
                r#"sqs_collector_{number}: {{id: "{number}", base_url: "https://sqs.us-east-1.amazonaws.com/111111111111/q{number}", services: {{aws_sqs_vpc: {{}}}}}}"#
            )
        };
        let inputs = (0..inputs).map(input).collect::<Vec<_>>().join(", ");
        let text =
            FILE.replace("LIMIT", limit).replace("SENDERS", &senders.to_string()).replace("INPUTS", &inputs);
        config::parse(&text, std::path::Path::new(""), &config::Environment::here())
    }

    #[test]
    fn threads_that_do_not_fit_are_lowered_in_words_the_largest_first() {
        let loaded = load("64MiB", 256, 1).unwrap();
        let globals = &loaded.config.globals;
        let (fetchers, senders) = (globals.fetchers, loaded.config.outputs[0].senders);
        assert_eq!((fetchers, globals.workers), (senders, 2), "the small number is left alone");
        assert!((4..100).contains(&fetchers), "{fetchers}");
        assert!(loaded.config.crew().memory_limit_min() <= globals.memory_limit);
        for path in ["globals.fetchers", "outputs.relay.config.senders"] {
            let warning = loaded.warnings.iter().find(|problem| problem.path == path).unwrap();
            assert!(warning.message.contains(&format!("so {fetchers} will be started")), "{warning}");
            assert!(warning.advice.contains("memory_limit"), "{warning}");
        }
    }

    #[test]
    fn receivers_of_many_queues_are_lowered_before_the_few_fetchers() {
        let mut config = load("1GiB", 2, 200).unwrap().config;
        (config.globals.fetchers, config.globals.memory_limit) = (8, 256 << 20);
        let report = Report::default();
        config.fit_memory(true, u64::MAX, &report);
        assert_eq!(
            (config.globals.fetchers, config.outputs[0].senders, config.inputs[7].receivers),
            (8, 2, 1)
        );
        assert_eq!(report.into_problems().len(), 1);
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let loaded = load("1GiB", 256, 1).unwrap();
        assert_eq!((loaded.config.globals.fetchers, loaded.config.outputs[0].senders), (500, 256));
        assert!(loaded.warnings.iter().all(|problem| !problem.message.contains("memory_limit")));
    }

    #[test]
    fn senders_stand_by_as_far_as_memory_allows() {
        let spares = |limit| {
            let mut config = load(limit, 2, 1).unwrap().config;
            (config.globals.fetchers, config.outputs[0].spares) = (8, 200);
            config.fit_memory(true, u64::MAX, &Report::default());
            (config.outputs[0].senders, config.outputs[0].spares, config.crew().memory_limit_min())
        };
        let (senders, some, needed) = spares("128MiB");
        assert!(senders == 2 && (1..200).contains(&some) && needed <= 112 << 20, "{some} {needed}");
        assert_eq!(spares("1GiB").1, 200);
    }

    #[test]
    fn inputs_that_cannot_fit_are_refused_with_the_limit_that_they_need() {
        let problems = load("64MiB", 1, 200).unwrap_err();
        let problem = problems.0.iter().find(|problem| problem.path == "globals.memory_limit").unwrap();
        let (_, from) = problem.advice.split_once("at least ").unwrap();
        let least = &from[..from.find(',').unwrap()];
        assert!(load(least, 1, 200).is_ok(), "{problem}");
    }

    #[test]
    fn a_limit_that_nobody_wrote_is_raised_to_what_the_inputs_need() {
        let mut config = load("64MiB", 1, 1).unwrap().config;
        config.globals.workers = 100;
        let (needed, report) = (config.crew().memory_limit_min(), Report::default());
        config.fit_memory(false, u64::MAX, &report);
        assert_eq!((config.globals.memory_limit, config.globals.workers), (needed, 100));
        assert!(report.into_problems().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", number in 0_u64..1 << 20) {
            let _ = parse_size(&text);
            proptest::prop_assert_eq!(parse_size(&format!("{number}MiB")), Some(number << 20));
        }
    }
}
