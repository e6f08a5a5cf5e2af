//! Tasks on their way from the inputs to the fetchers, and whose turn it is.
//!
//! Each input has a lane. The lanes take turns, and so do the messages of a lane, so that neither a busy input nor
//! a message of thousands of objects holds the others up. What a lane may hold is bounded; its input waits for room.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::limits::STOP_CHECK_INTERVAL;
use crate::stop::Stop;

/// The bounds of what one lane may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages that wait for their first or next turn.
    pub messages: usize,
    /// Tasks that wait for a fetcher or for another try; a message is always taken as a whole.
    pub tasks: usize,
}

/// An input's side: puts tasks up. Dropping it closes the lane.
#[derive(Debug)]
pub struct Lane<T> {
    index: usize,
    shared: Arc<Shared<T>>,
    tickets: Sender<()>,
}

/// The fetchers' side. Cheap to clone.
#[derive(Debug)]
pub struct Schedule<T> {
    shared: Arc<Shared<T>>,
    /// One ticket for each task that waits. The channel is closed when all lanes are.
    pub tickets: Receiver<()>,
}

#[derive(Debug)]
struct Shared<T> {
    bounds: Bounds,
    state: Mutex<State<T>>,
    /// A lane may have room again.
    room: Condvar,
}

#[derive(Debug)]
struct State<T> {
    lanes: Vec<Waiting<T>>,
    /// The lane whose turn it is.
    turn: usize,
}

/// The tasks that wait in a lane.
#[derive(Debug)]
struct Waiting<T> {
    messages: VecDeque<VecDeque<T>>,
    tasks: usize,
    /// Tasks that were begun and wait for another try.
    delayed: usize,
}

/// Makes so many lanes.
pub fn new<T>(lanes: usize, bounds: Bounds) -> (Vec<Lane<T>>, Schedule<T>) {
    let empty = || Waiting { messages: VecDeque::new(), tasks: 0, delayed: 0 };
    let state = State { lanes: (0..lanes).map(|_| empty()).collect(), turn: 0 };
    let shared = Arc::new(Shared { bounds, state: Mutex::new(state), room: Condvar::new() });
    let (tickets, waiting) = unbounded();
    let lane = |index| Lane { index, shared: Arc::clone(&shared), tickets: tickets.clone() };
    let lanes = (0..lanes).map(lane).collect();
    (lanes, Schedule { shared, tickets: waiting })
}

impl<T> Lane<T> {
    /// Puts a message's tasks up, and waits for room before that. False: stopped, and they are dropped.
    pub fn put(&self, tasks: Vec<T>, stop: &Stop) -> bool {
        let count = tasks.len();
        let mut state = self.shared.state();
        while count > 0 && !state.lanes[self.index].has_room(self.shared.bounds) {
            if stop.is_stopped() {
                return false;
            }
            // A stop does not notify this condition, so the wait is cut into slices.
            let woken = self.shared.room.wait_timeout(state, STOP_CHECK_INTERVAL);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        if stop.is_stopped() {
            return false;
        }
        if count > 0 {
            let lane = &mut state.lanes[self.index];
            lane.tasks += count;
            lane.messages.push_back(tasks.into());
        }
        drop(state);
        // The receiving end lives as long as the fetchers.
        for _ in 0..count {
            let _ = self.tickets.send(());
        }
        true
    }
}

impl<T> Schedule<T> {
    /// The next task; the caller must have a ticket for it. None: everything was taken away at a stop.
    pub fn take(&self) -> Option<T> {
        let mut state = self.shared.state();
        let lanes = state.lanes.len();
        let turns = (0..lanes).map(|offset| (state.turn + offset) % lanes);
        let lane = turns.into_iter().find(|lane| !state.lanes[*lane].messages.is_empty())?;
        state.turn = (lane + 1) % lanes;
        let task = state.lanes[lane].next();
        drop(state);
        self.shared.room.notify_all();
        task
    }

    /// A task of the lane waits for another try, or does not any more.
    pub fn delayed(&self, lane: usize, is_delayed: bool) {
        let mut state = self.shared.state();
        let delayed = &mut state.lanes[lane].delayed;
        *delayed = if is_delayed { *delayed + 1 } else { delayed.saturating_sub(1) };
        drop(state);
        if !is_delayed {
            self.shared.room.notify_all();
        }
    }

