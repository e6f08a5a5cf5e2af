//! One JSON object -> the same with other keys.

use super::outcome::Failure;
use crate::base::limits::FLAT_DEPTH_MAX;
use crate::decode::format::Shape;
use crate::decode::json::walk::{self, Member};
use crate::decode::text_file::push_json_string;

/// Writes the object in its new shape. Returns false if it is not an object, and stays unchanged.
pub fn write(document: &[u8], shape: &Shape, max: usize, object: &mut Vec<u8>) -> Result<bool, Failure> {
    let Some(_) = walk::members(document) else { return Ok(false) };
    object.push(b'{');
    let mut writer = Writer { shape, max, object, prefix: Vec::new() };
    writer.members(document, 1)?;
    object.push(b'}');
    Ok(true)
}

struct Writer<'s> {
    shape: &'s Shape,
    max: usize,
    object: &'s mut Vec<u8>,
    /// The keys of the surrounding objects, each followed by an underscore.
    prefix: Vec<u8>,
}

impl Writer<'_> {
    fn members(&mut self, value: &[u8], depth: usize) -> Result<(), Failure> {
        for member in walk::members(value).into_iter().flatten() {
            let member = member?;
            let outer = self.prefix.len();
            self.prefix.extend_from_slice(member.key);
            if self.goes_in(member.value, depth) {
                self.prefix.push(b'_');
                self.members(member.value, depth + 1)?;
            } else {
                self.member(member.value)?;
            }
            self.prefix.truncate(outer);
        }
        Ok(())
    }

    /// An object with members is flattened; an empty one would be lost.
    fn goes_in(&self, value: &[u8], depth: usize) -> bool {
        let inside = value.strip_prefix(b"{").and_then(|value| value.strip_suffix(b"}"));
        self.shape.flat
            && depth < FLAT_DEPTH_MAX
            && inside.is_some_and(|inside| !walk::trim(inside).is_empty())
    }

    /// The key is in `prefix`, as written.
    fn member(&mut self, value: &[u8]) -> Result<(), Failure> {
        let Shape { include, rename, .. } = self.shape;
        let member = Member { key: &self.prefix, value };
        let included = new_name(include, |old| member.is(old));
        if included.is_none() && !include.is_empty() {
            return Ok(());
        }
        let renamed = match included {
            Some(name) => new_name(rename, |old| old == name).or(included),
            None => new_name(rename, |old| member.is(old)),
        };
        if self.object.len() > 1 {
            self.object.push(b',');
        }
        match renamed {
            Some(name) => push_json_string(self.object, name.as_bytes()),
            None => {
                self.object.push(b'"');
                self.object.extend_from_slice(&self.prefix);
                self.object.push(b'"');
            }
        }
        self.object.push(b':');
        self.object.extend_from_slice(value);
        if self.object.len() > self.max { Err(Failure::TooLarge) } else { Ok(()) }
    }
}

fn new_name(names: &[(String, String)], is_old: impl Fn(&str) -> bool) -> Option<&str> {
    names.iter().find(|(old, _)| is_old(old)).map(|(_, new)| new.as_str())
}
