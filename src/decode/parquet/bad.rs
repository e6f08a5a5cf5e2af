//! The errors of a damaged file.

use parquet::errors::ParquetError;

use super::super::Error;

pub(super) fn bad(cause: impl ToString) -> Error {
    Error::BadParquet { cause: cause.to_string() }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => bad(other),
            },
            ParquetError::General(cause) | ParquetError::EOF(cause) => bad(cause),
            other => bad(other),
        }
    }
}
