//! Repeats: a record is read again only if something has happened to it that makes that possible.
//!
//! - The connection that it was on has not ended in good order. Of a connection, this concerns what fits into a sender's
//!   window.
//! - The process that sent it has ended, or reloaded, and the ledger on its disk does not have it.
//! - Another machine, with a ledger of its own, has received a message about the same key.
//!
//! - The ledger could not be written at some time before its message was received again.
//! - Its source's lease has been taken from another holder, or given up by one whose output had not worked, and the table's checkpoint
//!   does not cover it.
//! - It is alone on a connection while a record is about that the peer refuses, or after the peer has crashed again and
//!   again, or has refused our certificate late: it shows whether others get through.
//!
//! Each of these allows one more reading of each record that it concerns, and no other one.

use std::collections::BTreeMap;

use super::faults::Kind;
use super::peer::Which;
use super::world::State;

impl State {
    /// Counts a record that the peer's program has read from a connection.
    pub(super) fn has_read(&mut self, (peer, number): Which, object: usize, at: usize, length: usize) {
        let may_be_blamed =
            [Kind::PeerCrashes, Kind::PeerRefusesLate].iter().any(|kind| self.struck.contains_key(kind));
        let is_probing = may_be_blamed || self.objects.iter().any(|object| object.poison.is_some());
        let peer = &mut self.peers[peer];
        match peer.links.get_mut(&number) {
            Some(link) if is_probing && link.records.is_empty() && peer.read[object][at] > 0 => {
                peer.again[object][at] += 1;
            }
            Some(link) if link.is_doubtful => peer.again[object][at] += 1,
            Some(link) => link.add(object, at, length),
            None => (),
        }
        peer.read[object][at] += 1;
        let machines = self.machines.get(&self.objects[object].key).map_or(1, |machines| machines.len());
        let most = peer.again[object][at] + machines.max(1) as u32;
        let times = peer.read[object][at];
        if times > most {
            let why = format!(
                "record {at} of object {object} has been read {times} times, and {most} are explained"
            );
            self.violated("a record is repeated only for a cause", why);
        }
    }

    /// Allows the records of this connection to come again.
    pub(super) fn doubt(&mut self, (peer, number): Which) {
        let peer = &mut self.peers[peer];
        let Some(link) = peer.links.get_mut(&number).filter(|l| !l.is_doubtful && !l.is_confirmed) else {
            return;
        };
        link.is_doubtful = true;
        for (object, at, _) in std::mem::take(&mut link.records) {
            peer.again[object][at] += 1;
        }
    }

    /// A process has ended. Its successor knows of each object as many records as the ledger says; what is not deleted may
    /// come again from there on.
    pub(super) fn lost_beyond(&mut self, known: &BTreeMap<usize, usize>) {
        let mut left: Vec<usize> =
            self.queue.messages.values().flat_map(|message| message.objects.clone()).collect();
        left.sort_unstable();
        left.dedup();
        // Of what hosts share, the table says what may come again, when another one takes a lease.
        if self.sharing.is_none() {
            left.extend(self.polled());
        }
        self.may_come_again(left, known);
    }

    /// A message is received again, and the ledger may lack what was delivered of it while it could not be written.
    pub(super) fn received_again(&mut self, objects: &[usize]) {
        if self.was_disk_full {
            self.may_come_again(objects.to_vec(), &BTreeMap::new());
        }
    }

    fn may_come_again(&mut self, mut left: Vec<usize>, known: &BTreeMap<usize, usize>) {
        while let Some(object) = left.pop() {
            left.extend(self.objects[object].next.map(|(next, _)| next));
            let known = known.get(&object).copied().unwrap_or(0);
            for peer in &mut self.peers {
                for at in known..self.objects[object].records {
                    peer.again[object][at] += u32::from(peer.read[object][at] > 0);
                }
            }
        }
    }
}
