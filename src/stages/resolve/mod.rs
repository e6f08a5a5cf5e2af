//! Message body -> the objects that it announces.
//!
//! Pure. Every shape is recognized by the message itself, so no setting has to say whether S3 writes to the queue
//! directly, through SNS (wrapped or raw) or through EventBridge. A body ends in one of three ways: it names objects
//! ([`shapes`]), in any envelopes ([`reader`]); it is known to name none, for a stated reason; or it is an error that
//! names the shape and what to do, and the caller must leave such a message to the redrive policy.
//!
//! Sources of the shapes: the S3 user guide ("Event message structure", "Using EventBridge"), the SNS developer guide
//! ("Parsing message formats"), the CloudTrail and Config user guides (SNS notifications), the Lambda developer guide
//! ("Invoking Lambda with events", "Destinations"), the S3 Batch Operations guide, the Security Lake user guide
//! ("Managing data access for Security Lake subscribers"), CrowdStrike's public FDR sample message.

mod announcement;
mod objects;
mod packed;
mod pointer;
mod reader;
mod shapes;
mod unreadable;

use std::sync::Mutex;

use crate::base::limits::{IDENTITY_BYTES_MAX, MESSAGE_BYTES_USUAL};
use crate::base::naming;
use crate::base::naming::NoPlace;
use crate::base::object::Object;
use reader::Reader;
use shapes::form_decoded as decoded;
use unreadable::{Result, shortened};

pub use announcement::Announcement;
pub use objects::{IntoIter, Objects};
pub use pointer::of_body as body_elsewhere;
pub use unreadable::Unreadable;

impl Object {
    /// An object whose key is form-URL-encoded, as in S3's events. Blanks and characters beyond ASCII show that it is
    /// not: an input transformer of EventBridge copies the key unchanged.
    fn encoded(bucket: &str, key: &str) -> Object {
        let is_plain = key.contains(|c: char| !c.is_ascii_graphic());
        if is_plain {
            Object::named_or_encoded(bucket, key)
        } else {
            Object::spelled(bucket, &decoded(key), key)
        }
    }

    /// An object whose key may be encoded, but probably is not.
    fn named_or_encoded(bucket: &str, key: &str) -> Object {
        Object::spelled(bucket, key, &decoded(key))
    }

    fn spelled(bucket: &str, key: &str, other: &str) -> Object {
        let other_key = (other != key && naming::is_key(other)).then(|| other.to_owned());
        Object { other_key, ..Object::named(bucket, key) }
    }

    /// Checks that a bucket and an object can have these names, and that such buckets are supported.
    fn check(&self) -> Result<()> {
        let name = || shortened(&self.to_string());
        let mut identity = [&self.version_id, &self.etag, &self.checksum].into_iter().flatten();
        let is_known = identity.all(|text| text.len() <= IDENTITY_BYTES_MAX);
        match naming::place(&self.bucket) {
            Ok(_) if naming::is_key(&self.key) && is_known => Ok(()),
            Err(NoPlace::Unsupported { what, cure }) => {
                Err(Unreadable::NotRead { object: name(), what, cure })
            }
            _ => Err(Unreadable::Impossible(name())),
        }
    }
}

/// True if the key alone shows that the object has no log: it is the marker of a Hadoop job, or the object with which
/// AWS tests log delivery to a bucket.
///
/// The size in a message does not show it: Ceph, RustFS and relays write 0 for objects with content. Nor does a slash
/// at the key's end.
pub fn is_marker(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name == "_SUCCESS" || name.starts_with("aws-logs-write-test")
}

/// Held while a large message is read, which takes fifty times its size.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads a message body.
///
/// # Errors
/// [`Unreadable`] if the body has an unknown shape or lacks what its shape needs. Nothing is known of such a message,
/// so it must not be deleted. So is a message with a name that must not become part of an address.
pub fn resolve(body: &str) -> Result<Announcement> {
    let _alone = (body.len() > MESSAGE_BYTES_USUAL).then(|| LARGE.lock());
    let found = Reader::new().text(body)?;
    Ok(Announcement { objects: found.objects.checked()?, ..found })
}

#[cfg(test)]
mod tests;
