//! The collector's own events, sent the ordinary way to a table of the user's choice.
//!
//! They are not to be in anybody's way: what an output does not take at once is dropped, and so is what comes
//! while earlier ones are still unconfirmed. So warnings about an output that fails cannot pile up in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::ack::{Ack, Outcome};
use crate::base::buffers::Buffer;
use crate::base::crew::Crew;
use crate::base::stop::Stop;
use crate::decode::{Newlines, Record};
use crate::settings::InternalEvents;
use crate::stages::frame::Frames;
use crate::stages::send::Outputs;
use crate::telemetry::Telemetry;
use crate::telemetry::reporters::events;

/// What the thread needs. It holds the outputs: join it before them.
pub struct Internal {
    pub settings: InternalEvents,
    /// The only output to send to; None: all.
    pub output: Option<usize>,
    /// The syslog HOST field.
    pub host: String,
    pub outputs: Outputs,
    pub telemetry: Arc<Telemetry>,
    pub stop: Stop,
}

impl Internal {
    /// # Errors
    /// When the machine will not start another thread.
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
            let lines = events::lines(&self.telemetry.snapshot(Timestamp::now()), &news);
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
        let mut frames = Frames::new(&self.host, Timestamp::now(), Buffer::default());
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
        // What is not taken drops its share, which counts as not delivered.
        self.outputs.offer(frames, &ack, self.output);
        ack.close(Outcome::Delivered);
    }
}
