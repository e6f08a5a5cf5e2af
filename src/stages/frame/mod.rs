//! Record -> syslog frame in a batch.
//!
//! Pure: the time is an argument. The bytes are those of `docs/devo-wire.md#frames`:
//!
//! ```text
//! <14>Nov 21 11:04:05 HOST TAG: MESSAGE\n             a record without a line feed
//! 42 <14>Nov 21 11:04:05 HOST TAG: LINE1\nLINE2\n     octet-counted (RFC 6587), including header and last LF
//! ```

mod lines;
mod mark;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::ack::{Share, Tables};
use crate::base::buffers::Buffer;
use crate::base::limits::BATCH_BYTES;
use crate::decode::{LineBlock, Newlines, Record};
use crate::handoff::Batch;
use crate::handoff::Origin;
use crate::handoff::Subject;

pub use mark::mark;

/// `<14>`: facility user, severity info, as the vendor's SDK sends.
const PRIORITY: &str = "<14>";

/// Overhead of a frame besides its date, host, tag and record: the digits of its length with a space, `: ` and the line
/// feed.
const FRAME_MARKS: usize = 24;

/// Writes frames one after another into a buffer.
#[derive(Debug)]
pub struct Frames {
    /// `<14>DATE HOST `, the same for all frames of a batch.
    prefix: Vec<u8>,
    /// The tag of the last frame, and the header before its body: one copy instead of three.
    tag: String,
    header: Vec<u8>,
    bytes: Buffer,
    events: u32,
    /// The numbers of events and bytes at the first frame of the current tag.
    tag_began: (u32, usize),
    /// The counts of earlier tags.
    tables: Tables,
    counted: bool,
    /// See [`Origin::left_out`].
    left_out: Vec<(u32, u64)>,
}

impl Frames {
    /// Creates empty frames, dated `now`, in the empty `buffer`.
    pub fn new(host: &str, now: Timestamp, buffer: Buffer) -> Frames {
        let date = now.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
        Frames {
            prefix: format!("{PRIORITY}{date} {host} ").into_bytes(),
            tag: String::new(),
            header: Vec::new(),
            bytes: buffer,
            events: 0,
            tag_began: (0, 0),
            tables: Tables::default(),
            counted: false,
            left_out: Vec::new(),
        }
    }

    /// Continues in that buffer, which is as empty as these frames.
    pub fn write_into(&mut self, buffer: Buffer) {
        self.bytes = buffer;
    }

    /// Appends a record under a tag.
    pub fn push(&mut self, tag: &str, record: Record<'_>) {
        match record.newlines {
            Newlines::Absent => self.push_plain(tag, record.bytes),
            Newlines::Insignificant => {
                self.push_plain(tag, record.bytes);
                let body = self.bytes.len() - 1 - record.bytes.len()..self.bytes.len() - 1;
                line_ends_to_spaces(&mut self.bytes[body]);
            }
            Newlines::Significant if memchr::memchr(b'\n', record.bytes).is_none() => {
                self.push_plain(tag, record.bytes);
            }
            Newlines::Significant => {
                self.under(tag);
                let length = self.prefix.len() + tag.len() + 2 + record.bytes.len() + 1;
                self.bytes.extend_from_slice(length.to_string().as_bytes());
                self.bytes.push(b' ');
                self.push_plain(tag, record.bytes);
                self.counted = true;
            }
        }
    }

    /// Appends lines under the tag of the last record, until the buffer or a batch is full. Returns their number.
    pub fn push_lines(&mut self, lines: &mut LineBlock<'_>) -> u32 {
        let appended = lines::append(&mut self.bytes, &self.header, lines, BATCH_BYTES);
        self.events += appended;
        appended
    }

    /// The maximum size of a record of this many bytes under a tag.
    pub fn room_for(&self, tag: &str, record_bytes: usize) -> usize {
        self.prefix.len() + tag.len() + record_bytes + FRAME_MARKS
    }

    /// Makes room for this many more bytes if memory is free now. Returns false if these frames must be sent first.
    pub fn try_make_room(&mut self, bytes: usize) -> bool {
        // Doubles, as long as that is no more than a batch should have.
        let doubled = self.bytes.len().min(BATCH_BYTES.saturating_sub(self.bytes.len()));
        self.bytes.len() + bytes <= self.bytes.capacity() || self.bytes.try_make_room(bytes.max(doubled))
    }

    fn push_plain(&mut self, tag: &str, body: &[u8]) {
        self.under(tag);
        let bytes: &mut Vec<u8> = &mut self.bytes;
        bytes.reserve(self.header.len() + body.len() + 1);
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(body);
        bytes.push(b'\n');
        self.events += 1;
    }

    /// Sets the tag of the next frames.
    fn under(&mut self, tag: &str) {
        if self.tag != tag || self.header.is_empty() {
            self.begin_tag(tag);
        }
    }

    fn begin_tag(&mut self, tag: &str) {
        self.count_tag();
        self.tag.clear();
        self.tag.push_str(tag);
        self.header.clear();
        self.header.extend_from_slice(&self.prefix);
        self.header.extend_from_slice(tag.as_bytes());
        self.header.extend_from_slice(b": ");
    }

    fn count_tag(&mut self) {
        let (events, bytes) = (self.events, self.bytes.len());
        let (events_before, bytes_before) = std::mem::replace(&mut self.tag_began, (events, bytes));
        if events > events_before {
            self.tables.add(&self.tag, u64::from(events - events_before), (bytes - bytes_before) as u64);
        }
    }

