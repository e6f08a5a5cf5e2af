//! The peer of an output: what its kernel has acknowledged, and what its program has read.
//!
//! A connection is two buffers: what our socket holds, and what the peer's kernel has acknowledged but its program has
//! yet to read. Bytes move only when they are looked at, since nothing else could observe the peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::setup::Outlet;
use super::tls::{Acceptor, Tls};
use crate::base::limits::{SEND_WINDOW_BYTES, SETTLE_BYTES, SETTLE_TIME};

/// Bytes that our socket takes while nothing is acknowledged.
pub const SOCKET_BYTES: usize = 128 * 1024;
/// The time that an acknowledgement, or the peer's end, takes.
pub const DELAY: Duration = Duration::from_millis(2);

/// More than a TLS record that only says that no more will come.
const CLOSE_BYTES: usize = 64;

/// Bytes move in steps of this time, not one by one.
const TICK: Duration = Duration::from_micros(500);

/// A connection: the index of its peer, and its number there.
pub type Which = (usize, u64);

#[derive(Debug)]
pub struct Peer {
    /// Its output confirms by acknowledgement.
    pub believes_kernel: bool,
    pub links: BTreeMap<u64, Link>,
    pub opened: u64,
    /// The most of them that were open at a time.
    pub open_max: usize,
    /// Its program reads this many bytes a second on each connection. 0: it hangs.
    pub rate: u64,
    /// Bytes that its kernel holds for the program, per connection.
    pub kernel_bytes: usize,
    /// Its program reads this long after something has come, and then all that is there.
    pub latency: Duration,
    /// Processes that have seen it end a connection because of a record, and the latest time.
    pub refused: BTreeMap<u64, Duration>,
    /// Its program shakes hands, and reads nothing more.
    pub hangs: bool,
    /// Nobody listens.
    pub is_down: bool,
    /// Packets get lost: no answer of any kind.
    pub is_silent: bool,
    /// Number of times that each record of each object has been read.
    pub read: Vec<Vec<u32>>,
    /// How often each of them may be read again, by what has happened.
    pub again: Vec<Vec<u32>>,
    /// Records that its kernel had after the settling time, where acknowledgements confirm: if they are lost there,
    /// `docs/delivery.md` excludes that.
    pub excused: BTreeSet<(usize, usize)>,
    pub connections_broken: u64,
    /// It speaks TLS.
    pub tls: Option<Acceptor>,
    /// Processes that have seen that it ends a connection with a close_notify, and since when.
    pub heard: BTreeMap<u64, Duration>,
}

#[derive(Debug, Default)]
pub struct Link {
    /// The process at our end.
    pub by: u64,
    /// Nobody looks at our end any more.
    pub is_left: bool,
    /// In our socket.
    pub outbox: VecDeque<u8>,
    /// In its kernel, with the time of the acknowledgement.
    pub kernel: VecDeque<(Duration, VecDeque<u8>)>,
    /// The acknowledgement up to which [`Peer::settled`] has told what is in its kernel.
    pub settled: Option<Duration>,
    pub acknowledged: u64,
    /// Bytes that our socket has taken so far.
    pub written: u64,
    /// The part of a line that its program has read.
    pub line: Vec<u8>,
    pub looked: Duration,
    /// Bytes that its program may read now, beyond whole ones.
    pub allowance: f64,
    /// The latest records that its program has read, as many as fit into a sender's window, with their lengths.
    pub records: VecDeque<(usize, usize, usize)>,
    pub record_bytes: usize,
    /// We have seen its orderly end after ours.
    pub is_confirmed: bool,
    /// Its records may come again, since its end was not orderly.
    pub is_doubtful: bool,
    /// Its program does not read it.
    pub is_stalled: bool,
    /// Its program is dead, and a balancer takes everything and answers our end.
    pub is_cut: bool,
    /// Records that such a balancer has taken.
    pub taken: Vec<(usize, usize)>,
    pub tls: Option<Tls>,
    /// What its kernel holds is text already: its names are needed before its program reads them.
    pub is_clear: bool,
    /// It has said that its end is one.
    pub has_said_goodbye: bool,
    /// We have ended our side.
    pub is_ended: bool,
    /// Since then.
    pub ended_at: Option<Duration>,
    /// The latest times at which its kernel has acknowledged data, and anything.
    pub came_at: (Duration, Duration),
    /// Its end is visible from then on.
    pub its_end: Option<Duration>,
    /// Broken: a reset has come.
    pub is_reset: bool,
    /// Its machine has forgotten this connection, but no reset has come.
    pub is_forgotten: bool,
}

