//! The promise: a message is deleted only when every frame of every object that it names is known to have reached the
//! peer.
//!
//! An [`Ack`] stands for one piece of work (an SQS message, an object). It is split into [`Share`]s, one for every part
//! that must be delivered. When the last share is gone the `Ack` settles, once, with the worst outcome that any share
//! reported. A share that is dropped without an outcome counts as [`Outcome::Retry`]: an early return, a panic or a
//! closed channel can delay a message, but can never acknowledge it.
//!
//! The way back leads from a batch that the peer has confirmed to the deletion of a message. Each step is a share that
//! resolves the next one ([`Share::work`], [`Share::after`], [`Share::holding`]):
//!
//! ```text
//! batch ──► part of an object ──► object ──► ledger ──────► task ──────────► message ──► deletion
//! stages/   pipeline/             ack/       ledger/        stages/fetch/    stages/     stages/
//! send/     worker.rs             share.rs   entry.rs       mod.rs, the      receive/    receive/
//!           counts, remembers                records it,    place in its     poller.rs   settler.rs
//!           what was refused                 resolves all   lane             counts by
//!                                            that wait for it                service
//! ```
//!
//! A page of an API has a checkpoint in place of a message (`stages/sources/delivery.rs`).
//!
//! Pure: no sockets, no clocks. The closure given to [`Ack::open`] defines what settling does.

mod ending;
mod outcome;
mod progress;
mod share;
mod tables;
mod turn;
mod watermark;

pub use outcome::Outcome;
pub use share::{Ack, Share};

pub use ending::{Delivery, Ending, Fate};
pub use progress::{Confirmed, Progress};
pub use tables::{Table, Tables};
pub use turn::Turn;
pub use watermark::Watermark;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn opened() -> (Ack, mpsc::Receiver<Outcome>) {
        let (tx, rx) = mpsc::channel();
        (Ack::open(move |outcome| tx.send(outcome).unwrap()), rx)
    }

    #[test]
    fn settles_once_when_the_last_share_ends() {
        let (ack, settled) = opened();
        let (a, b) = (ack.share(), ack.share());
        ack.close(Outcome::Delivered);
        a.resolve(Outcome::Delivered);
        assert!(settled.try_recv().is_err(), "one share is still open");
        b.resolve(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Delivered));
        assert!(settled.try_recv().is_err());
    }

    #[test]
    fn the_worst_outcome_wins() {
        for (outcomes, worst) in [
            ([Outcome::Delivered, Outcome::Reject], Outcome::Reject),
            ([Outcome::Retry, Outcome::Reject], Outcome::Retry),
            ([Outcome::Delivered, Outcome::Delivered], Outcome::Delivered),
        ] {
            let (ack, settled) = opened();
            for outcome in outcomes {
                ack.share().resolve(outcome);
            }
            ack.close(Outcome::Delivered);
            assert_eq!(settled.try_recv(), Ok(worst));
        }
    }

    #[test]
    fn a_fork_is_a_part_of_its_own() {
        let (ack, settled) = opened();
        let share = ack.share();
        let fork = share.fork();
        ack.close(Outcome::Delivered);
        share.resolve(Outcome::Delivered);
        assert!(settled.try_recv().is_err(), "the fork is still open");
        fork.resolve(Outcome::Reject);
        assert_eq!(settled.try_recv(), Ok(Outcome::Reject));
    }

    #[test]
    fn a_forgotten_share_counts_as_retry() {
        let (ack, settled) = opened();
        drop(ack.share());
        ack.close(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn a_forgotten_ack_counts_as_retry() {
        let (ack, settled) = opened();
        ack.share().resolve(Outcome::Delivered);
        drop(ack);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn a_panic_while_holding_a_share_counts_as_retry() {
        let (ack, settled) = opened();
        let share = ack.share();
        let _ = std::thread::spawn(move || {
            let _held = share;
            panic!("on purpose");
        })
        .join();
        ack.close(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Retry));
    }

    #[test]
    fn nested_work_settles_its_parent() {
        let (message, settled) = opened();
        let object = {
            let share = message.share();
            share.work(|_| ())
        };
        message.close(Outcome::Delivered);
        let batch = object.share();
        object.close(Outcome::Delivered);
        assert!(settled.try_recv().is_err());
        batch.resolve(Outcome::Delivered);
        assert_eq!(settled.try_recv(), Ok(Outcome::Delivered));
    }

    proptest::proptest! {
        /// Naive version: the maximum over a list. Shares end on several threads in any order.
        #[test]
        fn agrees_with_a_list(outcomes in proptest::collection::vec(0u8..4, 0..40)) {
            let (ack, settled) = opened();
            let shares: Vec<_> = outcomes.iter().map(|o| (ack.share(), *o)).collect();
            ack.close(Outcome::Delivered);
            let mut halves = (Vec::new(), Vec::new());
            for (i, s) in shares.into_iter().enumerate() {
                if i % 2 == 0 { halves.0.push(s) } else { halves.1.push(s) }
            }
            let end = |half: Vec<(Share, u8)>| for (share, o) in half {
                // 3 = dropped without an outcome
                if o < 3 { share.resolve(Outcome::from_u8(o)) }
            };
            std::thread::scope(|s| { s.spawn(|| end(halves.0)); s.spawn(|| end(halves.1)); });
            let worst = outcomes.iter().copied().map(|o| o.min(2)).max().unwrap_or(0);
            proptest::prop_assert_eq!(settled.try_recv(), Ok(Outcome::from_u8(worst)));
            proptest::prop_assert!(settled.try_recv().is_err());
        }
    }

    /// The held value outlives the settling of the whole work: without it, the ledger may be closed.
    #[test]
    fn what_a_share_holds_is_dropped_last() {
        struct Held(mpsc::Sender<&'static str>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.send("dropped").unwrap();
            }
        }
        for outcome in [Some(Outcome::Delivered), None] {
            let (said, heard) = mpsc::channel();
            let of_work = said.clone();
            let work = Ack::open(move |_| of_work.send("settled").unwrap());
            let before = said.clone();
            let share = work.into_share().holding(Held(said)).after(move |_| before.send("before").unwrap());
            assert!(heard.try_recv().is_err());
            match outcome {
                Some(outcome) => share.resolve(outcome),
                None => drop(share),
            }
            assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["before", "settled", "dropped"]);
        }
    }

    #[test]
    fn work_in_the_place_of_a_share_reports_first_and_then_resolves_it() {
        for (parts, expected) in [
            (vec![Some(Outcome::Delivered), Some(Outcome::Delivered)], Outcome::Delivered),
            (vec![Some(Outcome::Delivered), Some(Outcome::Reject)], Outcome::Reject),
            (vec![Some(Outcome::Delivered), None], Outcome::Retry),
        ] {
            let (ack, settled) = opened();
            let (reports, before) = mpsc::channel();
            let share = ack.share().after(move |outcome| reports.send(outcome).unwrap());
            let work = share.work(|_| ());
            ack.close(Outcome::Delivered);
            for part in parts {
                let share = work.share();
                match part {
                    Some(outcome) => share.resolve(outcome),
                    None => drop(share),
                }
                assert!(before.try_recv().is_err() && settled.try_recv().is_err());
            }
            work.close(Outcome::Delivered);
            assert_eq!((before.try_recv(), settled.try_recv()), (Ok(expected), Ok(expected)));
        }
    }
}
