//! An SQS standard queue as a state machine: visible messages, messages in flight, and their times.
//!
//! Pure: time is an argument, a [`Duration`] since the Unix epoch. Semantics are those of the Amazon SQS API reference
//! (ReceiveMessage, DeleteMessage, ChangeMessageVisibility).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The settings of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For a receive without a visibility timeout.
    pub visibility_timeout: Duration,
    pub redrive: Option<Redrive>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { visibility_timeout: Duration::from_secs(30), redrive: None }
    }
}

/// A redrive policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Name of the queue for messages that cannot be processed.
    pub dead_letter_queue: String,
    /// A message received this often moves there instead of being received again.
    pub max_receives: u32,
}

/// A queue's figures at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    pub visible: u64,
    pub in_flight: u64,
    /// Messages deleted so far.
    pub deleted: u64,
    /// Messages delivered so far; one that was delivered twice counts twice.
    pub received: u64,
}

/// One delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub id: u64,
    pub handle: String,
    pub body: String,
    /// Including this receive.
    pub receive_count: u32,
    pub sent_at: Duration,
}

/// The reason why a receipt handle was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    #[error("the receipt handle is not one of this queue's")]
    Invalid,
    #[error("the message does not exist or is not available for a visibility time-out change")]
    Gone,
    #[error("the message is not in flight")]
    NotInFlight,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    settings: Settings,
    messages: BTreeMap<u64, Message>,
    /// Ids in the order of delivery.
    visible: VecDeque<u64>,
    /// (visible again at, id).
    in_flight: BTreeSet<(Duration, u64)>,
    /// Bodies that the redrive policy took and nothing has fetched yet.
    dead: Vec<String>,
    ids_issued: u64,
    deleted: u64,
    received: u64,
}

#[derive(Debug)]
struct Message {
    body: String,
    sent_at: Duration,
    receive_count: u32,
    /// Present while in flight.
    visible_at: Option<Duration>,
}