impl Peer {
    /// The peer of an output, to which nobody is connected yet.
    pub fn new(outlet: &Outlet) -> Peer {
        Peer {
            believes_kernel: outlet.confirmation == "acknowledgement",
            links: BTreeMap::new(),
            opened: 0,
            open_max: 0,
            rate: outlet.rate,
            kernel_bytes: outlet.kernel_bytes,
            latency: Duration::ZERO,
            refused: BTreeMap::new(),
            is_down: false,
            is_silent: false,
            hangs: false,
            read: Vec::new(),
            again: Vec::new(),
            excused: BTreeSet::new(),
            connections_broken: 0,
            tls: None,
            heard: BTreeMap::new(),
        }
    }
}

impl Link {
    pub fn unread(&self) -> usize {
        self.kernel.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    pub fn is_over(&self) -> bool {
        self.is_reset || self.is_forgotten || self.its_end.is_some()
    }

    /// Our side has reason to believe acknowledgements.
    pub fn is_proven(&self) -> bool {
        self.acknowledged >= SETTLE_BYTES as u64 || self.tls.as_ref().is_some_and(Tls::is_known_to_accept)
    }

    /// Our end came when its kernel had had everything before it for this long.
    pub fn was_outlived_by(&self, time: Duration) -> bool {
        let has_heard = self.tls.as_ref().is_some_and(Tls::has_heard_end);
        let ended_at = if has_heard { Some(self.came_at.1) } else { self.ended_at };
        ended_at.is_some_and(|at| at >= self.came_at.0 + time)
    }

    /// The text of bytes that came over the connection. None if the client is refused.
    pub fn text_of(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &mut self.tls {
            Some(tls) if !self.is_clear => tls.read(&bytes).ok(),
            _ => Some(bytes),
        }
    }

    /// Makes text of what its kernel holds.
    fn clear(&mut self) {
        let Some(tls) = self.tls.as_mut().filter(|_| !self.is_clear) else { return };
        for (_, bytes) in &mut self.kernel {
            *bytes = tls.read(bytes.make_contiguous()).unwrap_or_default().into();
        }
        self.is_clear = true;
    }

    /// Its program closes the connection, and its kernel says so if there is nothing left to read.
    pub fn close(&mut self, now: Duration) {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye();
            self.has_said_goodbye = true;
        }
        self.its_end = Some(now + DELAY);
    }

    /// Its program closes the connection because of what it has read.
    fn refuse(&mut self, now: Duration) {
        match self.unread() + self.outbox.len() {
            0 => self.its_end = Some(now + DELAY),
            _ => self.is_reset = true,
        }
    }

    /// The balancer takes what there is. Returns the whole lines of it.
    fn swallow(&mut self, now: Duration) -> Vec<String> {
        let kernel = std::mem::take(&mut self.kernel).into_iter().flat_map(|(_, bytes)| bytes).collect();
        let mut text = self.text_of(kernel).unwrap_or_default();
        let rest = Vec::from(std::mem::take(&mut self.outbox));
        text.extend(match &mut self.tls {
            Some(tls) => tls.read(&rest).unwrap_or_default(),
            None => rest,
        });
        self.acknowledged = self.written;
        if self.is_ended {
            self.its_end = Some(now + DELAY);
        }
        self.lines_of(&text)
    }

    /// The lines that end in this text, which its program has read.
    fn lines_of(&mut self, text: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                None => self.line.extend(part),
                Some(part) => {
                    self.line.extend(part);
                    lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned());
                }
            }
        }
        lines
    }
}

impl Peer {
    /// True if its program has read this record, or cannot be blamed for not having done so.
    pub fn has(&self, object: usize, at: usize) -> bool {
        let is_read = self.read.get(object).and_then(|object| object.get(at)).is_some_and(|times| *times > 0);
        is_read || self.excused.contains(&(object, at))
    }

