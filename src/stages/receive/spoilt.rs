//! Receipt handles that SQS does not take.

use crate::aws::Kind;

/// Says whether it may be a single entry's fault that a call for several was refused as a whole.
pub fn is_spoilt(why: &Kind) -> bool {
    matches!(why, Kind::BadRequest | Kind::ReceiptHandle)
}
