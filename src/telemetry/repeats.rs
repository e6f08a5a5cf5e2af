//! Suppression of repeated log lines that outside events can cause: an outage, a thousand corrupt objects, a queue of
//! unknown messages.
//!
//! Two lines are of the same kind if they come from the same statement of the program, about the same place (an input,
//! an output), for the same cause (what failed and how). Their text does not count: it names keys and messages, which
//! differ each time. The first line of a kind is written at once. Later lines within a minute are counted, except for a
//! few examples, and a line at the end of the minute gives the count. One more line reports the end.
//!
//! Pure: time is an argument.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use log::Level;

use crate::base::limits::{
    LOG_CAUSES_MAX, LOG_EXAMPLES_MAX, LOG_KINDS_MAX, LOG_REMINDER, LOG_TROUBLE_FORGOTTEN, LOG_TURNS_MAX,
};
use crate::base::text::{one_line, span};

/// The kinds logged lately, with their counts.
#[derive(Debug, Default)]
pub struct Repeats {
    kinds: HashMap<Kind, Seen>,
    hashes: RandomState,
}

/// One line that the program wants to log.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub level: Level,
    pub target: &'a str,
    /// The statement that logs it: module and line.
    pub site: (&'a str, u32),
    /// The part of the configuration that it is about: an input, an output. Empty for the collector.
    pub place: &'a str,
    /// The failure in few constant words: what failed, and how.
    pub cause: &'a str,
    pub turn: Turn,
    pub text: &'a str,
}

/// The relation of a line to earlier lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A separate event. Such events are over when none has come for a minute.
    Event,
    /// The place fails. That is over when it works again.
    Fails,
    /// The place works again: all its failures are over.
    Works,
}

/// One line to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub target: String,
    pub text: String,
    /// Lines with the same subject replace each other where only the latest matters.
    pub subject: String,
    /// Number of lines it stands for.
    pub times: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    site: (String, u32),
    place: String,
    cause: String,
}

/// The history of a kind since its first line.
#[derive(Debug)]
struct Seen {
    level: Level,
    target: String,
    turn: Turn,
    began: Instant,
    latest_at: Instant,
    total: u64,
    /// The start of the current minute, and the hashes of the texts written in it.
    minute: Instant,
    written: Vec<u64>,
    /// The number of this minute's lines that were not written, and the latest of them.
    left_out: u64,
    latest: String,
    /// Lines have been suppressed since it began.
    has_gathered: bool,
    /// The place has worked since its last failure, so the next failure is news.
    has_ended: bool,
}

impl Repeats {
    /// Takes a line that the program logs. Returns the line to write now: that one, perhaps with a count, or none.
    pub fn hear(&mut self, said: &Said<'_>, now: Instant) -> Option<Line> {
        if said.turn == Turn::Works {
            self.end_failures(said.place);
        }
        let hash = self.hashes.hash_one(said.text);
        let kind = self.kind_of(said);
        let seen = self.kinds.entry(kind.clone()).or_insert_with(|| Seen::new(said, now));
        seen.hear(&kind, said, hash, now)
    }

    /// Returns the lines that are due: counts of the previous minute, and ends.
    pub fn tick(&mut self, now: Instant) -> Vec<Line> {
        let due = self.kinds.iter_mut().filter_map(|(kind, seen)| seen.due(kind, now)).collect();
        self.kinds.retain(|_, seen| !seen.is_over(now));
        due
    }

    /// Returns, at the end of the program, the pending counts of events; failures of a place have been reported.
    pub fn settle(&mut self, now: Instant) -> Vec<Line> {
        let events = self.kinds.iter_mut().filter(|(_, seen)| seen.turn == Turn::Event);
        events.filter_map(|(kind, seen)| seen.gather(kind, now)).collect()
    }

