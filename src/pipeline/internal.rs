//! The collector's internal events, sent like other events to a table of the user's choice.
//!
//! They must not delay anything: events that an output does not take at once are dropped, and so are those that come
//! while earlier ones are unconfirmed. So warnings about a failing output cannot pile up in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ack::{Ack, Outcome};
use crate::base::buffers::Buffer;
use crate::base::crew::Crew;
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::decode::{Newlines, Record};
use crate::settings::InternalEvents;
use crate::stages::frame::Frames;
use crate::stages::send::Outputs;
use crate::telemetry::Telemetry;
use crate::telemetry::reporters::events;

/// The thread's parts. It holds the outputs: join it before them.
pub struct Internal {
    pub settings: InternalEvents,
    /// The only output to send to; None for all.
    pub output: Option<usize>,
    /// The syslog HOST field.
    pub host: String,
    pub outputs: Outputs,
    pub telemetry: Arc<Telemetry>,
    pub stop: Stop,
}

impl Internal {
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(self) -> std::io::Result<Crew> {
        let mut crew = Crew::new();
        crew.spawn("internal-events", move || self.run())?;
        Ok(crew)
    }

    fn run(self) {
        let (mut told, busy) = (0, Arc::new(AtomicBool::new(false)));
        loop {
            let stopped = self.stop.wait(self.settings.period);
            let (news, count) = self.telemetry.notices.since(told);
            told = count;
            let lines = events::lines(&self.telemetry.snapshot(clock::timestamp()), &news);
            self.tell(&lines, &busy);
            if stopped {
                return;
            }
        }
    }

    fn tell(&self, lines: &[String], busy: &Arc<AtomicBool>) {
        let count = lines.len() as u64;
        if busy.swap(true, Ordering::AcqRel) {
            return self.telemetry.internal.dropped.add(count);
        }
        let mut frames = Frames::new(&self.host, clock::timestamp(), Buffer::default());
        for line in lines {
            frames.push(&self.settings.tag, Record::new(line.as_bytes(), Newlines::Absent));
        }
        let (telemetry, busy) = (Arc::clone(&self.telemetry), Arc::clone(busy));
        let ack = Ack::open(move |outcome| {
            let internal = &telemetry.internal;
            let counter = if outcome == Outcome::Delivered { &internal.events } else { &internal.dropped };
            counter.add(count);
            busy.store(false, Ordering::Release);
        });
        // A refused event drops its share, which counts as not delivered.
        self.outputs.offer(frames, &ack, self.output);
        ack.close(Outcome::Delivered);
    }
}
