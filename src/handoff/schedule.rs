//! The schedule of tasks from the inputs to the fetchers.
//!
//! Each input has a lane. The lanes take turns, and so do the messages of a lane, so that neither a busy input nor a
//! message of thousands of objects blocks the others. A lane's content is bounded; its input waits for room.
//!
//! A message waits as an iterator, which creates each task when a fetcher takes it: a waiting message costs no more
//! than its body. Started tasks cost more, and are bounded separately: a lane whose objects do not end, because their
//! bucket fails or an output is down, gets no turn until some of them have ended.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::limits::STOP_CHECK_INTERVAL;
use crate::base::locks::{intact, lock};
use crate::base::runtime::channel::{Receiver, Sender, unbounded};
use crate::base::runtime::sync::{Condvar, Mutex, MutexGuard};
use crate::base::stop::Stop;

/// The bounds of one lane.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages that wait for their first or next turn.
    pub messages: usize,
    /// Tasks that wait for a fetcher; a message is always taken as a whole.
    pub tasks: usize,
    /// Tasks that were started and have not ended.
    pub begun: usize,
}

/// The tasks of one message, each created on demand. This happens under the schedule's lock.
pub type Tasks<T> = Box<dyn ExactSizeIterator<Item = T> + Send>;

/// An input's side: adds tasks. Dropping it closes the lane.
#[derive(Debug)]
pub struct Lane<T> {
    index: usize,
    shared: Arc<Lanes<T>>,
    tickets: Sender<()>,
}

/// The fetchers' side. Cheap to clone.
#[derive(Debug)]
pub struct Schedule<T> {
    shared: Arc<Lanes<T>>,
    /// One ticket per message whose turn may come. The channel is closed when all lanes are, and empty.
    pub tickets: Receiver<()>,
}

/// A task's slot among the started ones of its lane, until dropped.
#[derive(Debug)]
pub struct Begun<T> {
    lane: usize,
    shared: Arc<Lanes<T>>,
}

#[derive(Debug)]
struct Lanes<T> {
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
    /// Tickets that were taken while no lane could have a turn. They are reissued when one can.
    parked: usize,
}

/// The waiting tasks of a lane, and the number of started ones.
#[derive(Debug)]
struct Waiting<T> {
    messages: VecDeque<Message<T>>,
    tasks: usize,
    begun: usize,
}

/// A message with tasks. It keeps the channel of tickets open.
struct Message<T> {
    tasks: Tasks<T>,
    tickets: Sender<()>,
}

impl<T> std::fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} tasks)", self.tasks.len())
    }
}

/// Creates this many lanes.
pub fn new<T>(lanes: usize, bounds: Bounds) -> (Vec<Lane<T>>, Schedule<T>) {
    let empty = || Waiting { messages: VecDeque::new(), tasks: 0, begun: 0 };
    let state = State { lanes: (0..lanes).map(|_| empty()).collect(), turn: 0, parked: 0 };
    let shared = Arc::new(Lanes { bounds, state: Mutex::new(state), room: Condvar::new() });
    let (tickets, waiting) = unbounded();
    let lane = |index| Lane { index, shared: Arc::clone(&shared), tickets: tickets.clone() };
    let lanes = (0..lanes).map(lane).collect();
    (lanes, Schedule { shared, tickets: waiting })
}

impl<T> Clone for Lane<T> {
    /// Clones the handle. The lane is closed when its last handle is dropped.
    fn clone(&self) -> Lane<T> {
        Lane { index: self.index, shared: Arc::clone(&self.shared), tickets: self.tickets.clone() }
    }
}

