//! The peer's connections as the collector sees them, and what its program reads as the invariants see it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use rustix::event::PollFlags;

use super::faults::Kind;
use super::objects::{Object, TAG, name_of, record};
use super::peer::{End, Link, Peer, SOCKET_BYTES, Which};
use super::scheduler::is_severed;
use super::tls::Tls;
use super::world::{Seat, State, World};
use crate::base::limits::{BATCH_BYTES, SEND_CONNECT_TIMEOUT, SEND_DOUBT_TIME, SETTLE_TIME};
use crate::base::locks::lock;
use crate::base::runtime::thread;
use crate::stages::send;
use crate::stages::send::wire::{Dial, Wire};

/// Interval at which a waiting connection looks again.
const LOOK: Duration = Duration::from_millis(10);

impl State {
    fn link(&mut self, (peer, number): Which) -> Option<&mut Link> {
        self.peers.get_mut(peer)?.links.get_mut(&number)
    }

    /// Lets its programs read what they can by now, and checks what they have read.
    pub fn advance_peers(&mut self, now: Duration) {
        for events in &self.accounts {
            let late = |peer: &Peer, at: &usize| !peer.has(events.object, *at);
            for peer in &mut self.peers {
                let missed: Vec<usize> = events.superseded(now).filter(|at| late(peer, at)).collect();
                peer.excused.extend(missed.into_iter().map(|at| (events.object, at)));
            }
        }
        (0..self.peers.len()).for_each(|peer| self.advance_peer(peer, now));
    }

