//! The objects of one message, packed.
//!
//! A mebibyte of names becomes forty times as much as a list of [`Object`]s, and a message may wait for long until the
//! last of its objects is started. Packed, they take about as many bytes as in the message.

use super::{Result, Unreadable};
use crate::base::naming;
use crate::base::object::Object;

/// The objects that a message names, in order. Each is created on demand.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Objects {
    bytes: Vec<u8>,
    count: usize,
    /// The last object's bucket: most messages name only one bucket.
    bucket: String,
    /// The first unusable one. With one, the others are of no use.
    refused: Option<Unreadable>,
}

/// Bits of an object's first byte, which say which fields follow.
const BUCKET: u8 = 1;
const REGION: u8 = 2;
const SIZE: u8 = 4;
const VERSION: u8 = 8;
const ETAG: u8 = 16;
const CHECKSUM: u8 = 32;
const OTHER_KEY: u8 = 64;

impl Objects {
    /// Checks an object, and adds it. An unusable one is not kept.
    pub fn push(&mut self, object: &Object) {
        self.count += 1;
        if self.refused.is_some() {
            return;
        }
        match object.check() {
            Ok(()) => self.pack(object),
            Err(error) => self.refused = Some(error),
        }
    }

    /// Adds another part's objects.
    pub(super) fn append(&mut self, mut other: Objects) {
        if self.is_empty() {
            return *self = other;
        }
        match other.refused.take() {
            Some(refused) => {
                self.count += other.count;
                self.refused.get_or_insert(refused);
            }
            None => self.extend(other),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True if an object has been refused.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Their memory in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.bucket.capacity()
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { objects: self, at: Position::of(self) }
    }

    /// Refuses them all because of the first refused one, and frees unused memory.
    pub(super) fn checked(mut self) -> Result<Objects> {
        self.bytes.shrink_to_fit();
        self.refused.take().map_or(Ok(self), Err)
    }

    /// Lengths fit two bytes: they have been checked.
    fn pack(&mut self, object: &Object) {
        let Object { bucket, key, region, size, version_id, etag, checksum, other_key } = object;
        let bucket = (self.bucket != *bucket).then_some(bucket);
        let region = region.as_ref().filter(|region| naming::is_scope(region));
        let texts = [
            (BUCKET, bucket),
            (REGION, region),
            (VERSION, version_id.as_ref()),
            (ETAG, etag.as_ref()),
            (CHECKSUM, checksum.as_ref()),
            (OTHER_KEY, other_key.as_ref()),
        ];
        let has = |(bit, text): &(u8, Option<&String>)| if text.is_some() { *bit } else { 0 };
        let size_bit = if size.is_some() { SIZE } else { 0 };
        self.bytes.push(texts.iter().fold(size_bit, |bits, text| bits | has(text)));
        self.pack_text(key);
        texts.iter().filter_map(|(_, text)| *text).for_each(|text| self.pack_text(text));
        if let Some(size) = size {
            self.bytes.extend_from_slice(&size.to_be_bytes());
        }
        if let Some(bucket) = bucket {
            self.bucket.clone_from(bucket);
        }
    }

    fn pack_text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl FromIterator<Object> for Objects {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Objects {
        let mut packed = Objects::default();
        packed.extend(objects);
        packed
    }
}

impl Extend<Object> for Objects {
    fn extend<I: IntoIterator<Item = Object>>(&mut self, objects: I) {
        objects.into_iter().for_each(|object| self.push(&object));
    }
}

/// The read position in packed objects.
struct Position {
    at: usize,
    left: usize,
    bucket: String,
}

impl Position {
    fn of(objects: &Objects) -> Position {
        let left = if objects.is_refused() { 0 } else { objects.count };
        Position { at: 0, left, bucket: String::new() }
    }

    fn next(&mut self, bytes: &[u8]) -> Option<Object> {
        self.left = self.left.checked_sub(1)?;
        let bits = *bytes.get(self.at)?;
        self.at += 1;
        let key = self.text(bytes)?;
        let mut text = |bit| if bits & bit != 0 { self.text(bytes) } else { None };
        let (bucket, region, version_id) = (text(BUCKET), text(REGION), text(VERSION));
        let (etag, checksum, other_key) = (text(ETAG), text(CHECKSUM), text(OTHER_KEY));
        let size = if bits & SIZE != 0 { self.number(bytes) } else { None };
        if let Some(bucket) = bucket {
            self.bucket = bucket;
        }
        let bucket = self.bucket.clone();
        Some(Object { bucket, key, region, size, version_id, etag, checksum, other_key })
    }

    fn text(&mut self, bytes: &[u8]) -> Option<String> {
        let (length, rest) = bytes.get(self.at..)?.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let text = rest.get(..length)?;
        self.at += 2 + length;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn number(&mut self, bytes: &[u8]) -> Option<u64> {
        let number = *bytes.get(self.at..)?.first_chunk::<8>()?;
        self.at += number.len();
        Some(u64::from_be_bytes(number))
    }
}

/// Iterates over objects and leaves them packed.
pub struct Iter<'o> {
    objects: &'o Objects,
    at: Position,
}

impl Iterator for Iter<'_> {
    type Item = Object;

    fn next(&mut self) -> Option<Object> {
        self.at.next(&self.objects.bytes)
    }
}

impl<'o> IntoIterator for &'o Objects {
    type Item = Object;
    type IntoIter = Iter<'o>;

    fn into_iter(self) -> Iter<'o> {
        self.iter()
    }
}

/// Unpacks objects one by one.
pub struct IntoIter {
    bytes: Vec<u8>,
    at: Position,
}

impl Iterator for IntoIter {
    type Item = Object;

    fn next(&mut self) -> Option<Object> {
        self.at.next(&self.bytes)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.at.left, Some(self.at.left))
    }
}

impl ExactSizeIterator for IntoIter {}

impl IntoIterator for Objects {
    type Item = Object;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        let at = Position::of(&self);
        IntoIter { bytes: self.bytes, at }
    }
}