    /// Moves what has moved by now on one connection. Returns what its program has read, line by line.
    pub fn advance(&mut self, number: u64, now: Duration) -> Vec<String> {
        let Peer { rate, kernel_bytes, latency, is_silent, hangs, .. } = *self;
        let Some(link) = self.links.get_mut(&number) else { return Vec::new() };
        let is_thinking = link.tls.as_ref().is_some_and(|tls| tls.is_thinking(now));
        let has_shaken_hands = link.tls.as_ref().is_none_or(Tls::is_known_to_accept);
        let is_asleep = link.kernel.front().is_some_and(|(at, _)| now < *at + latency);
        let is_idle = link.is_stalled || is_thinking || is_asleep || (hangs && has_shaken_hands);
        let rate = if is_idle { 0 } else { rate };
        let passed = now.saturating_sub(link.looked);
        if passed < TICK {
            return Vec::new();
        }
        link.looked = now;
        if link.is_over() || link.is_cut || is_silent {
            return Vec::new();
        }
        link.allowance = (link.allowance + passed.as_secs_f64() * rate as f64).min(4_000_000.0);
        if rate == 0 {
            link.allowance = 0.0;
        }
        let mut lines = Vec::new();
        // Bytes acknowledged before can be read now; those that they make room for are acknowledged next time.
        while link.allowance >= 1.0 && !link.kernel.is_empty() {
            let Some((_, bytes)) = link.kernel.front_mut() else { break };
            let count = bytes.len().min(link.allowance as usize);
            link.allowance -= count as f64;
            let rest = bytes.split_off(count);
            let read = Vec::from(std::mem::replace(bytes, rest));
            if bytes.is_empty() {
                link.kernel.pop_front();
            }
            let Some(text) = link.text_of(read) else {
                link.refuse(now);
                return lines;
            };
            lines.extend(link.lines_of(&text));
        }
        let room = kernel_bytes.saturating_sub(link.unread()).min(link.outbox.len());
        if room > 0 {
            let mut bytes: VecDeque<u8> = link.outbox.drain(..room).collect();
            link.acknowledged += room as u64;
            link.came_at = (if room > CLOSE_BYTES { now } else { link.came_at.0 }, now);
            if let Some(tls) = link.tls.as_mut().filter(|_| link.is_clear) {
                bytes = tls.read(bytes.make_contiguous()).unwrap_or_default().into();
            }
            link.kernel.push_back((now, bytes));
        }
        if self.believes_kernel && link.is_proven() {
            link.clear();
        }
        if link.is_ended && link.outbox.is_empty() && link.kernel.is_empty() && rate > 0 {
            link.close(now);
        }
        lines
    }

    /// The text that its kernel has held for longer than the settling time on a connection whose acknowledgements are
    /// believed. Empty if it had all of that at the last call.
    pub fn settled(&mut self, number: u64, now: Duration) -> Vec<u8> {
        let link = self.links.get_mut(&number).filter(|link| self.believes_kernel && link.is_proven());
        let Some(link) = link.filter(|link| link.is_clear || link.tls.is_none()) else { return Vec::new() };
        let latest = link.settled_pieces(now).last().map(|(at, _)| *at);
        if latest.is_none() || latest == link.settled {
            return Vec::new();
        }
        link.settled = latest;
        [link.line.as_slice(), &link.settled_bytes(now)].concat()
    }

    /// What balancers have taken by now on a connection whose program is dead.
    pub fn swallow(&mut self, number: u64, now: Duration) -> Vec<String> {
        let link = self.links.get_mut(&number).filter(|link| link.is_cut && !link.is_over());
        link.map(|link| link.swallow(now)).unwrap_or_default()
    }
}

impl Link {
    /// The part of its kernel's content that has been there for longer than the settling time, with the time at which
    /// each piece came.
    fn settled_pieces(&self, now: Duration) -> impl Iterator<Item = &(Duration, VecDeque<u8>)> {
        self.kernel.iter().take_while(move |(at, _)| now.saturating_sub(*at) >= SETTLE_TIME)
    }

    pub fn settled_bytes(&self, now: Duration) -> Vec<u8> {
        self.settled_pieces(now).flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }

    /// Adds a record that its program has read.
    pub fn add(&mut self, object: usize, at: usize, length: usize) {
        self.records.push_back((object, at, length));
        self.record_bytes += length;
        while self.record_bytes > SEND_WINDOW_BYTES
            && let Some((_, _, length)) = self.records.pop_front()
        {
            self.record_bytes -= length;
        }
    }
}

impl Peer {
    /// Bytes on this process's connections that may have to be sent again: it must still hold them.
    pub fn unconfirmed_of(&self, process: u64) -> u64 {
        let is_open = |link: &&Link| link.by == process && !link.is_confirmed && !link.is_doubtful;
        self.links.values().filter(is_open).map(|link| link.written).sum()
    }

    /// A new connection. Returns its number.
    pub fn connect(&mut self, link: Link) -> u64 {
        self.opened += 1;
        self.links.insert(self.opened, link);
        self.open_max =
            self.open_max.max(self.links.values().filter(|link| !link.is_ended && !link.is_over()).count());
        self.opened
    }

    /// The kernel of a process that has died closes its connections. Returns their numbers.
    pub fn left_by(&mut self, process: u64) -> Vec<u64> {
        let mut left = Vec::new();
        for (number, link) in self.links.iter_mut().filter(|(_, link)| link.by == process) {
            (link.is_ended, link.is_left) = (true, true);
            left.push(*number);
        }
        left
    }
}

/// How connections end by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its program closes: with unread data, its kernel sends a reset.
    Close,
    /// Its program dies, and its kernel drops what it holds and sends a reset.
    Reset,
    /// Its machine dies: nothing comes any more.
    Silence,
    /// Its program dies behind a balancer that passes TLS through, takes what we send, and ends in good order after us.
    Cut,
}