    fn advance_peer(&mut self, peer: usize, now: Duration) {
        let numbers: Vec<u64> = self.peers[peer].links.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.advance_link((peer, number), now));
        self.peers[peer].links.retain(|_, link| !(link.is_left && link.is_over()));
    }

    fn advance_link(&mut self, (peer, number): Which, now: Duration) {
        let taken = self.peers[peer].swallow(number, now);
        self.lose((peer, number), &taken, now);
        self.settle((peer, number), now);
        let mut lines = self.peers[peer].advance(number, now).into_iter();
        while let Some(line) = lines.next() {
            if self.is_poison(peer, &line) {
                return self.choke((peer, number), &line, &lines.collect::<Vec<_>>(), now);
            }
            if let Err(why) = self.take_line((peer, number), &line) {
                self.violated("records arrive as they are", why);
            }
        }
    }

    /// A record is poison for one of the peers.
    /// A balancer has taken these lines, and nobody reads them. Acknowledgements do not show that, nor does the end of the
    /// connection if the process has never seen a better one.
    fn lose(&mut self, (peer, number): Which, lines: &[String], now: Duration) {
        let peer = &mut self.peers[peer];
        let Some(link) = peer.links.get_mut(&number).filter(|link| link.is_cut) else { return };
        link.taken.extend(lines.iter().filter_map(|line| name_of(line)));
        let heard = peer.heard.get(&link.by).is_some_and(|at| *at + Duration::from_secs(1) < now);
        if peer.believes_kernel && link.is_proven() || link.its_end.is_some() && !heard {
            peer.excused.extend(link.taken.drain(..));
        }
    }

    fn is_poison(&self, peer: usize, line: &str) -> bool {
        let poison =
            |(object, at): (usize, usize)| self.objects.get(object)?.poison.filter(|poison| *poison == at);
        let is_taker = |(object, _): &(usize, usize)| object % self.peers.len() == peer;
        name_of(line).filter(is_taker).and_then(poison).is_some()
    }

    /// The peer's program closes the connection because of a record. If nothing was left to read, and our end has come,
    /// that looks like its orderly end, and nobody can tell that the record has not been accepted. A program that reads late
    /// has read all that its kernel had; our end must have left it the time for that, unless it is the first such record for
    /// a while, on a full connection or on one that is in order.
    fn choke(&mut self, which: Which, line: &str, rest: &[String], now: Duration) {
        *self.struck.entry(Kind::RecordPoisoned).or_default() += 1;
        let is_fifo = self.objects.iter().any(|object| object.group.is_some());
        let peer = &mut self.peers[which.0];
        let Some(link) = peer.links.get_mut(&which.1) else { return };
        let is_late = peer.latency > Duration::ZERO;
        if is_late {
            link.line.clear();
        } else {
            // Bytes that its program has not looked at are lost with it.
            link.line.extend(rest.concat().into_bytes());
        }
        let is_last = link.unread() == 0 && link.line.is_empty() && link.outbox.is_empty();
        let is_believed = peer.believes_kernel && link.is_proven();
        let is_known = peer.refused.get(&link.by).is_some_and(|at| now < *at + SEND_DOUBT_TIME);
        let may_be_hasty = !is_known && (is_fifo || link.written >= BATCH_BYTES as u64);
        let is_hidden = !is_late || may_be_hasty || link.was_outlived_by(SETTLE_TIME);
        let is_ended = link.is_ended || is_late && link.tls.as_ref().is_some_and(Tls::has_heard_end);
        if !is_ended {
            peer.refused.insert(link.by, now);
        }
        if is_believed || is_last && is_ended && is_hidden {
            let names = std::iter::once(line).chain(rest.iter().map(String::as_str)).filter_map(name_of);
            peer.excused.extend(names);
        }
        self.end_link(which, End::Close, now);
    }

    /// Acknowledgements confirm what has settled in the kernel, whether or not the program has read it.
    fn settle(&mut self, (peer, number): Which, now: Duration) {
        let peer = &mut self.peers[peer];
        let text = peer.settled(number, now);
        peer.excused.extend(String::from_utf8_lossy(&text).lines().filter_map(name_of));
    }

    fn take_line(&mut self, link: Which, line: &str) -> Result<(), String> {
        let shown: String = line.chars().take(160).collect();
        let (head, text) =
            line.split_once(&format!(" {TAG}: ")).ok_or_else(|| format!("not under its tag: {shown}"))?;
        if !head.starts_with("<14>") {
            return Err(format!("a frame's head is {head:?}"));
        }
        let (object, at) =
            name_of(text).ok_or_else(|| format!("not a record of this simulation: {shown}"))?;
        let known = self.objects.get(object).ok_or_else(|| format!("of no object: {shown}"))?;
        let events = self.accounts.iter().find(|events| events.object == object);
        let (text, expected) = match events {
            Some(events) => (without_pulling_id(text), events.text(at)),
            None => (text.to_owned(), record(object, at, known.filling)),
        };
        if at >= known.records || expected != text {
            return Err(format!("record {at} of object {object} has changed: {shown}"));
        }
        if let Some(group) = known.group {
            self.check_order(link.0, group, object, at)?;
        }
        self.has_read(link, object, at, line.len() + 1);
        Ok(())
    }

    /// The first time that something of a FIFO group comes, all earlier messages of the group must be there, and what
    /// comes before it in its object.
    fn check_order(
        &self,
        peer: usize,
        (group, message): (usize, usize),
        object: usize,
        at: usize,
    ) -> Result<(), String> {
        let peer = &self.peers[peer];
        if peer.read[object][at] > 0 {
            return Ok(());
        }
        let is_earlier = |o: &Object| o.group.is_some_and(|(g, m)| g == group && m < message) && !o.is_second;
        // A damaged object holds nothing up, and what the queue has given up is not waited for.
        let is_waited_for = |number: &usize| {
            !self.objects[*number].is_spoilt()
                && !self.queue.dead.values().any(|dead| dead.objects.contains(number))
        };
        let earlier = self.objects.iter().enumerate().filter(|(_, object)| is_earlier(object));
        let earlier: Vec<usize> = earlier.map(|(number, _)| number).filter(is_waited_for).collect();
        if let Some((number, missing)) = self.unread_by(peer, &earlier) {
            return Err(format!(
                "group {group}: record {at} of object {object} came before record {missing} of object {number}, of an earlier message"
            ));
        }
        let mut before = self.objects[object].deliverable().take_while(|other| *other < at);
        if let Some(missing) = before.find(|other| peer.read[object][*other] == 0) {
            return Err(format!(
                "group {group}: of object {object}, record {at} came before record {missing}"
            ));
        }
        Ok(())
    }

    /// From now on, or no more, its program leaves one in `of` of the open connections unread.
    pub fn stall_some(&mut self, peer: usize, of: u32, now: Duration, is_stalled: bool) {
        self.advance_peer(peer, now);
        let State { peers, random, .. } = self;
        let links = peers[peer].links.values_mut().filter(|_| random.u32(..of.max(1)) == 0);
        links.for_each(|link| link.is_stalled = is_stalled);
    }

    /// Ends one in `of` connections, chosen by the seed.
    pub fn end_connections(&mut self, peer: usize, end: End, of: u32, now: Duration) {
        self.advance_peer(peer, now);
        let numbers: Vec<u64> = self.peers[peer].links.keys().copied().collect();
        for number in numbers {
            if self.random.u32(..of.max(1)) == 0 {
                self.end_link((peer, number), end, now);
            }
        }
    }

    fn end_link(&mut self, (peer, number): Which, end: End, now: Duration) {
        let peer = &mut self.peers[peer];
        let Some(link) = peer.links.get_mut(&number).filter(|link| !link.is_over()) else { return };
        let unread = link.unread() > 0 || !link.outbox.is_empty() || !link.line.is_empty();
        peer.connections_broken += 1;
        let mut lost: Vec<u8> = Vec::new();
        if end == End::Cut {
            link.is_cut |= link.tls.is_some();
            return;
        }
        if peer.believes_kernel && link.is_proven() {
            let text = link.text_of(link.settled_bytes(now)).unwrap_or_default();
            lost = link.line.iter().copied().chain(text).collect();
        }
        match end {
            End::Close if !unread => link.close(now),
            End::Close | End::Reset => link.is_reset = true,
            End::Silence | End::Cut => link.is_forgotten = true,
        }
        link.kernel.clear();
        link.line.clear();
        let text = String::from_utf8_lossy(&lost).into_owned();
        peer.excused.extend(text.lines().filter_map(name_of));
    }

    /// The kernel of a process that has died closes its connections. Returns them.
    pub fn left_by(&mut self, process: u64) -> Vec<Which> {
        let peers = self.peers.iter_mut().enumerate();
        peers.flat_map(|(at, peer)| peer.left_by(process).into_iter().map(move |link| (at, link))).collect()
    }
}

