//! The ending of something that cannot be decoded.

use crate::ack::Ending;
use crate::decode::Error;

/// The ending of an object, or an event, that cannot be decoded.
pub fn ending_of(error: &Error) -> Ending {
    match error {
        Error::Corrupt { .. }
        | Error::Truncated { .. }
        | Error::TrailingGarbage { .. }
        | Error::BadBlock { .. } => Ending::Damaged,
        Error::TooManyLevels { .. }
        | Error::Foreign { .. }
        | Error::Binary
        | Error::Encrypted
        | Error::WithoutParquet => Ending::Unsupported,
        Error::BadJson { .. } | Error::BadDocument { .. } | Error::BadParquet { .. } => Ending::BadContent,
        Error::UnexpectedDocuments { .. } | Error::AnotherLog { .. } => Ending::OtherService,
        Error::Bomb { .. }
        | Error::Copies { .. }
        | Error::HeaderTooLarge { .. }
        | Error::RecordTooLarge { .. }
        | Error::ObjectTooLarge { .. }
        | Error::FooterTooLarge { .. }
        | Error::PagesTooLarge { .. }
        | Error::MemoryTooSmall { .. }
        | Error::WindowTooLarge { .. } => Ending::TooLarge,
        Error::MemoryBusy | Error::SetUp { .. } | Error::Spent => Ending::Other,
    }
}