impl<T> Lane<T> {
    /// Adds a message's tasks, after waiting for room. Returns false if stopped, and they are dropped.
    pub fn put(
        &self,
        tasks: impl IntoIterator<IntoIter: ExactSizeIterator<Item = T> + Send + 'static>,
        stop: &Stop,
    ) -> bool {
        let message = Message { tasks: Box::new(tasks.into_iter()), tickets: self.tickets.clone() };
        let count = message.tasks.len();
        let mut state = self.shared.state();
        while count > 0 && !state.lanes[self.index].has_room(self.shared.bounds) {
            if stop.is_stopped() {
                return false;
            }
            // A stop does not notify this condition, so the wait is sliced.
            let woken = self.shared.room.wait_timeout(state, STOP_CHECK_INTERVAL);
            state = intact(woken);
        }
        if stop.is_stopped() {
            return false;
        }
        if count > 0 {
            let lane = &mut state.lanes[self.index];
            lane.tasks += count;
            lane.put_back(message);
        }
        true
    }
}

impl<T> Schedule<T> {
    /// The next task; the caller must have a ticket for it. None if no lane may have a turn at present, or everything
    /// was removed at a stop.
    pub fn take(&self) -> Option<(T, Begun<T>)> {
        let Lanes { bounds, .. } = &*self.shared;
        let mut state = self.shared.state();
        let lanes = state.lanes.len();
        let mut turns = (0..lanes).map(|offset| (state.turn + offset) % lanes);
        let Some(lane) = turns.find(|lane| state.lanes[*lane].may_have_turn(*bounds)) else {
            let is_any = state.lanes.iter().any(|lane| !lane.messages.is_empty());
            state.parked += usize::from(is_any);
            return None;
        };
        state.turn = (lane + 1) % lanes;
        let (task, ended) = state.lanes[lane].next()?;
        drop(state);
        // A message's end needs no lock.
        drop(ended);
        self.shared.room.notify_all();
        Some((task, Begun { lane, shared: Arc::clone(&self.shared) }))
    }

    /// Removes everything that has not been started, each message with the number of its lane.
    pub fn clear(&self) -> Vec<(usize, Tasks<T>)> {
        let mut state = self.shared.state();
        state.parked = 0;
        let lanes = state.lanes.iter_mut().enumerate();
        let all = lanes.flat_map(|(index, lane)| lane.clear().map(move |tasks| (index, tasks))).collect();
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

impl<T> Drop for Begun<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let State { lanes, parked, .. } = &mut *state;
        let lane = &mut lanes[self.lane];
        lane.begun -= 1;
        if lane.may_have_turn(self.shared.bounds) {
            let back = lane.messages.len().min(*parked);
            *parked -= back;
            lane.messages.iter().take(back).for_each(Message::show);
        }
        drop(state);
        self.shared.room.notify_all();
    }
}

impl<T> Lanes<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> Message<T> {
    /// Issues a ticket for it to the fetchers.
    fn show(&self) {
        // The receiving end lives as long as the fetchers.
        let _ = self.tickets.send(());
    }
}

impl<T> Waiting<T> {
    fn has_room(&self, bounds: Bounds) -> bool {
        self.messages.len() < bounds.messages && self.tasks < bounds.tasks && self.begun < bounds.begun
    }

    fn may_have_turn(&self, bounds: Bounds) -> bool {
        !self.messages.is_empty() && self.begun < bounds.begun
    }

    fn put_back(&mut self, message: Message<T>) {
        message.show();
        self.messages.push_back(message);
    }

    /// Takes a task of the first message, which then goes behind the others. Also returns the message if that was its
    /// last.
    fn next(&mut self) -> Option<(T, Option<Message<T>>)> {
        let mut message = self.messages.pop_front()?;
        let task = message.tasks.next()?;
        self.tasks -= 1;
        self.begun += 1;
        if message.tasks.len() == 0 {
            return Some((task, Some(message)));
        }
        self.put_back(message);
        Some((task, None))
    }