/// An event of a polled API gets one more member at its end.
fn without_pulling_id(text: &str) -> String {
    text.split_once(",\"@devo_pulling_id\"")
        .map_or_else(|| text.to_owned(), |(event, _)| format!("{event}}}"))
}

/// Our end of a connection to the model peer.
#[derive(Debug)]
struct Socket {
    world: World,
    which: Which,
}

/// The end of the address of each peer, after its index.
const DOMAIN: &str = ".peers.simulated";

/// The address of a peer.
pub fn address(peer: usize) -> String {
    format!("{peer}{DOMAIN}")
}

impl Dial for Seat {
    fn dial(&self, address: &str, port: u16) -> Result<Box<dyn Wire>, send::Error> {
        let refused =
            |kind: ErrorKind| send::Error::Connect { peer: format!("{address}:{port}"), source: kind.into() };
        let peer = address.strip_suffix(DOMAIN).and_then(|index| index.parse::<usize>().ok());
        let peer = peer.ok_or_else(|| refused(ErrorKind::NotFound))?;
        let world = &self.world;
        world.rest(Duration::from_micros(200), Duration::from_millis(5));
        let (is_down, is_silent) = {
            let state = world.state();
            (state.peers[peer].is_down, state.peers[peer].is_silent)
        };
        if is_silent {
            thread::sleep(SEND_CONNECT_TIMEOUT);
            return Err(refused(ErrorKind::TimedOut));
        }
        if is_down {
            return Err(refused(ErrorKind::ConnectionRefused));
        }
        let (now, mut state) = (world.now(), world.state());
        let is_stalled = state.strikes(Kind::PeerStallsSome);
        let refuses = state.peers[peer].tls.is_some() && state.strikes(Kind::PeerRefusesLate);
        let refuses = refuses.then(|| now + Duration::from_millis(state.random.u64(..20_000)));
        let tls = state.peers[peer].tls.as_ref().and_then(|tls| tls.accept(refuses));
        let link = Link { by: self.process.number(), looked: now, is_stalled, tls, ..Link::default() };
        let number = state.peers[peer].connect(link);
        drop(state);
        Ok(Box::new(Socket { world: world.clone(), which: (peer, number) }))
    }
}

