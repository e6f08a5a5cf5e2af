//! The console output: frames to standard output, confirmed by a successful flush.

use std::io::{self, Write};

use crossbeam_channel::Receiver;

use crate::ack::Outcome;
use crate::frame::Batch;
use crate::telemetry::Output;

/// Writes until the channel is closed. A batch that cannot be written is not confirmed.
pub fn run(batches: &Receiver<Batch>, telemetry: &Output) {
    for batch in batches {
        telemetry.send.waiting.add(-1);
        telemetry.send.events_written.add(batch.events.into());
        match write(&batch.bytes) {
            Ok(()) => {
                telemetry.send.events.add(batch.events.into());
                telemetry.send.bytes.add(batch.bytes.len() as u64);
                batch.share.resolve(Outcome::Delivered);
            }
            Err(e) => {
                log::error!("cannot write to standard output: {e}; {} events will come again", batch.events)
            }
        }
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