    /// Takes everything away that has not been begun.
    pub fn clear(&self) -> Vec<T> {
        let mut state = self.shared.state();
        let all = state.lanes.iter_mut().flat_map(Waiting::clear).collect();
        drop(state);
        self.shared.room.notify_all();
        all
    }
}

impl<T> Clone for Schedule<T> {
    fn clone(&self) -> Schedule<T> {
        Schedule { shared: Arc::clone(&self.shared), tickets: self.tickets.clone() }
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn has_room(&self, bounds: Bounds) -> bool {
        self.messages.len() < bounds.messages && self.tasks + self.delayed < bounds.tasks
    }

    /// A task of the first message, which then goes behind the others.
    fn next(&mut self) -> Option<T> {
        let mut message = self.messages.pop_front()?;
        let task = message.pop_front();
        self.tasks -= usize::from(task.is_some());
        if !message.is_empty() {
            self.messages.push_back(message);
        }
        task
    }

    fn clear(&mut self) -> Vec<T> {
        self.tasks = 0;
        self.messages.drain(..).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { messages: 4, tasks: 100 };

    fn all<T>(schedule: &Schedule<T>) -> Vec<T> {
        std::iter::from_fn(|| schedule.tickets.try_recv().ok().and_then(|()| schedule.take())).collect()
    }

    #[test]
    fn messages_take_turns_and_so_do_inputs() {
        let (lanes, schedule) = new(2, BOUNDS);
        let stop = Stop::new();
        lanes[0].put(vec!["a1", "a2", "a3", "a4"], &stop);
        lanes[0].put(vec!["b1"], &stop);
        lanes[1].put(vec!["c1", "c2"], &stop);
        assert_eq!(all(&schedule), ["a1", "c1", "b1", "c2", "a2", "a3", "a4"]);
    }

    #[test]
    fn there_is_a_ticket_for_each_task_and_the_end_is_seen() {
        let (lanes, schedule) = new(1, BOUNDS);
        lanes[0].put(vec![1, 2], &Stop::new());
        lanes[0].put(vec![], &Stop::new());
        drop(lanes);
        assert_eq!(all(&schedule), [1, 2]);
        assert_eq!(schedule.tickets.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }

    #[test]
    fn a_full_lane_waits_until_something_is_taken_and_the_other_does_not() {
        let bounds = Bounds { messages: 9, tasks: 2 };
        let (lanes, schedule) = new(2, bounds);
        let stop = Stop::new();
        assert!(lanes[0].put(vec![1, 2, 3], &stop), "a message is taken as a whole");
        assert!(lanes[1].put(vec![9], &stop), "the other lane has room");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lanes[0].put(vec![4], &stop));
            assert_eq!((schedule.take(), schedule.take()), (Some(1), Some(9)));
            assert!(!waiter.is_finished());
            assert_eq!(schedule.take(), Some(2));
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn what_waits_for_another_try_takes_room() {
        let (lanes, schedule) = new(1, Bounds { messages: 9, tasks: 1 });
        let stop = Stop::new();
        lanes[0].put(vec![1], &stop);
        assert_eq!(schedule.take(), Some(1));
        schedule.delayed(0, true);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lanes[0].put(vec![2], &stop));
            assert_eq!(schedule.take(), None);
            schedule.delayed(0, false);
            assert!(waiter.join().unwrap());
        });
        assert_eq!(schedule.take(), Some(2));
    }

    #[test]
    fn a_stop_ends_the_wait_and_what_waits_is_taken_away() {
        let (lanes, schedule) = new(1, Bounds { messages: 1, tasks: 9 });
        let stop = Stop::new();
        lanes[0].put(vec![1, 2], &stop);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lanes[0].put(vec![3], &stop));
            stop.stop();
            assert!(!waiter.join().unwrap());
        });
        assert_eq!(schedule.clear(), [1, 2]);
        assert!(all(&schedule).is_empty());
    }

    proptest::proptest! {
        /// Whatever is put up comes out once, each message in its order, and no message waits for more than one
        /// task of each other message between two of its own.
        #[test]
        fn nothing_is_lost_and_everyone_gets_turns(sizes in proptest::collection::vec((0usize..3, 1usize..6), 1..20)) {
            let (lanes, schedule) = new(3, Bounds { messages: 99, tasks: 999 });
            for (message, (lane, size)) in sizes.iter().enumerate() {
                lanes[*lane].put((0..*size).map(|task| (message, task)).collect(), &Stop::new());
            }
            let taken = all(&schedule);
            proptest::prop_assert_eq!(taken.len(), sizes.iter().map(|(_, size)| size).sum::<usize>());
            for (message, (lane, size)) in sizes.iter().enumerate() {
                let own: Vec<_> = taken.iter().enumerate().filter(|(_, (of, _))| *of == message).collect();
                proptest::prop_assert!(own.iter().map(|(_, (_, task))| *task).eq(0..*size));
                let beside = |other: &(usize, usize)| other.0 != message && sizes[other.0].0 == *lane;
                for pair in own.windows(2) {
                    let between: Vec<_> = taken[pair[0].0..pair[1].0].iter().filter(|task| beside(task)).map(|task| task.0).collect();
                    let mut once = between.clone();
                    once.sort_unstable();
                    once.dedup();
                    proptest::prop_assert_eq!(once.len(), between.len());
                }
            }
        }
    }
}
