//! Receives: each one that did not end with a deletion must have a cause, since it has used up one of those that the
//! redrive policy allows. So a healthy message is in the dead-letter queue only if faults have brought it there.

use std::time::Duration;

use super::objects::Object;
use super::sqs::{Fate, Held, Queue};
use super::world::State;

/// Why a message could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Nothing but its content stands in its way: all that can be delivered of it must have been.
    Spoilt,
    Other,
}

impl State {
    /// A change of visibility: an extension, or the end of a receive.
    pub fn change_visibility(&mut self, handle: &str, time: Duration, now: Duration) -> Fate {
        if !Queue::extends(time)
            && let Some((id, held)) = self.queue.held(handle, now)
        {
            self.tell(|| format!("SQS: message {id} is returned for {} s", time.as_secs()));
            self.returned(id, held, now);
        }
        self.queue.hide(handle, time, now)
    }

    fn returned(&mut self, id: u64, held: Held, now: Duration) {
        self.has_returned = true;
        let is_working = self.has_worked(held.by, held.received);
        match self.cause(id, held.received) {
            _ if !is_working => (),
            Some(Cause::Spoilt) => self.check_intact(id),
            Some(Cause::Other) => (),
            None => {
                let why = format!("message {id}, received at {:.3} s", held.received.as_secs_f64());
                self.violated("a message is returned only for a cause", why);
            }
        }
        let group = self.queue.messages.get(&id).and_then(|message| message.group.clone());
        group.filter(|_| self.queue.is_fifo).map(|group| self.group_returned.insert(group, now));
    }

    /// The fault that has struck a message since it was received.
    fn cause(&self, id: u64, since: Duration) -> Option<Cause> {
        let message = self.queue.messages.get(&id)?;
        let objects = || message.objects.iter().filter_map(|object| self.objects.get(*object));
        let has_failed = |at: Option<&Duration>| at.is_some_and(|at| *at >= since);
        // While S3 answers for no object, none is given up.
        let has_s3_worked = self.s3_worked >= since;
        let is_absent = objects().any(|o| {
            let has_failed = has_s3_worked && has_failed(self.object_failed.get(&o.key));
            let was_late = o.is_late || o.came >= since && !o.came.is_zero();
            has_failed || was_late || o.is_gone || o.next.is_some()
        });
        let is_behind =
            message.group.as_ref().is_some_and(|group| has_failed(self.group_returned.get(group)));
        match objects().any(Object::is_spoilt) {
            _ if is_absent || is_behind => Some(Cause::Other),
            true => Some(Cause::Spoilt),
            false => None,
        }
    }

    fn check_intact(&mut self, id: u64) {
        let objects = self.queue.messages.get(&id).map(|message| message.objects.clone()).unwrap_or_default();
        let missing = objects.iter().find_map(|object| {
            let at = self.objects.get(*object)?.deliverable().find(|at| !self.has(*object, *at))?;
            Some((*object, at))
        });
        if let Some((object, at)) = missing {
            let why = format!(
                "message {id} was returned, and record {at} of object {object}, which is sound, has not been read"
            );
            self.violated("what is sound of a spoilt object is delivered", why);
        }
    }
}
