//! The ending of an object, and its reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Outcome;

/// Defines the list of endings: a variant, its ending and reason as metrics and the status page name them, and their
/// meaning.
macro_rules! endings {
    ($( $variant:ident = $ending:literal, $reason:literal, $outcome:ident, $what:literal; )+) => {
        /// The final ending of an object (or of a message's body, or of a page of an API's answer), with its reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Ending {
            $( #[doc = $what] $variant, )+
        }

        impl Ending {
            /// All endings, each at the index of its number.
            pub const ALL: &'static [Ending] = &[$( Ending::$variant, )+];

            /// The ending: `delivered`, `empty`, `left_out` or `refused`.
            pub fn name(self) -> &'static str {
                match self { $( Ending::$variant => $ending, )+ }
            }

            /// The reason, as one word.
            pub fn reason(self) -> &'static str {
                match self { $( Ending::$variant => $reason, )+ }
            }

            /// The reason, for people.
            pub fn what(self) -> &'static str {
                match self { $( Ending::$variant => $what, )+ }
            }

            /// The outcome of such an object.
            pub fn outcome(self) -> Outcome {
                match self { $( Ending::$variant => Outcome::$outcome, )+ }
            }
        }
    };
}

endings! {
    Sent = "delivered", "sent", Delivered, "every record of it is acknowledged";
    Known = "delivered", "known", Delivered, "it was delivered before, so nothing of it is sent again";
    SharedDelivery = "delivered", "shared", Delivered, "the same object was in flight for another message and was delivered";
    NoBytes = "empty", "no_bytes", Delivered, "it has no bytes";
    NoRecord = "empty", "no_record", Delivered, "it holds only content without records, such as a header, an empty list or a control message";
    SkipRule = "empty", "skip_rule", Delivered, "the service skips its key";
    Marker = "empty", "marker", Delivered, "its key is a marker that a writer leaves (_SUCCESS)";
    FilterRules = "left_out", "filter_rules", Delivered, "the service's line_filter_rules drop every record of it";
    StartTime = "left_out", "start_time", Delivered, "it was written before the service's start_time";
    Missing = "left_out", "missing", Delivered, "it no longer exists, and missing_object is skip";
    Damaged = "refused", "damaged", Reject, "it is truncated or corrupt";
    Unsupported = "refused", "unsupported", Reject, "it is binary, encrypted, or packed in an unsupported way";
    BadContent = "refused", "bad_content", Reject, "its content is not in the format that its service reads";
    OtherService = "refused", "other_service", Reject, "its records are not those of its service";
    TooLarge = "refused", "too_large", Reject, "it, or a record of it, is larger than a limit";
    Withheld = "refused", "withheld", Reject, "S3 does not return it: it is archived, or encrypted with its owner's key";
    Deaths = "refused", "deaths", Reject, "the collector died more than once while decoding it";
    Output = "refused", "output", Reject, "an output does not accept one of its records";
    NoService = "refused", "no_service", Reject, "it belongs to none of the input's services";
    Message = "refused", "message", Reject, "its message has an unknown shape";
    SharedRefusal = "refused", "shared", Reject, "the same object was in flight for another message and was refused";
    Other = "refused", "other", Reject, "the log names the reason";
}

impl Ending {
    /// True if the object's service is known.
    pub fn is_of_service(self) -> bool {
        !matches!(self, Ending::NoService | Ending::Message)
    }
}

/// One delivery of an SQS message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub message_id: String,
    /// Its number, from 1 on; 0 if SQS did not say.
    pub attempt: u32,
}

/// The ending that an object will have, noted by the stages that work on it, and the delivery that brought it. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    noted: Arc<AtomicU8>,
    delivery: Option<Arc<Delivery>>,
}

impl Fate {
    /// The fate of an object that a message has brought.
    pub fn of_delivery(delivery: &Arc<Delivery>) -> Fate {
        Fate { noted: Arc::default(), delivery: Some(Arc::clone(delivery)) }
    }

    /// None for an object of a listing, or a page of an API.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_deref()
    }

    /// Notes the reason. The last one that fits the outcome counts.
    pub fn note(&self, ending: Ending) {
        // Zero: nothing is noted.
        self.noted.store(ending as u8 + 1, Ordering::Release);
    }

    /// Notes the reason unless there is one already.
    pub fn note_first(&self, ending: Ending) {
        // An existing reason is not a failure.
        let _ = self.noted.compare_exchange(0, ending as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Removes the note.
    pub fn forget(&self) {
        self.noted.store(0, Ordering::Release);
    }

    /// The ending that has been noted.
    pub fn noted(&self) -> Option<Ending> {
        let number = usize::from(self.noted.load(Ordering::Acquire));
        Ending::ALL.get(number.checked_sub(1)?).copied()
    }

    /// The ending of an object with this outcome. None if it has not ended and will be retried.
    pub fn ending(&self, outcome: Outcome) -> Option<Ending> {
        let usual = match outcome {
            Outcome::Delivered => Ending::Sent,
            Outcome::Reject => Ending::Other,
            Outcome::Retry => return None,
        };
        Some(match self.noted() {
            // The outcome of that ending is not known when it is noted.
            Some(Ending::SharedDelivery) if outcome == Outcome::Reject => Ending::SharedRefusal,
            Some(noted) if noted.outcome() == outcome => noted,
            _ => usual,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noted_reason_counts_if_it_fits_the_outcome() {
        let fate = Fate::default();
        assert_eq!(fate.ending(Outcome::Delivered), Some(Ending::Sent));
        assert_eq!(fate.ending(Outcome::Reject), Some(Ending::Other));
        for ending in Ending::ALL {
            fate.clone().note(*ending);
            assert_eq!(fate.noted(), Some(*ending));
            assert_eq!(fate.ending(ending.outcome()), Some(*ending));
            assert_eq!(fate.ending(Outcome::Retry), None, "it comes again");
        }
        fate.note(Ending::SharedDelivery);
        assert_eq!(fate.ending(Outcome::Reject), Some(Ending::SharedRefusal));
        fate.note(Ending::NoRecord);
        assert_eq!(fate.ending(Outcome::Reject), Some(Ending::Other), "a reason for something else");
    }

    #[test]
    fn a_later_stage_does_not_change_a_reason_and_a_new_attempt_begins_without_one() {
        let fate = Fate::default();
        assert_eq!(fate.noted(), None);
        fate.note_first(Ending::Sent);
        fate.note_first(Ending::FilterRules);
        assert_eq!(fate.noted(), Some(Ending::Sent));
        fate.forget();
        assert_eq!(fate.noted(), None);
    }

    #[test]
    fn a_fate_knows_the_delivery_that_brought_its_object() {
        let delivery = Arc::new(Delivery { message_id: "m-1".into(), attempt: 3 });
        assert_eq!(Fate::of_delivery(&delivery).clone().delivery(), Some(&*delivery));
        assert_eq!(Fate::default().delivery(), None, "of a listing");
    }

    #[test]
    fn only_what_has_no_service_is_of_none() {
        let of_none: Vec<_> = Ending::ALL.iter().filter(|ending| !ending.is_of_service()).collect();
        assert_eq!(of_none, [&Ending::NoService, &Ending::Message]);
    }

    #[test]
    fn endings_have_names_of_their_own() {
        let mut names: Vec<_> = Ending::ALL.iter().map(|ending| (ending.name(), ending.reason())).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Ending::ALL.len());
        for ending in Ending::ALL {
            let refused = ending.outcome() == Outcome::Reject;
            assert_eq!(refused, ending.name() == "refused", "{ending:?}");
        }
    }
}