impl Queue {
    pub fn new(settings: Settings) -> Queue {
        Queue { settings, ..Queue::default() }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Adds a message and returns its id.
    pub fn send(&mut self, body: String, now: Duration) -> u64 {
        self.ids_issued += 1;
        let id = self.ids_issued;
        self.messages.insert(id, Message { body, sent_at: now, receive_count: 0, visible_at: None });
        self.visible.push_back(id);
        id
    }

    /// Delivers up to `max` visible messages and hides them for `visibility` (None: the queue's own).
    pub fn receive(&mut self, max: usize, visibility: Option<Duration>, now: Duration) -> Vec<Received> {
        self.expire(now);
        let until = now + visibility.unwrap_or(self.settings.visibility_timeout);
        let mut out = Vec::new();
        while out.len() < max {
            let Some(id) = self.visible.pop_front() else { break };
            out.extend(self.hand_out(id, until));
        }
        self.received += out.len() as u64;
        out
    }

    /// Deletes the message of this receive. As in SQS, a message that is gone already, or a handle superseded by a
    /// later receive, is not an error; the latter leaves the message where it is.
    pub fn delete(&mut self, handle: &str) -> Result<(), HandleError> {
        let (id, receive_count) = self.parse_handle(handle)?;
        if self.messages.get(&id).is_some_and(|m| m.receive_count == receive_count) {
            self.remove(id);
            self.deleted += 1;
        }
        Ok(())
    }

    /// Hides the message until `timeout` from now; zero makes it visible at once.
    pub fn change_visibility(
        &mut self,
        handle: &str,
        timeout: Duration,
        now: Duration,
    ) -> Result<(), HandleError> {
        self.expire(now);
        let (id, receive_count) = self.parse_handle(handle)?;
        let message = self.messages.get_mut(&id).ok_or(HandleError::Gone)?;
        if message.receive_count != receive_count {
            return Err(HandleError::Gone);
        }
        let visible_at = message.visible_at.as_mut().ok_or(HandleError::NotInFlight)?;
        self.in_flight.remove(&(*visible_at, id));
        *visible_at = now + timeout;
        self.in_flight.insert((*visible_at, id));
        Ok(())
    }

    pub fn state(&mut self, now: Duration) -> QueueState {
        self.expire(now);
        QueueState {
            visible: self.visible.len() as u64,
            in_flight: self.in_flight.len() as u64,
            deleted: self.deleted,
            received: self.received,
        }
    }

    /// When the next message in flight becomes visible again.
    pub fn next_visible_at(&self) -> Option<Duration> {
        self.in_flight.first().map(|(at, _)| *at)
    }

    /// Bodies that moved to the dead-letter queue since the last call.
    pub fn take_dead(&mut self) -> Vec<String> {
        std::mem::take(&mut self.dead)
    }

    /// None if the redrive policy took it.
    fn hand_out(&mut self, id: u64, until: Duration) -> Option<Received> {
        let message = self.messages.get_mut(&id)?;
        if self.settings.redrive.as_ref().is_some_and(|r| message.receive_count >= r.max_receives) {
            let taken = self.remove(id);
            self.dead.extend(taken.map(|message| message.body));
            return None;
        }
        message.receive_count += 1;
        message.visible_at = Some(until);
        self.in_flight.insert((until, id));
        Some(Received {
            id,
            handle: format!("r{id}.{}", message.receive_count),
            body: message.body.clone(),
            receive_count: message.receive_count,
            sent_at: message.sent_at,
        })
    }

    fn expire(&mut self, now: Duration) {
        while let Some((at, id)) = self.in_flight.first().copied().filter(|(at, _)| *at <= now) {
            self.in_flight.remove(&(at, id));
            if let Some(message) = self.messages.get_mut(&id) {
                message.visible_at = None;
                self.visible.push_back(id);
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<Message> {
        let message = self.messages.remove(&id)?;
        match message.visible_at {
            Some(at) => {
                self.in_flight.remove(&(at, id));
            }
            None => self.visible.retain(|v| *v != id),
        }
        Some(message)
    }

    /// (id, receive count) of a handle issued by this queue.
    fn parse_handle(&self, handle: &str) -> Result<(u64, u32), HandleError> {
        let parse = || {
            let (id, count) = handle.strip_prefix('r')?.split_once('.')?;
            Some((id.parse().ok()?, count.parse().ok()?))
        };
        parse()
            .filter(|(id, count)| (1..=self.ids_issued).contains(id) && *count > 0)
            .ok_or(HandleError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Duration = Duration::from_secs;

    fn queue_of(n: usize) -> Queue {
        let mut queue = Queue::default();
        for i in 0..n {
            queue.send(format!("m{i}"), T(100));
        }
        queue
    }

    fn figures(queue: &mut Queue, now: Duration) -> (u64, u64, u64) {
        let state = queue.state(now);
        (state.visible, state.in_flight, state.deleted)
    }

    #[test]
    fn a_received_message_is_hidden_until_its_time_is_over() {
        let mut queue = queue_of(1);
        let first = queue.receive(10, Some(T(5)), T(100));
        assert_eq!((first[0].receive_count, first[0].sent_at), (1, T(100)));
        assert!(queue.receive(10, None, T(104)).is_empty());
        assert_eq!(queue.next_visible_at(), Some(T(105)));
        assert_eq!(queue.receive(10, None, T(105))[0].receive_count, 2);
        assert_eq!(queue.state(T(105)).received, 2);
    }

    #[test]
    fn the_queues_own_time_out_holds_where_none_is_given() {
        let mut queue = queue_of(1);
        queue.receive(1, None, T(100));
        assert_eq!(figures(&mut queue, T(129)), (0, 1, 0));
        assert_eq!(figures(&mut queue, T(130)), (1, 0, 0));
    }

    #[test]
    fn at_most_max_are_handed_out() {
        let mut queue = queue_of(12);
        assert_eq!(queue.receive(10, None, T(100)).len(), 10);
        assert_eq!(queue.receive(10, None, T(100)).len(), 2);
    }

    #[test]
    fn delete_works_in_flight_and_after_expiry() {
        let mut queue = queue_of(2);
        let got = queue.receive(2, Some(T(5)), T(100));
        assert_eq!(queue.delete(&got[0].handle), Ok(()));
        assert_eq!(figures(&mut queue, T(106)), (1, 0, 1));
        assert_eq!(queue.delete(&got[1].handle), Ok(()));
        assert_eq!(figures(&mut queue, T(106)), (0, 0, 2));
        assert_eq!(queue.delete(&got[1].handle), Ok(()), "deleting twice is no error");
        assert_eq!(figures(&mut queue, T(106)), (0, 0, 2));
    }

    #[test]
    fn a_superseded_handle_succeeds_and_deletes_nothing() {
        let mut queue = queue_of(1);
        let old = queue.receive(1, Some(T(1)), T(100)).remove(0).handle;
        let new = queue.receive(1, Some(T(10)), T(101)).remove(0).handle;
        assert_eq!(queue.delete(&old), Ok(()));
        assert_eq!(figures(&mut queue, T(102)), (0, 1, 0));
        assert_eq!(queue.change_visibility(&old, T(1), T(102)), Err(HandleError::Gone));
        assert_eq!(queue.delete(&new), Ok(()));
        assert_eq!(figures(&mut queue, T(102)), (0, 0, 1));
    }

    #[test]
    fn unknown_handles_are_refused() {
        let mut queue = queue_of(1);
        for handle in ["", "x", "r1", "r0.1", "r2.1", "r1.0", "r1.1.1", "r-1.1"] {
            assert_eq!(queue.delete(handle), Err(HandleError::Invalid), "{handle:?}");
            assert_eq!(queue.change_visibility(handle, T(1), T(100)), Err(HandleError::Invalid));
        }
    }

    #[test]
    fn visibility_is_extended_and_given_back() {
        let mut queue = queue_of(1);
        let handle = queue.receive(1, Some(T(5)), T(100)).remove(0).handle;
        assert_eq!(queue.change_visibility(&handle, T(60), T(104)), Ok(()));
        assert_eq!(figures(&mut queue, T(163)), (0, 1, 0));
        assert_eq!(queue.change_visibility(&handle, T(0), T(163)), Ok(()));
        assert_eq!(figures(&mut queue, T(163)), (1, 0, 0));
        assert_eq!(queue.change_visibility(&handle, T(5), T(163)), Err(HandleError::NotInFlight));
        queue.delete(&handle).unwrap();
        assert_eq!(queue.change_visibility(&handle, T(5), T(163)), Err(HandleError::Gone));
    }

    #[test]
    fn the_redrive_policy_takes_what_came_too_often() {
        let redrive = Some(Redrive { dead_letter_queue: "dead".into(), max_receives: 2 });
        let mut queue = Queue::new(Settings { redrive, ..Settings::default() });
        queue.send("poison".into(), T(1));
        for at in [10, 20] {
            assert_eq!(queue.receive(1, Some(T(5)), T(at)).len(), 1);
            assert!(queue.take_dead().is_empty());
        }
        assert!(queue.receive(1, Some(T(5)), T(30)).is_empty());
        assert_eq!(queue.take_dead(), ["poison"]);
        assert_eq!(figures(&mut queue, T(30)), (0, 0, 0));
    }

    proptest::proptest! {
        /// Naive version: a list of (visible at, deleted) that is scanned as a whole.
        #[test]
        fn agrees_with_a_list(steps in proptest::collection::vec((0u8..4, 0u64..6), 1..80)) {
            let (mut queue, mut list) = (Queue::default(), Vec::<(u64, bool)>::new());
            let mut handles: Vec<Option<String>> = Vec::new();
            let mut now = 1000;
            for (step, n) in steps {
                match step {
                    0 => {
                        queue.send(String::new(), T(now));
                        list.push((0, false));
                        handles.push(None);
                    }
                    1 => for got in queue.receive(n as usize, Some(T(n)), T(now)) {
                        let i = got.id as usize - 1;
                        proptest::prop_assert!(list[i].0 <= now && !list[i].1, "handed out while hidden");
                        list[i].0 = now + n;
                        handles[i] = Some(got.handle);
                    },
                    2 => if let Some(Some(handle)) = handles.get(n as usize) {
                        queue.delete(handle).unwrap();
                        list[n as usize].1 = true;
                    },
                    _ => now += n,
                }
                let alive = list.iter().filter(|(_, deleted)| !deleted);
                let visible = alive.clone().filter(|(at, _)| *at <= now).count() as u64;
                let hidden = alive.filter(|(at, _)| *at > now).count() as u64;
                let deleted = list.len() as u64 - visible - hidden;
                proptest::prop_assert_eq!(figures(&mut queue, T(now)), (visible, hidden, deleted));
            }
        }
    }
}
