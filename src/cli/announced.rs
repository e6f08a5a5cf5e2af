//! An object that a queue announces, without taking its message away: `check --online` and `check --sample` look at it.

use std::time::Duration;

use crate::aws::{Client, Error, GetObject, Message, S3, Sqs};
use crate::base::buffers::Buffer;
use crate::base::object::Object;
use crate::settings::Input;
use crate::stages::resolve::{is_marker, resolve};

/// For so long the message is hidden from others, should this program not be able to give it back.
const HIDDEN: Duration = Duration::from_secs(30);
/// Of an object that is shown.
const SHOWN_BYTES: u64 = 8 << 20;

/// What the next message of a queue is.
pub enum Announced {
    NoMessage,
    /// Why nobody can tell which object it means.
    NoObject(String),
    Object(Candidate),
    /// The message is the log itself (`direct_mode`).
    Body(String),
}

/// An object, in the spellings that its message allows.
pub struct Candidate(Object);

/// Receives one message and gives it back. SQS counts the receive.
///
/// # Errors
/// The queue's answer.
pub fn announced(input: &Input, queue: &Sqs) -> Result<Announced, Error> {
    let messages = queue.receive(1, Duration::ZERO, HIDDEN)?;
    let Some(message) = messages.first() else { return Ok(Announced::NoMessage) };
    give_back(queue, message);
    if input.direct_mode {
        return Ok(Announced::Body(message.body.clone()));
    }
    let announcement = match resolve(&message.body) {
        Ok(announcement) => announcement,
        Err(error) => return Ok(Announced::NoObject(error.to_string())),
    };
    let mut objects = announcement.objects.into_iter().filter(|object| !is_marker(&object.key));
    let mine = objects.find(|object| input.service_of(&object.key).is_some());
    Ok(mine
        .map_or(Announced::NoObject("it announces no object of the input's services".to_owned()), |object| {
            Announced::Object(Candidate(object))
        }))
}

/// At once; else when it is visible again by itself.
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

    /// The object's size.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn first_byte(&self, input: &Input, client: &Client) -> Result<u64, Error> {
        self.get(1, input, client).map(|(total, _)| total)
    }

    /// Its beginning, and whether that is all.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn beginning(&self, input: &Input, client: &Client) -> Result<(Vec<u8>, bool), Error> {
        let (total, bytes) = self.get(SHOWN_BYTES, input, client)?;
        let whole = bytes.len() as u64 >= total;
        Ok((bytes, whole))
    }

    fn get(&self, len: u64, input: &Input, client: &Client) -> Result<(u64, Vec<u8>), Error> {
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
                Ok(part) => return Ok((part.total, bytes.to_vec())),
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
