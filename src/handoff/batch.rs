//! Batches of frames, and their origin.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Gzip;
use super::parts::{middle, parts};
use crate::ack::Share;
use crate::base::buffers::Buffer;
use crate::base::object::Object;

/// Frames that are sent and acknowledged together.
#[derive(Debug)]
pub struct Batch {
    /// Whole frames, or a gzip member of them. Shared if an event goes to several outputs.
    pub bytes: Arc<Buffer>,
    /// Number of frames.
    pub events: u32,
    /// True if a frame is octet-counted.
    pub counted: bool,
    /// The batch's share of its object.
    pub share: Share,
    /// Batches of one lane are sent in order; None for any order.
    pub lane: Option<u64>,
    /// The object of the frames; None for the collector's own events.
    pub origin: Option<Arc<Origin>>,
    /// Number of the origin's frames before the first one here.
    pub first_frame: u32,
    /// The batch's history on its connections.
    pub trial: Trial,
}

/// The object behind a batch, so that a single frame can be named.
#[derive(Debug)]
pub struct Origin {
    pub object: Arc<Subject>,
    /// Number of the object's record of the first frame, counted from 1, if none is left out.
    pub first_record: u64,
    /// Records without a frame: their number, and the number of frames before them.
    pub left_out: Vec<(u32, u64)>,
}

/// An object's name for log lines.
#[derive(Debug)]
pub struct Subject {
    /// None if it is no object of S3.
    pub object: Option<Object>,
    /// Bucket and key, the id of a message, or an API's page.
    pub name: String,
    /// The name with the identity of its content.
    pub id: String,
    /// True if it is redelivered when not acknowledged, and ends in a dead-letter queue, unlike a page of an API.
    pub returns: bool,
}

/// The history of a batch's connections, kept by the senders.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trial {
    /// Connections that the peer ended while the batch was unconfirmed on them.
    pub strikes: u32,
    /// Connections that the peer ended while the batch was alone on them, though another one survived.
    pub kills: u32,
    /// Lifetime of the last such connection, if another one must survive longer before it counts.
    pub suspected: Option<Duration>,
    /// The output's number of connections ended by the peer when it last ended one of this batch.
    pub since: u64,
    /// The output's number of connections ended by the peer when the batch was last written.
    pub written_after: u64,
    /// It is not sent again before this time.
    pub not_before: Option<Instant>,
}

impl Origin {
    /// The number of the record of frame `frame` of this origin.
    pub fn record(&self, frame: u32) -> u64 {
        let before = self.left_out.iter().filter(|(frames, _)| *frames <= frame);
        self.first_record + u64::from(frame) + before.map(|(_, records)| records).sum::<u64>()
    }
}

impl Batch {
    /// A batch of unknown origin.
    pub fn new(bytes: Arc<Buffer>, events: u32, share: Share) -> Batch {
        Batch {
            bytes,
            events,
            counted: false,
            share,
            lane: None,
            origin: None,
            first_frame: 0,
            trial: Trial::default(),
        }
    }

    /// The same frames for another output: with its own share, and without history.
    pub fn copy(&self, share: Share) -> Batch {
        let (bytes, origin) = (Arc::clone(&self.bytes), self.origin.clone());
        Batch { bytes, share, origin, trial: Trial::default(), ..*self }
    }

    /// Two batches with about half of the frames each. `gzip` made the bytes, if they are compressed.
    ///
    /// # Errors
    /// The batch itself, if it is a single frame, or its bytes are not frames.
    pub fn halve(self, gzip: Option<&Gzip>) -> Result<[Batch; 2], Batch> {
        let Some((before, left, right)) = self.halves(gzip) else { return Err(self) };
        let (events, share, origin) =
            (self.events.saturating_sub(before), self.share.fork(), self.origin.clone());
        let trial = Trial { kills: 0, ..self.trial };
        let [left, right] = [left, right].map(|half| Arc::new(self.bytes.beside(half)));
        let first = Batch { bytes: left, events: before, trial, ..self };
        let first_frame = first.first_frame + before;
        let second = Batch { bytes: right, events, share, origin, first_frame, ..first };
        Ok([first, second])
    }

    /// The number of frames in the first half, and the bytes of both halves. None if there are fewer than two frames.
    fn halves(&self, gzip: Option<&Gzip>) -> Option<(u32, Vec<u8>, Vec<u8>)> {
        let frames = self.frames(gzip);
        let (at, before) = middle(&frames)?;
        Some((before, packed(&frames[..at], gzip), packed(&frames[at..], gzip)))
    }

    /// The uncompressed frames.
    fn frames(&self, gzip: Option<&Gzip>) -> Cow<'_, [u8]> {
        gzip.map_or(Cow::Borrowed(self.bytes.as_slice()), |gzip| Cow::Owned(gzip.frames(&self.bytes)))
    }

    /// The bytes of the first frame alone; `gzip` as for [`Batch::halve`]. None if it is longer than `most`.
    pub fn first_frame(&self, gzip: Option<&Gzip>, most: usize) -> Option<Vec<u8>> {
        let frames = self.frames(gzip);
        let first = parts(&frames).next().filter(|frame| frame.len() <= most)?;
        Some(packed(first, gzip))
    }

    /// The description of the batch's frames in a log line; `gzip` as for [`Batch::halve`].
    pub fn describe(&self, gzip: Option<&Gzip>) -> String {
        let frames = self.frames(gzip);
        let size = frames.len();
        match &self.origin {
            Some(origin) if parts(&frames).nth(1).is_none() => {
                let record = origin.record(self.first_frame);
                format!("record {record} of {} ({size} bytes as a frame)", origin.object.name)
            }
            Some(origin) => {
                let (first, last) = (self.first_frame, self.first_frame + self.events.saturating_sub(1));
                let (first, last) = (origin.record(first), origin.record(last));
                format!("records {first} to {last} of {} ({size} bytes as frames)", origin.object.name)
            }
            None => format!("{} of the collector's own events ({size} bytes)", self.events),
        }
    }
}

