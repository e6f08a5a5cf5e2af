//! The single writer thread.

use std::sync::Arc;

use super::clocks::Clocks;
use super::in_work::{InWork, Name};
use super::late::Late;
use super::mark::Mark;
use super::open_error::told;
use super::row::Row;
use super::sent::{REPEATED, Sent, Waiting, seconds, slot_of};
use super::store::{Store, is_busy};
use crate::ack::Outcome;
use crate::base::backoff::Backoff;
use crate::base::limits::{
    LEDGER_AGE_MAX, LEDGER_BUSY_BACKOFF_FIRST, LEDGER_BUSY_BACKOFF_MAX, LEDGER_BUSY_PATIENCE,
    LEDGER_BYTES_MAX, LEDGER_GATHER_TIME, LEDGER_GROUP, LEDGER_LATE_MAX, LEDGER_PROGRESS_BATCHES,
    LEDGER_PROGRESS_INTERVAL, LEDGER_SWEEP_ROWS,
};
use crate::base::runtime::channel::{Receiver, RecvTimeoutError, Sender};
use crate::base::runtime::{clock, disk, thread};
use crate::telemetry::{Health, Telemetry};

/// A command to the writer.
pub enum Command {
    /// Record a row, then settle the object's messages.
    Record { row: Box<Row>, then: Finish },
    /// Record the ending of an object that was not collected.
    Note(Box<Row>),
    /// Record how far a polled source is delivered.
    Mark(Box<Mark>),
    /// A suspect was decoded after all.
    Acquit(Box<Name>),
    /// Record how far everything in flight is confirmed, and all earlier commands; then answer.
    Save { end: bool, done: Sender<()> },
}

/// Ends an object's work when dropped: a writer that is gone must not hold up a message whose object is delivered.
#[derive(Debug)]
pub struct Finish {
    pub in_work: Arc<InWork>,
    pub name: Arc<Name>,
    pub outcome: Outcome,
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.in_work.finish(&self.name, self.outcome);
    }
}

pub struct Writer {
    pub store: Store,
    pub in_work: Arc<InWork>,
    pub sent: Arc<Waiting>,
    pub late: Arc<Late>,
    pub kept: Kept,
    pub commands: Receiver<Command>,
    pub clocks: Clocks,
    pub health: Arc<Health>,
    pub telemetry: Arc<Telemetry>,
    /// The number of repeated events that are already written.
    pub repeated: u64,
}

/// Other entries that could not be written, until they can be.
#[derive(Default)]
pub struct Kept {
    /// One of each source.
    marks: Vec<Mark>,
    acquitted: Vec<Name>,
}

/// Rows that share a transaction, and the actions after it.
#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    marks: Vec<Mark>,
    acquitted: Vec<Name>,
    then: Vec<Finish>,
    save: Option<(bool, Sender<()>)>,
}

