//! Finds the bottleneck: which stage holds up the others, and what to change.
//!
//! Pure. A stage waits for the one before it (it has nothing to do) or for the one after it (that one is too slow). The
//! search starts at the end: the bottleneck is the first stage that the others wait for.

use std::time::Duration;

use crate::telemetry::Waits;

/// Busy share of a stage's threads from which it counts as saturated.
const BUSY: f64 = 0.85;
/// Waiting share of a stage's threads from which it counts as held up by another.
const HELD_UP: f64 = 0.25;
/// Busy share of all cores from which they count as saturated.
const CORES_BUSY: f64 = 0.9;

/// The input of the verdict.
#[derive(Debug)]
pub struct Run<'a> {
    pub waits: &'a Waits,
    pub wall: Duration,
    pub workers: usize,
    pub fetchers: usize,
    pub senders: usize,
    pub cores: usize,
    /// Busy share of all cores' time, with the collector, the stand-ins or others.
    pub cores_busy: f64,
}

/// The bottleneck of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `senders`, `network`, `confirmation`, `workers`, `memory`, `s3`, `queue` or `cores`.
    pub bottleneck: &'static str,
    /// The evidence for it.
    pub because: String,
    pub advice: &'static str,
}

/// Share of a stage's total thread time that each wait took.
#[derive(Debug, Clone, Copy)]
struct Shares {
    sender_starved: f64,
    sender_socket: f64,
    sender_confirmation: f64,
    worker_busy: f64,
    worker_senders: f64,
    fetcher_memory: f64,
    fetcher_s3: f64,
    fetcher_starved: f64,
}

impl Run<'_> {
    pub fn verdict(&self) -> Verdict {
        let shares = self.shares();
        let verdict = self.held_up(&shares);
        if self.cores_busy < CORES_BUSY {
            return verdict;
        }
        Verdict {
            bottleneck: "cores",
            because: format!(
                "the {} cores are busy {} of the time, the test bed and other programs included; {}",
                self.cores,
                percent(self.cores_busy),
                verdict.because
            ),
            advice: "more threads do not help; a machine with more cores does, or a second host on the same queue",
        }
    }

    fn held_up(&self, shares: &Shares) -> Verdict {
        let verdict = |bottleneck, because, advice| Verdict { bottleneck, because, advice };
        let sender_busy = 1.0 - shares.sender_starved;
        if shares.worker_senders >= HELD_UP || sender_busy >= BUSY {
            let because = format!(
                "senders have something to send {} of the time, workers wait for them {}",
                percent(sender_busy),
                percent(shares.worker_senders)
            );
            let full = |what, share| format!("{because}; {} of it the {what} is full", percent(share));
            return if shares.sender_confirmation >= HELD_UP {
                let advice = "raise `max_senders`, or `memory_limit` if it bounds their windows";
                verdict("confirmation", full("window", shares.sender_confirmation), advice)
            } else if shares.sender_socket >= HELD_UP {
                let advice = "the network or the peer takes no more: raise `max_senders`; if that does not help, it is the limit";
                verdict("network", full("socket", shares.sender_socket), advice)
            } else {
                verdict("senders", because, "raise `max_senders`")
            };
        }
        let busy = shares.worker_busy - shares.worker_senders;
        if busy >= BUSY {
            return verdict(
                "workers",
                format!("workers are busy {} of the time", percent(busy)),
                "raise `workers`",
            );
        }
        if shares.fetcher_memory >= HELD_UP {
            let because = format!("fetchers wait for memory {} of the time", percent(shares.fetcher_memory));
            return verdict("memory", because, "raise `memory_limit`, or `workers` if there are idle cores");
        }
        if shares.fetcher_s3 >= shares.fetcher_starved {
            let because = format!("fetchers wait for S3 {} of the time", percent(shares.fetcher_s3));
            return verdict("s3", because, "raise `fetchers`");
        }
        let because =
            format!("fetchers have nothing to fetch {} of the time", percent(shares.fetcher_starved));
        verdict("queue", because, "messages do not arrive fast enough: raise the input's `receivers`")
    }

    fn shares(&self) -> Shares {
        let waits = self.waits;
        let share = |time: Duration, threads| (time.as_secs_f64() / self.seconds(threads)).min(1.0);
        Shares {
            sender_starved: share(waits.send_batches.total(), self.senders),
            sender_socket: share(waits.send_socket.total(), self.senders),
            sender_confirmation: share(waits.send_confirmation.total(), self.senders),
            worker_busy: share(waits.work_payloads.total(), self.workers),
            worker_senders: share(waits.work_senders.total(), self.workers),
            fetcher_memory: share(waits.fetch_memory.total(), self.fetchers),
            fetcher_s3: share(waits.fetch_s3.total(), self.fetchers),
            // The remaining waits: a wait that has not ended yet is in no sum.
            fetcher_starved: 1.0
                - share(
                    waits.fetch_memory.total() + waits.fetch_s3.total() + waits.fetch_workers.total(),
                    self.fetchers,
                ),
        }
    }

    fn seconds(&self, threads: usize) -> f64 {
        (self.wall.as_secs_f64() * threads as f64).max(f64::MIN_POSITIVE)
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Wait = fn(&Waits) -> &crate::telemetry::Stopwatch;

    const IDLE_SENDERS: (Wait, u64) = (|w| &w.send_batches, 15);

    /// Ten seconds with two threads of each kind on two cores.
    fn bottleneck(waits: &[(Wait, u64)], cores_busy: f64) -> &'static str {
        let all = Waits::default();
        for (wait, seconds) in waits {
            wait(&all).add(Duration::from_secs(*seconds));
        }
        let run = Run {
            waits: &all,
            wall: Duration::from_secs(10),
            workers: 2,
            fetchers: 2,
            senders: 2,
            cores: 2,
            cores_busy,
        };
        run.verdict().bottleneck
    }

    #[test]
    fn senders_that_always_have_something_hold_the_others_up() {
        assert_eq!(bottleneck(&[(|w| &w.send_batches, 1)], 0.5), "senders");
        assert_eq!(bottleneck(&[(|w| &w.send_batches, 1), (|w| &w.send_socket, 12)], 0.5), "network");
        assert_eq!(
            bottleneck(
                &[(|w| &w.send_confirmation, 9), (|w| &w.work_senders, 9), (|w| &w.send_batches, 9)],
                0.5
            ),
            "confirmation"
        );
    }

    #[test]
    fn with_idle_senders_the_bottleneck_lies_before_them() {
        assert_eq!(bottleneck(&[IDLE_SENDERS, (|w| &w.work_payloads, 19)], 0.5), "workers");
        assert_eq!(
            bottleneck(&[IDLE_SENDERS, (|w| &w.work_payloads, 9), (|w| &w.fetch_memory, 9)], 0.5),
            "memory"
        );
        assert_eq!(bottleneck(&[IDLE_SENDERS, (|w| &w.fetch_s3, 15), (|w| &w.fetch_objects, 5)], 0.5), "s3");
        assert_eq!(
            bottleneck(&[IDLE_SENDERS, (|w| &w.fetch_s3, 3), (|w| &w.fetch_objects, 15)], 0.5),
            "queue"
        );
    }

    #[test]
    fn where_all_cores_are_busy_threads_do_not_help() {
        assert_eq!(bottleneck(&[IDLE_SENDERS, (|w| &w.work_payloads, 19)], 0.95), "cores");
        assert_eq!(bottleneck(&[IDLE_SENDERS, (|w| &w.fetch_s3, 15)], 0.95), "cores");
    }
}
