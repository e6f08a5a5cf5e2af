//! Receipt handles that SQS does not take.

use crate::aws::Kind;

/// True if a single entry may have caused the refusal of a call for several.
pub fn is_spoilt(why: &Kind) -> bool {
    matches!(why, Kind::BadRequest | Kind::ReceiptHandle)
}