    /// Suppressed lines whose count is in the line that reports recovery.
    fn end_failures(&mut self, place: &str) {
        let failing = |(kind, seen): &(&Kind, &mut Seen)| seen.turn == Turn::Fails && kind.place == place;
        self.kinds.iter_mut().filter(failing).for_each(|(_, seen)| seen.end());
    }

    /// The kind of a line. Others may choose the causes, so their number per place is bounded; the rest counts
    /// together.
    fn kind_of(&self, said: &Said<'_>) -> Kind {
        let owned = |place: &str, cause: &str| Kind {
            site: (said.site.0.to_owned(), said.site.1),
            place: place.to_owned(),
            cause: cause.to_owned(),
        };
        let kind = owned(said.place, said.cause);
        if self.kinds.contains_key(&kind) {
            return kind;
        }
        if self.kinds.len() >= LOG_KINDS_MAX {
            return owned("", "");
        }
        let beside = |other: &&Kind| other.site == kind.site && other.place == kind.place;
        let has_room = self.kinds.keys().filter(beside).count() < LOG_CAUSES_MAX;
        if has_room { kind } else { owned(said.place, "") }
    }
}

impl Seen {
    fn new(said: &Said<'_>, now: Instant) -> Seen {
        Seen {
            level: said.level,
            target: said.target.to_owned(),
            turn: said.turn,
            began: now,
            latest_at: now,
            total: 0,
            minute: now,
            written: Vec::new(),
            left_out: 0,
            latest: String::new(),
            has_gathered: false,
            has_ended: false,
        }
    }

    fn end(&mut self) {
        (self.left_out, self.has_ended) = (0, true);
    }

    /// The line to write now; None if it is only counted.
    fn hear(&mut self, kind: &Kind, said: &Said<'_>, hash: u64, now: Instant) -> Option<Line> {
        self.total += 1;
        (self.latest_at, self.level) = (now, said.level);
        let text = one_line(said.text).into_owned();
        if self.minute_is_over(now) {
            let (times, since) = (self.left_out + 1, self.minute);
            self.begin_minute(now, hash);
            self.has_ended = false;
            return Some(self.line(kind.subject(), counted(text, times, now - since), times));
        }
        if self.is_news(hash) {
            self.has_ended = false;
            self.written.push(hash);
            // Several examples are useful; several states of a place are not.
            let subject = if self.turn == Turn::Event { text.clone() } else { kind.subject() };
            return Some(self.line(subject, text, 1));
        }
        self.left_out += 1;
        self.has_gathered = true;
        self.latest = text;
        None
    }

    fn is_news(&self, hash: u64) -> bool {
        match self.turn {
            Turn::Event => self.written.len() < LOG_EXAMPLES_MAX && !self.written.contains(&hash),
            Turn::Fails => self.written.is_empty() || (self.has_ended && self.written.len() < LOG_TURNS_MAX),
            Turn::Works => self.written.len() < LOG_TURNS_MAX,
        }
    }

    fn minute_is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.minute) >= LOG_REMINDER
    }

    fn begin_minute(&mut self, now: Instant, hash: u64) {
        self.minute = now;
        self.written = vec![hash];
        self.left_out = 0;
    }

    fn due(&mut self, kind: &Kind, now: Instant) -> Option<Line> {
        if self.left_out > 0 {
            return if self.minute_is_over(now) { self.gather(kind, now) } else { None };
        }
        let ends = self.turn == Turn::Event && self.has_gathered && self.is_over(now);
        ends.then(|| {
            let (quiet, lasted) = (span(LOG_REMINDER), span(self.latest_at - self.began));
            let Seen { total, latest, .. } = self;
            let text = format!(
                "no such line for {quiet}, after {total} of them in {lasted}. The latest was: {latest}"
            );
            Line { level: Level::Info, ..self.line(kind.subject(), text, 0) }
        })
    }

    /// One line for the suppressed ones.
    fn gather(&mut self, kind: &Kind, now: Instant) -> Option<Line> {
        let (times, since) = (self.left_out, self.minute);
        if times == 0 {
            return None;
        }
        self.begin_minute(now, 0);
        Some(self.line(kind.subject(), counted(self.latest.clone(), times, now - since), times))
    }

    fn line(&self, subject: String, text: String, times: u64) -> Line {
        Line { level: self.level, target: self.target.clone(), text, subject, times }
    }

    fn is_over(&self, now: Instant) -> bool {
        let quiet = if self.turn == Turn::Event { LOG_REMINDER } else { LOG_TROUBLE_FORGOTTEN };
        self.left_out == 0 && now.saturating_duration_since(self.latest_at) >= quiet
    }
}