    fn clear(&mut self) -> impl Iterator<Item = Tasks<T>> {
        self.tasks = 0;
        std::mem::take(&mut self.messages).into_iter().map(|message| message.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { messages: 4, tasks: 100, begun: 100 };

    fn all<T>(schedule: &Schedule<T>) -> Vec<T> {
        std::iter::from_fn(|| schedule.tickets.try_recv().ok().and_then(|()| schedule.take()))
            .map(|(task, _)| task)
            .collect()
    }

    fn next<T>(schedule: &Schedule<T>) -> Option<T> {
        schedule.take().map(|(task, _)| task)
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
    fn tickets_lead_to_each_task_and_the_end_is_seen() {
        let (lanes, schedule) = new(1, BOUNDS);
        lanes[0].put(vec![1, 2], &Stop::new());
        lanes[0].put(Vec::new(), &Stop::new());
        drop(lanes);
        assert_eq!(all(&schedule), [1, 2]);
        assert_eq!(schedule.tickets.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }

    #[test]
    fn a_full_lane_waits_until_something_is_taken_and_the_other_does_not() {
        let bounds = Bounds { messages: 9, tasks: 2, begun: 9 };
        let (lanes, schedule) = new(2, bounds);
        let stop = Stop::new();
        assert!(lanes[0].put(vec![1, 2, 3], &stop), "a message is taken as a whole");
        assert!(lanes[1].put(vec![9], &stop), "the other lane has room");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lanes[0].put(vec![4], &stop));
            assert_eq!((next(&schedule), next(&schedule)), (Some(1), Some(9)));
            assert!(!waiter.is_finished());
            assert_eq!(next(&schedule), Some(2));
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn a_lane_whose_tasks_do_not_end_gets_no_turn_until_one_has() {
        let (lanes, schedule) = new(2, Bounds { messages: 9, tasks: 99, begun: 2 });
        lanes[0].put(0..90, &Stop::new());
        lanes[1].put(90..91, &Stop::new());
        drop(lanes);
        let take = || schedule.tickets.try_recv().ok().and_then(|()| schedule.take());
        let mut begun: VecDeque<_> = std::iter::from_fn(take).collect();
        assert_eq!(begun.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [0, 90, 1]);
        assert_eq!(
            schedule.tickets.try_recv(),
            Err(crossbeam_channel::TryRecvError::Empty),
            "it is not over"
        );
        let mut taken = Vec::new();
        while let Some((task, place)) = begun.pop_front() {
            taken.push(task);
            drop(place);
            begun.extend(std::iter::from_fn(take));
            assert!(begun.len() <= 3);
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..91).collect::<Vec<_>>());
        assert_eq!(schedule.tickets.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
    }

    #[test]
    fn a_task_is_made_when_it_is_taken() {
        let (lanes, schedule) = new(1, BOUNDS);
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let make = move |_| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        lanes[0].put((0..100_000).map(make), &Stop::new());
        assert_eq!(schedule.tickets.len(), 1, "however many tasks it has");
        let _begun: Vec<_> = (0..3).map(|_| schedule.take()).collect();
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 3);
    }

    #[test]
    fn a_stop_ends_the_wait_and_what_waits_is_taken_away() {
        let (lanes, schedule) = new(1, Bounds { messages: 1, tasks: 9, begun: 9 });
        let stop = Stop::new();
        lanes[0].put(vec![1, 2], &stop);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lanes[0].put(vec![3], &stop));
            stop.stop();
            assert!(!waiter.join().unwrap());
        });
        let cleared: Vec<i32> = schedule.clear().into_iter().flat_map(|(_, tasks)| tasks).collect();
        assert_eq!(cleared, [1, 2]);
        assert!(all(&schedule).is_empty());
    }

    proptest::proptest! {
        /// Every added task comes out once, each message in its order, and no message waits for more than one task of
        /// each other message between two of its own.
        #[test]
        fn nothing_is_lost_and_everyone_gets_turns(sizes in proptest::collection::vec((0usize..3, 1usize..6), 1..20)) {
            let (lanes, schedule) = new(3, Bounds { messages: 99, tasks: 999, begun: 999 });
            for (message, (lane, size)) in sizes.iter().enumerate() {
                lanes[*lane].put((0..*size).map(move |task| (message, task)), &Stop::new());
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
