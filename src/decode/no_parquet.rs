//! Replaces `parquet` in a binary built without it.

use std::sync::Arc;

use super::{Account, Bounds, Error, Signs};

/// Recognizes Parquet, and refuses it.
pub(super) struct Parquet;

impl Parquet {
    pub fn new(_bounds: Bounds, _account: Account, _signs: Option<Arc<Signs>>) -> Self {
        Parquet
    }

    pub fn json_bytes(&self) -> u64 {
        0
    }

    pub fn push(&mut self, _data: &[u8]) -> Result<(), Error> {
        Err(Error::WithoutParquet)
    }

    pub fn finish(&mut self, _give: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        Ok(())
    }
}