impl Socket {
    /// Looks at the connection as it is now.
    fn at<T>(&self, look: impl FnOnce(&mut Link, Duration) -> io::Result<T>) -> io::Result<T> {
        if is_severed() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let (now, mut state) = (self.world.now(), self.world.state());
        state.advance_link(self.which, now);
        let seen = match state.link(self.which) {
            Some(link) => look(link, now),
            None => Err(ErrorKind::NotConnected.into()),
        };
        if seen.as_ref().is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
            state.doubt(self.which);
        }
        seen
    }

    /// We see its end: it confirms what is on the connection if it came after ours.
    fn see_end(&self) {
        let (now, mut state) = (self.world.now(), self.world.state());
        let peer = &mut state.peers[self.which.0];
        match peer.links.get_mut(&self.which.1) {
            Some(link) if link.is_ended && link.has_said_goodbye == link.tls.is_some() => {
                link.is_confirmed = true;
                if link.has_said_goodbye && !link.records.is_empty() {
                    peer.heard.entry(link.by).or_insert(now);
                }
            }
            _ => state.doubt(self.which),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.at(|link, now| match (&mut link.tls, link.its_end) {
            _ if link.is_reset => Err(ErrorKind::ConnectionReset.into()),
            (Some(tls), _) if !tls.outbox.is_empty() => tls.outbox.read(into),
            (_, Some(end)) if end <= now => Ok(0),
            _ => Err(ErrorKind::WouldBlock.into()),
        })?;
        if count == 0 {
            self.see_end();
        }
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at(|link, _| {
            if link.is_reset || link.is_ended {
                return Err(ErrorKind::BrokenPipe.into());
            }
            if link.its_end.is_some() {
                // Nobody reads it: the answer is a reset.
                link.is_reset = true;
                return Ok(bytes.len());
            }
            let count = bytes.len().min(SOCKET_BYTES.saturating_sub(link.outbox.len()));
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            link.outbox.extend(&bytes[..count]);
            link.written += count as u64;
            Ok(count)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Socket {
    fn far_end(&self) -> String {
        let (peer, number) = self.which;
        format!("{}/{number}", address(peer))
    }

    fn unacknowledged(&self) -> io::Result<u64> {
        self.at(|link, _| Ok(link.outbox.len() as u64))
    }

    fn end(&self) -> io::Result<()> {
        self.at(|link, now| {
            if link.is_reset {
                return Err(ErrorKind::NotConnected.into());
            }
            link.is_ended = true;
            link.ended_at.get_or_insert(now);
            Ok(())
        })
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error: Option<io::Error> =
            self.at(|link, _| Ok(link.is_reset.then(|| ErrorKind::ConnectionReset.into())))?;
        if error.is_some() {
            self.world.state().doubt(self.which);
        }
        Ok(error)
    }

    fn wait(&self, events: PollFlags, time: Duration) -> io::Result<()> {
        let deadline = self.world.now() + time;
        loop {
            let is_ready = self.at(|link, now| {
                let has_said = link.tls.as_ref().is_some_and(|tls| !tls.outbox.is_empty());
                let is_readable = has_said || link.is_reset || link.its_end.is_some_and(|end| end <= now);
                let has_room = link.outbox.len() < SOCKET_BYTES;
                Ok(is_readable && events.contains(PollFlags::IN)
                    || has_room && events.contains(PollFlags::OUT))
            })?;
            let left = deadline.saturating_sub(self.world.now());
            if is_ready || left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The kernel of a dead process closes its sockets; the rest of this connection is never read.
        if is_severed() {
            return;
        }
        let mut state = lock(&self.world.0.state);
        if let Some(link) = state.link(self.which) {
            (link.is_ended, link.is_left) = (true, true);
        }
        state.doubt(self.which);
    }
}
