//! Where tasks and pages come from: queues, polled sources, or the listing of a backfill.

use crate::backfill::Lister;
use crate::poll::Poller;
use crate::receive::Receiver;

/// A running source of tasks or pages.
pub trait Intake {
    /// No more will come, and nothing that came is in work.
    fn is_finished(&self) -> bool;

    /// A call may be under way that brings more: what is given back now might come to ourselves.
    fn is_asking(&self) -> bool;

    /// Every thread that should run still does. To be asked before it is stopped.
    fn is_whole(&self) -> bool {
        true
    }

    /// What could not be delivered for good.
    fn undelivered(&self) -> usize;

    /// Gives up what is still in work, and ends. Stop it first. Returns how much that was.
    fn finish(self: Box<Self>) -> usize;
}

impl Intake for Receiver {
    fn is_finished(&self) -> bool {
        Receiver::is_finished(self)
    }

    fn is_asking(&self) -> bool {
        self.is_polling()
    }

    fn is_whole(&self) -> bool {
        Receiver::is_whole(self)
    }

    fn undelivered(&self) -> usize {
        Receiver::undelivered(self)
    }

    fn finish(self: Box<Self>) -> usize {
        Receiver::finish(*self)
    }
}

impl Intake for Lister {
    fn is_finished(&self) -> bool {
        Lister::is_finished(self)
    }

    /// What is listed again finds the ledger.
    fn is_asking(&self) -> bool {
        false
    }

    /// The backfill's own tally knows.
    fn undelivered(&self) -> usize {
        0
    }

    fn finish(self: Box<Self>) -> usize {
        self.in_work()
    }
}

impl Intake for Poller {
    fn is_finished(&self) -> bool {
        Poller::is_finished(self)
    }

    /// What is read again is told by its checkpoint.
    fn is_asking(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        Poller::is_whole(self)
    }

    /// A drain goes on until all is delivered, or is given up as a whole.
    fn undelivered(&self) -> usize {
        0
    }

    /// Nothing goes back anywhere: a page that was not delivered has moved no checkpoint.
    fn finish(self: Box<Self>) -> usize {
        0
    }
}