impl Writer {
    /// Runs until told to end, or until all senders are gone.
    pub fn run(mut self) {
        let mut looked = clock::now();
        let mut swept = 0;
        self.repeated = self.telemetry.send().repeated;
        loop {
            let group = match self.commands.recv_timeout(LEDGER_PROGRESS_INTERVAL) {
                Ok(command) => self.gather(command),
                Err(RecvTimeoutError::Timeout) => Group::default(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            swept += group.rows.len();
            let end = self.carry_out(group);
            if clock::since(looked) >= LEDGER_PROGRESS_INTERVAL {
                looked = clock::now();
                self.record(&self.in_work.unsaved(LEDGER_PROGRESS_BATCHES), false);
                self.mark(Vec::new());
                self.acquit(Vec::new());
                self.sweep(std::mem::take(&mut swept));
            }
            if end {
                return;
            }
        }
    }

    /// The command and those that come soon after it.
    fn gather(&self, first: Command) -> Group {
        let (mut group, until) = (Group::default(), clock::now() + LEDGER_GATHER_TIME);
        group.add(first);
        while group.rows.len() + group.marks.len() < LEDGER_GROUP && group.save.is_none() {
            match self.commands.recv_deadline(until) {
                Ok(command) => group.add(command),
                Err(_) => break,
            }
        }
        group
    }

    /// Returns true if that was the last.
    fn carry_out(&mut self, mut group: Group) -> bool {
        if group.save.is_some() {
            group.rows.extend(self.in_work.unsaved(1));
        }
        self.record(&group.rows, group.save.is_some());
        self.mark(group.marks);
        self.acquit(group.acquitted);
        drop(group.then);
        let Some((end, done)) = group.save else { return false };
        // The caller may have given up.
        let _ = done.send(());
        if end {
            self.tell_of_lost();
        }
        end
    }

    fn tell_of_lost(&self) {
        let lost = self.late.count() + self.kept.marks.len();
        if lost > 0 {
            log::error!(
                "ledger: {lost} entries could not be written, and are lost with the end of this run. What they are about is sent again if its message comes again or its source is read again, and an audit will call such objects missing. Give the state directory room"
            );
        }
    }

    /// Delivery does not depend on the ledger: entries that cannot be written wait for a time when they can be. After a crash before
    /// that, what they are about may be sent again. With `all`, counts that could wait are written too.
    fn record(&mut self, rows: &[Row], all: bool) {
        let mut sent = self.sent.take(rows.is_empty() && !all);
        if rows.is_empty() && sent.is_empty() && self.late.count() == 0 {
            return;
        }
        let now = self.clocks.now(machine_time());
        sent.extend(self.newly_repeated(now));
        let rows: Vec<Row> = rows.iter().map(|row| Row { at: now, ..row.clone() }).collect();
        let written =
            self.record_late().and_then(|()| patiently(&self.health, || self.store.record(&rows, &sent)));
        let (is_written, entries) = (written.is_ok(), rows.len());
        let dropped = if is_written { 0 } else { self.late.add(rows) };
        if !is_written {
            self.sent.give_back(sent);
        }
        self.report(written, entries, dropped);
    }

    /// Records the entries that could not be written before.
    fn record_late(&mut self) -> rusqlite::Result<()> {
        loop {
            let rows = self.late.some(LEDGER_GROUP);
            if rows.is_empty() {
                return Ok(());
            }
            patiently(&self.health, || self.store.record(&rows, &[]))?;
            self.late.written(&rows);
            self.telemetry.ledger.recorded.add(rows.len() as u64);
        }
    }

    /// Events that were sent again since the last call.
    fn newly_repeated(&mut self, now: i64) -> Option<Sent> {
        let all = self.telemetry.send().repeated;
        let events = all.saturating_sub(std::mem::replace(&mut self.repeated, all));
        let (source, table) = (String::new(), REPEATED.to_owned());
        (events > 0).then(|| Sent { slot: slot_of(now), source, table, events, bytes: 0 })
    }

    /// Records marks of polled sources, after those that could not be written before.
    fn mark(&mut self, marks: Vec<Mark>) {
        let entries = marks.len();
        for mark in marks {
            match self.kept.marks.iter_mut().find(|kept| kept.source == mark.source) {
                Some(kept) => kept.merge(mark),
                None => self.kept.marks.push(mark),
            }
        }
        if self.kept.marks.is_empty() {
            return;
        }
        let now = self.clocks.now(machine_time());
        let written = patiently(&self.health, || self.store.mark(&self.kept.marks, now));
        let entries = match written {
            Ok(()) => entries.max(self.kept.marks.drain(..).count()),
            Err(_) => entries,
        };
        self.report(written, entries, 0);
    }

    fn acquit(&mut self, names: Vec<Name>) {
        self.kept.acquitted.extend(names);
        while let Some(name) = self.kept.acquitted.last() {
            if let Err(error) = patiently(&self.health, || self.store.acquit(&name.place)) {
                log::debug!("ledger: a suspect cannot be cleared now: {error}");
                return;
            }
            self.kept.acquitted.pop();
        }
    }

    /// Notes the result of a write; `dropped` entries do not wait for another one.
    fn report(&self, written: rusqlite::Result<()>, entries: usize, dropped: usize) {
        let counts = &self.telemetry.ledger;
        match written {
            Ok(()) => {
                counts.recorded.add(entries as u64);
                self.health.works();
            }
            Err(error) => {
                counts.unrecorded.add(entries as u64);
                let rest = if dropped > 0 {
                    format!(
                        "More than {LEDGER_LATE_MAX} wait, so that others are dropped: an audit will call their objects missing"
                    )
                } else {
                    "After a crash before that, what they are about may be sent again".to_owned()
                };
                self.health.failed(
                    format!("cannot be written: {}. Delivery continues, and entries wait in memory until they can be written. {rest}", told(&error)),
                    false,
                );
            }
        }
    }

    /// Removes as many entries as were added, and some more, so that it keeps up in small steps.
    fn sweep(&mut self, added: usize) {
        let earliest = self.clocks.earliest(machine_time());
        let oldest = earliest.map_or(i64::MIN, |now| now.saturating_sub(seconds(LEDGER_AGE_MAX)));
        match self.store.sweep(oldest, LEDGER_BYTES_MAX, added + LEDGER_SWEEP_ROWS) {
            Ok(forgotten) => log::trace!("ledger: {forgotten} old entries removed"),
            // Left for the next time.
            Err(error) => log::debug!("ledger: old entries cannot be removed now: {error}"),
        }
    }
}

impl Group {
    fn add(&mut self, command: Command) {
        match command {
            Command::Record { row, then } => {
                self.rows.push(*row);
                self.then.push(then);
            }
            Command::Note(row) => self.rows.push(*row),
            Command::Mark(mark) => self.marks.push(*mark),
            Command::Acquit(name) => self.acquitted.push(*name),
            Command::Save { end, done } => self.save = Some((end, done)),
        }
    }
}

/// Retries while another process holds the file, up to a limit.
fn patiently(health: &Health, mut write: impl FnMut() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let _waiting = health.asks(
        "a write, by the disk or by another program that holds the file".to_owned(),
        2 * LEDGER_BUSY_PATIENCE,
    );
    let began = clock::now();
    disk::write();
    let mut backoff = Backoff::new(LEDGER_BUSY_BACKOFF_FIRST, LEDGER_BUSY_BACKOFF_MAX);
    loop {
        match write() {
            Err(error)
                if is_busy(&error)
                    && health.trouble().is_none()
                    && clock::since(began) < LEDGER_BUSY_PATIENCE =>
            {
                thread::sleep(backoff.pause());
            }
            result => return result,
        }
    }
}

fn machine_time() -> i64 {
    clock::timestamp().as_second()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::ack::{Ending, Tables};
    use crate::base::runtime::channel::unbounded;
    use crate::ledger::row::{Identity, Place};
    use crate::telemetry::Output;

    /// Days from now.
    fn day(days: i64) -> i64 {
        machine_time() + days * 24 * 3600
    }

    fn writer(directory: &TempDir, telemetry: Telemetry) -> Writer {
        Writer {
            store: Store::open(&directory.path().join("ledger")).unwrap(),
            in_work: Arc::default(),
            sent: Arc::default(),
            late: Arc::default(),
            kept: Kept::default(),
            commands: unbounded().1,
            clocks: Clocks::default(),
            health: Arc::new(Health::new("ledger")),
            telemetry: Arc::new(telemetry),
            repeated: 0,
        }
    }

    /// True if an entry of that day is still there after a sweep with these clocks.
    fn outlives(written: i64, clocks: &[Option<i64>]) -> bool {
        let directory = TempDir::new().unwrap();
        let mut writer = writer(&directory, Telemetry::default());
        for days in clocks {
            let time = days.map(|days| SystemTime::from(Timestamp::from_second(day(days)).unwrap()));
            writer.clocks.add(move || time);
        }
        let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
        let ended = Row::ended(place.clone(), Identity::default(), 1, Ending::Sent);
        let row = Row { delivered: true, at: day(written), ..ended };
        writer.store.write(&[row]).unwrap();
        writer.sweep(0);
        !writer.store.rows(&place).unwrap().is_empty()
    }

    /// A past day is what a clock that has jumped ahead sees.
    #[test]
    fn only_what_all_known_clocks_call_old_is_forgotten() {
        assert!(!outlives(-20, &[Some(0)]), "it is old");
        assert!(!outlives(-20, &[None, Some(0)]));
        assert!(outlives(-20, &[Some(-20)]), "this machine's clock alone is ahead");
        assert!(outlives(-20, &[Some(0), Some(-20)]), "one of AWS's is ahead, and so is this machine's");
        assert!(outlives(-1, &[Some(20)]), "AWS's alone is ahead");
        assert!(outlives(-20, &[None]) && outlives(-20, &[]), "no clock is known");
    }

    #[test]
    fn events_that_were_sent_again_are_counted_once_when_something_else_is_written() {
        let directory = TempDir::new().unwrap();
        let mut telemetry = Telemetry::default();
        telemetry.outputs.push(Arc::new(Output::new("o", "o:1".into())));
        let output = Arc::clone(&telemetry.outputs[0]);
        let mut writer = writer(&directory, telemetry);
        let repeated =
            |writer: &mut Writer| writer.newly_repeated(600).map(|sent| (sent.slot, sent.table, sent.events));
        assert_eq!(repeated(&mut writer), None);
        for events in [5, 7] {
            output.send.repeated.add(events);
            assert_eq!(repeated(&mut writer), Some((600, REPEATED.to_owned(), events)));
            assert_eq!(repeated(&mut writer), None);
        }
        // Nothing is written for them alone; what ends a ledger writes them.
        output.send.repeated.add(9);
        writer.sent.add("s", &Tables::default(), 600);
        writer.record(&[], false);
        assert_eq!(writer.store.sent(0, i64::MAX).unwrap(), []);
        let mut tables = Tables::default();
        tables.add("a.b", 2, 20);
        writer.sent.add("s", &tables, 600);
        writer.record(&[], true);
        let sent: Vec<_> =
            writer.store.sent(0, i64::MAX).unwrap().into_iter().map(|sent| sent.events).collect();
        assert_eq!(sent.iter().sum::<u64>(), 11, "{sent:?}");
    }

    #[test]
    fn a_group_ends_with_a_request_to_save_or_when_it_is_large() {
        let directory = TempDir::new().unwrap();
        let note = |number: usize| {
            let place = Place { input: "1".into(), bucket: "b".into(), key: number.to_string() };
            Command::Note(Box::new(Row::ended(place, Identity::default(), 1, Ending::Sent)))
        };
        let mark = || Command::Mark(Box::new(Mark { source: "s".into(), ..Mark::default() }));
        let (commands, taken) = unbounded();
        let writer = Writer { commands: taken, ..writer(&directory, Telemetry::default()) };
        commands.send(note(1)).unwrap();
        commands
            .send(Command::Save { end: false, done: crate::base::runtime::channel::bounded(1).0 })
            .unwrap();
        commands.send(note(2)).unwrap();
        let group = writer.gather(note(0));
        assert!(group.rows.len() == 2 && group.save.is_some());
        (0..LEDGER_GROUP).for_each(|number| commands.send(note(number)).unwrap());
        let group = writer.gather(mark());
        assert_eq!((group.rows.len(), group.marks.len()), (LEDGER_GROUP - 1, 1));
        assert_eq!(writer.gather(mark()).rows.len(), 2);
    }

    #[test]
    fn what_waits_is_written_though_nothing_else_is() {
        let directory = TempDir::new().unwrap();
        let mut writer = writer(&directory, Telemetry::default());
        let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
        let row = Row::ended(place.clone(), Identity::default(), 1, Ending::Sent);
        assert_eq!(writer.late.add([Row { delivered: true, ..row }]), 0);
        writer.record(&[], false);
        assert_eq!((writer.late.count(), writer.store.rows(&place).unwrap().len()), (0, 1));
        assert_eq!(writer.telemetry.ledger.recorded.value(), 1);
    }

    #[test]
    fn what_was_decoded_after_all_is_cleared() {
        let directory = TempDir::new().unwrap();
        let mut writer = writer(&directory, Telemetry::default());
        let name =
            Name::new(Place { input: "1".into(), bucket: "b".into(), key: "k".into() }, Identity::default());
        writer.store.suspect(std::slice::from_ref(&name), "run", 0).unwrap();
        assert!(writer.store.is_suspect(&name.place).unwrap());
        writer.acquit(vec![name.clone()]);
        assert!(!writer.store.is_suspect(&name.place).unwrap());
    }

    #[test]
    fn a_file_that_another_program_holds_is_tried_again_unless_it_was_in_trouble_before() {
        let failure = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let busy = || Err(failure(rusqlite::ffi::SQLITE_BUSY));
        let full = || Err(failure(rusqlite::ffi::SQLITE_FULL));
        let troubled = Health::new("ledger");
        troubled.failed("cannot be written", false);
        for (health, results, tries, succeeds) in [
            (&Health::new("ledger"), vec![busy(), busy(), Ok(())], 3, true),
            (&Health::new("ledger"), vec![full(), Ok(())], 1, false),
            (&troubled, vec![busy(), Ok(())], 1, false),
        ] {
            let (mut results, mut tried) = (results.into_iter(), 0);
            let written = patiently(health, || {
                tried += 1;
                results.next().unwrap()
            });
            assert_eq!((tried, written.is_ok()), (tries, succeeds));
        }
    }

    #[test]
    fn without_a_clock_of_aws_entries_are_dated_by_the_machine() {
        let now = Timestamp::now().as_second();
        assert!((now - 60..=now + 60).contains(&Clocks::default().now(machine_time())));
    }

    #[test]
    fn entries_are_dated_by_a_clock_that_is_known() {
        let clocks = Clocks::default();
        clocks.add(|| None);
        assert_eq!(clocks.now(5), 5);
        clocks.add(|| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
        assert_eq!((clocks.now(9), clocks.earliest(9)), (7, Some(7)));
    }
}