fn packed(frames: &[u8], gzip: Option<&Gzip>) -> Vec<u8> {
    gzip.map_or_else(|| frames.to_vec(), |gzip| gzip.member(frames))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::ack::{Ack, Outcome};
    use crate::base::budget::Budget;
    use crate::decode::{Newlines, Record};
    use crate::stages::frame::Frames;

    /// A batch of those records, numbered from 11; None ones are left out.
    fn batch(records: &[Option<String>], ack: &Ack) -> Batch {
        let mut frames = Frames::new("h", Timestamp::UNIX_EPOCH, Buffer::default());
        for record in records {
            match record {
                Some(record) => frames.push("t", Record::new(record.as_bytes(), Newlines::Significant)),
                None => frames.leave_out(),
            }
        }
        let subject = Subject { object: None, name: "s3://b/k".into(), id: "s3://b/k".into(), returns: true };
        frames.into_batch_of(&Arc::new(subject), 11, ack.share(), Some(7))
    }

    fn compressed(batch: Batch, gzip: &Gzip) -> Batch {
        Batch { bytes: Arc::new(gzip.member(&batch.bytes).into()), ..batch }
    }

    /// Halves until there are only single frames, in order.
    fn singles(batch: Batch, gzip: Option<&Gzip>) -> Vec<Batch> {
        match batch.halve(gzip) {
            Ok(halves) => halves.into_iter().flat_map(|half| singles(half, gzip)).collect(),
            Err(single) => vec![single],
        }
    }

    #[test]
    fn halves_are_charged_like_the_whole() {
        let (budget, ack) = (Budget::new(1 << 20), Ack::open(|_| ()));
        let bytes = Buffer::holding(b"<14>a\n".repeat(1000), budget.try_acquire(1 << 16).unwrap());
        let halves = Batch::new(Arc::new(bytes), 1000, ack.share()).halve(None).unwrap();
        let held: usize = halves.iter().map(|half| half.bytes.held_bytes()).sum();
        assert!(held >= 6000 && budget.taken() == held, "{held} {}", budget.taken());
        drop(halves);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_record_is_named_with_its_number_and_size() {
        let ack = Ack::open(|_| ());
        let records = [None, Some("one".to_owned()), None, None, Some("t\nwo".to_owned()), None];
        let names: Vec<_> = singles(batch(&records, &ack), None).iter().map(|b| b.describe(None)).collect();
        assert_eq!(
            names,
            ["record 12 of s3://b/k (29 bytes as a frame)", "record 15 of s3://b/k (33 bytes as a frame)"]
        );
        assert_eq!(batch(&records, &ack).describe(None), "records 12 to 15 of s3://b/k (62 bytes as frames)");
    }

    #[test]
    fn what_is_no_frame_comes_last_and_stays_whole() {
        for broken in [&b"<14>no end"[..], b"99 <14>short", b"7x <14>", b"123"] {
            let bytes = [b"<14>a\n", broken].concat();
            assert_eq!(parts(&bytes).collect::<Vec<_>>(), [b"<14>a\n", broken]);
        }
        assert_eq!(parts(b"").count(), 0);
    }

    proptest! {
        /// For any records, halving down to single frames loses none, keeps their order and numbers, and all of them
        /// together settle their object.
        #[test]
        fn halves_are_the_whole(
            records in proptest::collection::vec(proptest::option::weighted(0.7, "[ -~\n]{0,40}"), 1..40),
            level in proptest::option::of(1u8..3),
        ) {
            let (settled, outcome) = std::sync::mpsc::channel();
            let ack = Ack::open(move |outcome| settled.send(outcome).unwrap());
            let gzip = level.map(Gzip::new);
            let whole = batch(&records, &ack);
            let bytes = whole.bytes.to_vec();
            let whole = gzip.as_ref().map(|gzip| compressed(batch(&records, &ack), gzip)).unwrap_or(whole);
            prop_assume!(whole.events > 0);
            let singles = singles(whole, gzip.as_ref());
            let kept: Vec<u64> = (11u64..).zip(&records).filter(|(_, r)| r.is_some()).map(|(n, _)| n).collect();
            let numbers: Vec<u64> =
                singles.iter().map(|b| b.origin.as_ref().unwrap().record(b.first_frame)).collect();
            prop_assert_eq!(numbers, kept);
            prop_assert!(singles.iter().all(|b| b.events == 1 && b.lane == Some(7)));
            let inflate = |b: &Batch| gzip.as_ref().map_or_else(|| b.bytes.to_vec(), |gzip| gzip.frames(&b.bytes));
            prop_assert_eq!(singles.iter().flat_map(inflate).collect::<Vec<u8>>(), bytes);
            ack.close(Outcome::Delivered);
            for single in singles {
                prop_assert!(gzip.is_some() || outcome.try_recv().is_err());
                single.share.resolve(Outcome::Delivered);
            }
            prop_assert!(outcome.try_recv().is_ok());
        }
    }
}