impl Kind {
    fn subject(&self) -> String {
        format!("{}:{} {} {}", self.site.0, self.site.1, self.place, self.cause)
    }
}

fn counted(text: String, times: u64, within: Duration) -> String {
    match times {
        1 => text,
        _ => format!("{text} ({times} times in {}; this was the latest)", span(within)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn said<'a>(cause: &'a str, turn: Turn, text: &'a str) -> Said<'a> {
        let (level, target) = (Level::Warn, "aws_to_devo::stages::fetch");
        Said { level, target, site: ("aws_to_devo::stages::fetch", 7), place: "inputs.a", cause, turn, text }
    }

    /// The lines, each with its second, that the log has after `lines` (seconds from the start, cause, turn, text),
    /// with time passing second by second until `end`.
    fn log_of(lines: &[(u64, &str, Turn, String)], end: u64) -> Vec<(u64, String)> {
        let (start, mut repeats, mut log) = (Instant::now(), Repeats::default(), Vec::new());
        for second in 0..=end {
            let now = start + second as u32 * SECOND;
            for (_, cause, turn, text) in lines.iter().filter(|line| line.0 == second) {
                log.extend(repeats.hear(&said(cause, *turn, text), now).map(|line| (second, line.text)));
            }
            log.extend(repeats.tick(now).into_iter().map(|line| (second, line.text)));
        }
        log
    }

    #[test]
    fn an_outage_is_one_line_at_once_one_a_minute_and_one_at_its_end() {
        let keys =
            (0..130).flat_map(|s| (0..4).map(move |n| (s, "503", Turn::Fails, format!("key {s}-{n}"))));
        let lines: Vec<_> = keys.chain([(133, "works", Turn::Works, "works again".to_owned())]).collect();
        let expected = [
            (0, "key 0-0".to_owned()),
            (60, "key 60-0 (240 times in 1 m; this was the latest)".to_owned()),
            (120, "key 120-0 (240 times in 1 m; this was the latest)".to_owned()),
            (133, "works again".to_owned()),
        ];
        assert_eq!(log_of(&lines, 400), expected);
    }

    #[test]
    fn what_fails_in_another_way_is_told_at_once_and_two_ways_in_turn_are_two() {
        let ways = (0..50)
            .map(|s| (s, if s % 2 == 0 { "refused" } else { "timed out" }, Turn::Fails, s.to_string()));
        let log = log_of(&ways.collect::<Vec<_>>(), 59);
        assert_eq!(log, [(0, "0".to_owned()), (1, "1".to_owned())]);
    }

    #[test]
    fn a_place_that_fails_and_works_in_turn_is_told_of_once_a_minute() {
        let turns = (0..170).map(|s| match s % 2 {
            0 => (s, "503", Turn::Fails, "fails".to_owned()),
            _ => (s, "works", Turn::Works, "works again".to_owned()),
        });
        let log = log_of(&turns.collect::<Vec<_>>(), 400);
        assert!(log.len() <= 3 * 2 * (LOG_TURNS_MAX + 1), "{log:?}");
        let first: Vec<_> = log.iter().take(4).map(|line| (line.0, line.1.as_str())).collect();
        assert_eq!(
            first,
            [(0, "fails"), (1, "works again"), (2, "fails"), (3, "works again")],
            "a second outage is news"
        );
        assert_eq!(log.last().map(|line| line.1.contains("works again")), Some(true), "{log:?}");
    }

    #[test]
    fn damaged_objects_are_named_in_part_and_all_are_counted() {
        let objects: Vec<_> =
            (0..200).map(|n| (n / 50, "gzip", Turn::Event, format!("object {n}"))).collect();
        let log = log_of(&objects, 300);
        let examples: Vec<_> = log.iter().filter(|(second, _)| *second == 0).collect();
        assert_eq!((examples.len(), log.len()), (LOG_EXAMPLES_MAX, LOG_EXAMPLES_MAX + 2), "{log:?}");
        let [counted, over] = &log[LOG_EXAMPLES_MAX..] else { panic!("{log:?}") };
        assert_eq!(counted, &(60, "object 199 (195 times in 1 m; this was the latest)".to_owned()));
        assert!(over.1.contains("after 200 of them in 3 s"), "{over:?}");
    }

    #[test]
    fn a_few_different_lines_are_all_written_and_nothing_follows() {
        let few = (0..3).map(|n| (n, "gzip", Turn::Event, format!("object {n}"))).collect::<Vec<_>>();
        assert_eq!(log_of(&few, 300).len(), 3);
        let apart = (0..9).map(|n| (100 * n, "gzip", Turn::Event, "the same".to_owned())).collect::<Vec<_>>();
        assert_eq!(log_of(&apart, 1000).len(), 9);
        let same = (0..9).map(|n| (n, "gzip", Turn::Event, "the same".to_owned())).collect::<Vec<_>>();
        assert_eq!(log_of(&same, 59).len(), 1);
    }

    #[test]
    fn causes_that_others_choose_are_bounded() {
        let causes: Vec<String> = (0..5000).map(|n| format!("bucket {n}")).collect();
        for turn in [Turn::Event, Turn::Fails] {
            let lines: Vec<_> = causes.iter().map(|cause| (0, cause.as_str(), turn, cause.clone())).collect();
            let log = log_of(&lines, 59);
            assert!(log.len() <= LOG_CAUSES_MAX + LOG_EXAMPLES_MAX, "{}", log.len());
        }
    }

    #[test]
    fn kinds_are_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for n in 0..10 * LOG_KINDS_MAX {
            let place = format!("inputs.{n}");
            repeats.hear(&Said { place: &place, ..said("x", Turn::Event, "text") }, now);
        }
        assert_eq!(repeats.kinds.len(), LOG_KINDS_MAX + 1);
        repeats.settle(now);
        repeats.tick(now + LOG_REMINDER);
        assert!(repeats.kinds.len() <= 1, "what is over is forgotten");
    }

    #[test]
    fn the_end_of_the_program_tells_what_is_not_told_yet() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for n in 0..10 {
            repeats.hear(&said("x", Turn::Event, &n.to_string()), now);
        }
        let told = repeats.settle(now + 3 * SECOND);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].times, told[0].text.as_str()), (5, "9 (5 times in 3 s; this was the latest)"));
        assert_eq!(repeats.settle(now + 4 * SECOND), []);
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_the_log_stays_small(
            lines in proptest::collection::vec((0u64..180, 0usize..20, 0usize..3, ".{0,8}"), 0..400),
        ) {
            let causes: Vec<String> = (0..20).map(|n| n.to_string()).collect();
            let turns = [Turn::Event, Turn::Fails, Turn::Works];
            let lines: Vec<_> =
                lines.into_iter().map(|(s, c, t, text)| (s, causes[c].as_str(), turns[t], text)).collect();
            let most = (LOG_CAUSES_MAX + 1) * (LOG_EXAMPLES_MAX + 2) * 4;
            proptest::prop_assert!(log_of(&lines, 400).len() <= most);
        }
    }
}
