//! Peeks at an object that a queue announces, and returns its message. `check --online` and `check --sample` use it.

use std::time::Duration;

use crate::aws::{Client, Error, GetObject, Message, Part, Redrive, S3, Sqs};
use crate::base::buffers::Buffer;
use crate::base::object::Object;
use crate::settings::Input;
use crate::stages::resolve::{is_marker, resolve};

/// The lowest `maxReceiveCount` of a redrive policy with which a message is peeked at: a peek counts as a receive, and
/// must not be the last.
const RECEIVES_MIN: u32 = 3;
/// The time for which a message is hidden from others if it cannot be returned.
const HIDDEN: Duration = Duration::from_secs(30);
/// Bytes of an object that are read to show it.
const SHOWN_BYTES: u64 = 8 << 20;

/// The content of a queue's next message.
pub enum Announced {
    NoMessage,
    /// The queue's redrive policy allows only this many receives, so nothing was received.
    FewReceives(u32),
    /// No object, as in a test event.
    NoObject(String),
    /// The collector refuses the message, for this reason.
    Refused(String),
    Object(Candidate),
    /// The message is the log itself (`direct_mode`).
    Body(String),
}

/// An object, in each spelling that its message allows.
pub struct Candidate(Object);

/// Receives one message and returns it to the queue, if the queue's redrive policy leaves room for it: SQS counts the
/// receive.
///
/// # Errors
/// The queue's answer.
pub fn announced(input: &Input, queue: &Sqs, redrive: Option<&Redrive>) -> Result<Announced, Error> {
    if let Some(redrive) = redrive.filter(|redrive| redrive.max_receive_count < RECEIVES_MIN) {
        return Ok(Announced::FewReceives(redrive.max_receive_count));
    }
    let messages = queue.receive(1, Duration::ZERO, HIDDEN)?;
    let Some(message) = messages.first() else { return Ok(Announced::NoMessage) };
    give_back(queue, message);
    if input.direct_mode {
        return Ok(Announced::Body(message.body.clone()));
    }
    let announcement = match resolve(&message.body) {
        Ok(announcement) => announcement,
        Err(error) => return Ok(Announced::Refused(error.to_string())),
    };
    let objects: Vec<_> = announcement.objects.into_iter().filter(|object| !is_marker(&object.key)).collect();
    let first = objects.first().map(ToString::to_string);
    let mine = objects.into_iter().find(|object| input.service_of(&object.key).is_some());
    Ok(match (mine, first) {
        (Some(object), _) => Announced::Object(Candidate(object)),
        (None, Some(first)) => Announced::Refused(format!("{first}: no service of the input takes this key")),
        (None, None) => Announced::NoObject("it announces no object".to_owned()),
    })
}

/// Returns the message at once. If that fails, it becomes visible again when its visibility timeout ends.
fn give_back(queue: &Sqs, message: &Message) {
    let _ = queue.change_visibility(&[(&message.id, &message.receipt_handle, 0)]);
}

impl Candidate {
    pub fn name(&self) -> String {
        self.0.to_string()
    }

    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// The object's first byte: its size, and the KMS key that it is encrypted with, if it is.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn first_byte(&self, input: &Input, client: &Client) -> Result<(u64, Option<String>), Error> {
        self.get(1, input, client).map(|(part, _)| (part.total, part.kms_key))
    }

    /// The beginning of the object, and the length of the whole.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn beginning(&self, input: &Input, client: &Client) -> Result<(Vec<u8>, u64), Error> {
        let (part, bytes) = self.get(SHOWN_BYTES, input, client)?;
        Ok((bytes, part.total))
    }

    fn get(&self, len: u64, input: &Input, client: &Client) -> Result<(Part, Vec<u8>), Error> {
        let s3 = S3::new(client.clone()).paid_by_caller(input.request_payer);
        let object = &self.0;
        let keys = std::iter::once(&object.key).chain(&object.other_key);
        let mut outcome = None;
        for key in keys {
            let get = GetObject {
                bucket: &object.bucket,
                key,
                version_id: object.version_id.as_deref(),
                etag: object.etag.as_deref(),
                by_key: false,
                start: 0,
                len,
                if_match: None,
                size: object.size,
            };
            let mut bytes = Buffer::default();
            match s3.get(&get, object.region.as_deref(), &mut bytes) {
                Ok(part) => return Ok((part, bytes.to_vec())),
                Err(error) => outcome = outcome.or(Some(error)),
            }
        }
        Err(outcome.unwrap_or_else(|| {
            Error::setup(
                "s3:GetObject",
                &object.to_string(),
                crate::aws::Kind::NoSuchObject,
                "it has no key".to_owned(),
            )
        }))
    }
}
