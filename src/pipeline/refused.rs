//! Objects with a record that an output refuses, and of which everything else has been delivered.
//!
//! Their messages are redelivered until the queue's redrive policy moves them. Nothing of the object is sent again
//! then. A restart forgets them: the ledger resumes such an object before its refused record, so that it can never
//! count as delivered.

use std::collections::VecDeque;

use crate::ack::Confirmed;
use crate::base::limits::REFUSED_OBJECTS_MAX;
use crate::base::locks::lock;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// The refused objects of this run, oldest first.
#[derive(Debug, Default)]
pub struct Refused(Mutex<VecDeque<(String, Confirmed)>>);

impl Refused {
    /// Notes that a record of the object has been refused. `object` is its name with the identity of its content.
    pub fn add(&self, object: &str, confirmed: &Confirmed) {
        let mut refused = self.lock();
        refused.retain(|(known, _)| known != object);
        if refused.len() >= REFUSED_OBJECTS_MAX {
            refused.pop_front();
        }
        refused.push_back((object.to_owned(), confirmed.clone()));
    }

    /// Notes that everything deliverable of the object has been delivered.
    pub fn is_settled(&self, object: impl FnOnce() -> String) -> bool {
        let refused = self.lock();
        if refused.is_empty() {
            return false;
        }
        let object = object();
        refused.iter().any(|(known, confirmed)| *known == object && confirmed.is_settled())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Confirmed)>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::{Ack, Outcome, Progress};

    fn confirmed(outcome: Outcome) -> Confirmed {
        let (object, mut progress) = (Ack::open(|_| ()), Progress::default());
        progress.admit_next();
        progress.batch(&object).close(outcome);
        progress.complete();
        progress.confirmed()
    }

    #[test]
    fn an_object_is_settled_when_all_but_its_refused_records_is_delivered() {
        let refused = Refused::default();
        assert!(!refused.is_settled(|| unreachable!("nothing is known, so no name is made")));
        refused.add("a", &confirmed(Outcome::Reject));
        refused.add("b", &confirmed(Outcome::Retry));
        assert_eq!(["a", "b", "c"].map(|name| refused.is_settled(|| name.into())), [true, false, false]);
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let refused = Refused::default();
        for number in 0..=REFUSED_OBJECTS_MAX {
            refused.add(&number.to_string(), &confirmed(Outcome::Reject));
        }
        assert!(!refused.is_settled(|| "0".into()));
        assert!(refused.is_settled(|| "1".into()));
    }
}
