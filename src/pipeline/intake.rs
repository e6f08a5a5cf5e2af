//! Where tasks and pages come from: queues, polled sources, or the listing of a backfill.

use crate::base::crew::Crew;
use crate::stages::backfill::Lister;
use crate::stages::receive::Receiver;
use crate::stages::sources::Poller;

/// A running source of tasks or pages. It is stopped in two steps, so that many end at the same time: each is told
/// to [end](Intake::end), and then all are waited for until they [have](Intake::has_ended).
pub trait Intake {
    /// No more will come, and nothing that came is in work.
    fn is_finished(&self) -> bool;

    /// A call may be under way that brings more: what is given back now might come to ourselves.
    fn is_asking(&self) -> bool {
        false
    }

    /// The threads that bring what comes. They end by themselves when there is an end to it.
    fn pulling(&self) -> &Crew;

    /// The other threads. They run until they are told to end.
    fn serving(&self) -> Vec<&Crew> {
        Vec::new()
    }

    /// Counts what could not be delivered for good.
    fn undelivered(&self) -> usize {
        0
    }

    /// Gives up what is still in work. Does not wait for anything.
    fn end(&mut self) {}

    /// Everything that was told to end has ended.
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

/// A listing gives nothing back: objects that are listed again are found in the ledger. The backfill's own tally counts
/// what is not delivered.
impl Intake for Lister {
    fn is_finished(&self) -> bool {
        Lister::is_finished(self)
    }

    fn pulling(&self) -> &Crew {
        self.lister()
    }
}

/// A polled source gives nothing back: a page that was not delivered has moved no checkpoint. A drain goes on until
/// everything is delivered, or is given up as a whole.
impl Intake for Poller {
    fn is_finished(&self) -> bool {
        Poller::is_finished(self)
    }

    fn pulling(&self) -> &Crew {
        self.worker()
    }
}
