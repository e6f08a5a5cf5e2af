//! The pointer that the SQS extended client (and SNS's) sends instead of a message, whose body is in S3.
//!
//! Source: the "payload offloading" library of AWS, whose pointers are a list of a class's name and an object.

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::{Result, Unreadable};
use crate::base::object::Object;

const CLASSES: [&str; 2] =
    ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// The object with the body of a message, if the text is a pointer.
pub fn of_body(body: &str) -> Option<Result<Object>> {
    // The first bytes distinguish most logs from a pointer.
    let first = body.trim_start().strip_prefix('[')?.trim_start().strip_prefix('"')?;
    CLASSES.iter().find(|class| first.starts_with(**class))?;
    let mut bytes = body.as_bytes().to_vec();
    let object = read(&simd_json::to_borrowed_value(&mut bytes).ok()?)?;
    Some(object.check().map(|()| object))
}

/// The object that a pointer names.
pub fn read(value: &BorrowedValue<'_>) -> Option<Object> {
    let [class, place] = value.as_array()?.as_slice() else { return None };
    let is_pointer = class.as_str().is_some_and(|class| CLASSES.contains(&class));
    is_pointer.then(|| Some(Object::named(place.get_str("s3BucketName")?, place.get_str("s3Key")?)))?
}

/// The announcement itself is not here. Announcements are small, so nobody needs to send them like this.
pub fn refused(object: &Object) -> Unreadable {
    Unreadable::refused(
        "a pointer of the SQS extended client",
        &object.to_string(),
        "the notification is in that object, and is not read from there. Have its sender put it into the message \
         itself: do not send all payloads through S3",
    )
}
