//! The sources of tasks and pages: queues, polled sources, or the listing of a backfill.

use crate::base::crew::Crew;
use crate::stages::backfill::Lister;
use crate::stages::receive::Receiver;
use crate::stages::sources::Puller;

/// A running source of tasks or pages. It is stopped in two steps, so that many end at the same time: each is told to
/// [end](Intake::end), and then all are waited for until they [have](Intake::has_ended).
pub trait Intake {
    /// True if no more will come, and nothing that came is in flight.
    fn is_finished(&self) -> bool;

    /// True if a call may be under way that receives more: messages returned now might be received by this process
    /// again.
    fn is_asking(&self) -> bool {
        false
    }

    /// The threads that receive. They end by themselves when their source ends.
    fn pulling(&self) -> &Crew;

    /// The other threads. They run until they are told to end.
    fn serving(&self) -> Vec<&Crew> {
        Vec::new()
    }

    /// The number of finally undeliverable items.
    fn undelivered(&self) -> usize {
        0
    }

    /// Gives up work in flight. Does not wait.
    fn end(&mut self) {}

    /// True if everything that was told to end has ended.
    fn has_ended(&self) -> bool {
        true
    }
}

impl Intake for Receiver {
    fn is_finished(&self) -> bool {
        Receiver::is_finished(self)
    }

    fn is_asking(&self) -> bool {
        self.is_polling()
    }

    fn pulling(&self) -> &Crew {
        self.pollers()
    }

    fn serving(&self) -> Vec<&Crew> {
        self.others().into()
    }

    fn undelivered(&self) -> usize {
        Receiver::undelivered(self)
    }

    fn end(&mut self) {
        Receiver::end(self);
    }

    fn has_ended(&self) -> bool {
        Receiver::has_ended(self)
    }
}

/// A listing returns nothing: objects that are listed again are found in the ledger. The backfill's own tally counts
/// undelivered ones.
impl Intake for Lister {
    fn is_finished(&self) -> bool {
        Lister::is_finished(self)
    }

    fn pulling(&self) -> &Crew {
        self.lister()
    }
}

/// A polled source returns nothing: an undelivered page has moved no checkpoint. A drain continues until everything is
/// delivered, or is aborted as a whole.
impl Intake for Puller {
    fn is_finished(&self) -> bool {
        Puller::is_finished(self)
    }

    fn undelivered(&self) -> usize {
        Puller::undelivered(self)
    }

    fn pulling(&self) -> &Crew {
        self.worker()
    }
}