    /// Takes the counts of the frames so far, by tag.
    pub fn take_tables(&mut self) -> Tables {
        self.count_tag();
        std::mem::take(&mut self.tables)
    }

    /// Number of frames so far.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Number of bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// True if a frame is octet-counted.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// Notes that a record of the object is not sent.
    pub fn leave_out(&mut self) {
        match self.left_out.last_mut().filter(|(frames, _)| *frames == self.events) {
            Some((_, records)) => *records += 1,
            None => self.left_out.push((self.events, 1)),
        }
    }

    /// The frames as a batch with `share` of its object.
    pub fn into_batch(mut self, share: Share) -> Batch {
        self.bytes.fit();
        Batch { counted: self.counted, ..Batch::new(Arc::new(self.bytes), self.events, share) }
    }

    /// The frames as a batch of an object's records from number `first_record` on, including those left out. Batches of
    /// one lane stay in order.
    pub fn into_batch_of(
        mut self,
        object: &Arc<Subject>,
        first_record: u64,
        share: Share,
        lane: Option<u64>,
    ) -> Batch {
        let left_out = std::mem::take(&mut self.left_out);
        let origin = Origin { object: Arc::clone(object), first_record, left_out };
        Batch { origin: Some(Arc::new(origin)), lane, ..self.into_batch(share) }
    }
}

/// In JSON a raw CR or LF can only be between tokens (RFC 8259, section 7), where it is white space.
fn line_ends_to_spaces(json: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', &json[from..]) {
        json[from + at] = b' ';
        from += at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "<14>Nov  1 09:08:07 collector-1-h a.b: ";

    fn frame(newlines: Newlines, body: &[u8]) -> Vec<u8> {
        let now: Timestamp = "2026-11-01T09:08:07.9Z".parse().unwrap();
        let mut frames = Frames::new("collector-1-h", now, Buffer::default());
        frames.push("a.b", Record::new(body, newlines));
        assert_eq!(frames.events, 1);
        let counted = newlines == Newlines::Significant && body.contains(&b'\n');
        assert_eq!(frames.is_counted(), counted);
        frames.bytes.to_vec()
    }

    #[test]
    fn a_plain_frame() {
        let expected = format!("{HEADER}hello\n");
        for newlines in [Newlines::Absent, Newlines::Insignificant, Newlines::Significant] {
            assert_eq!(frame(newlines, b"hello"), expected.as_bytes());
        }
    }

    #[test]
    fn two_digit_days_take_the_same_room() {
        let now: Timestamp = "2026-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(Frames::new("h", now, Buffer::default()).prefix, b"<14>Dec 31 23:59:59 h ");
    }

    #[test]
    fn line_ends_between_json_tokens_become_spaces() {
        let expected = format!("{HEADER}{{  \"a\" : 1 }}\n");
        assert_eq!(frame(Newlines::Insignificant, b"{\r\n\"a\" :\n1\n}"), expected.as_bytes());
    }

    #[test]
    fn a_record_that_holds_a_line_feed_is_octet_counted() {
        let counted = format!("{HEADER}line1\nline2\n");
        let expected = format!("{} {counted}", counted.len());
        assert_eq!(frame(Newlines::Significant, b"line1\nline2"), expected.as_bytes());
    }

    #[test]
    fn frames_are_counted_by_their_tags() {
        let now: Timestamp = "2026-11-01T09:08:07.9Z".parse().unwrap();
        let mut frames = Frames::new("h", now, Buffer::default());
        for (tag, newlines, body) in [
            ("a.b", Newlines::Absent, "one"),
            ("a.b", Newlines::Significant, "two\nthree"),
            ("c.d", Newlines::Significant, "four\nfive"),
            ("a.b", Newlines::Insignificant, "six"),
        ] {
            frames.push(tag, Record::new(body.as_bytes(), newlines));
        }
        let tables = frames.take_tables();
        let mut counted: Vec<_> = tables.iter().map(|table| (&*table.name, table.events)).collect();
        counted.sort_unstable();
        assert_eq!(counted, [("a.b", 3), ("c.d", 1)]);
        assert_eq!(tables.bytes(), frames.len() as u64, "each byte belongs to a table");
        assert!(frames.take_tables().is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_pass_unchanged() {
        let body = [0xff, 0, b'\t', 0xfe];
        assert_eq!(frame(Newlines::Absent, &body), [HEADER.as_bytes(), &body, b"\n"].concat());
    }

    proptest! {
        /// Reading the count and taking that many bytes returns any record.
        #[test]
        fn counted_frames_can_be_read_back(body in proptest::collection::vec(any::<u8>(), 1..200)) {
            let framed = frame(Newlines::Significant, &body);
            let plain = if body.contains(&b'\n') {
                let space = framed.iter().position(|b| *b == b' ').unwrap();
                let count: usize = std::str::from_utf8(&framed[..space]).unwrap().parse().unwrap();
                prop_assert_eq!(framed.len(), space + 1 + count);
                framed[space + 1..].to_vec()
            } else {
                framed
            };
            prop_assert_eq!(plain, [HEADER.as_bytes(), &body, b"\n"].concat());
        }

        /// Naive version: a map over the bytes.
        #[test]
        fn line_ends_agree_with_a_map(body in proptest::collection::vec(proptest::sample::select(vec![b'\r', b'\n', b'a', b' ']), 0..60)) {
            let mut replaced = body.clone();
            line_ends_to_spaces(&mut replaced);
            let naive: Vec<u8> = body.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect();
            prop_assert_eq!(replaced, naive);
        }
    }
}
