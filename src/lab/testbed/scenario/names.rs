//! Names that the parts of a scenario share.

use std::sync::Arc;

pub(super) const LOG_BUCKET: &str = "demo-logs";

pub(super) const FDR_BUCKET: &str = "cs-prod-cannon-demo";

pub(super) const TENANT: &str = "5c0e8a7d3f1b4926ae7d05c9b8f2e314";

/// An object as stored in S3.
#[derive(Debug, Clone)]
pub struct StoredObject {
    pub bucket: String,
    pub key: String,
    pub bytes: Arc<[u8]>,
}
