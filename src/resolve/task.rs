use std::sync::Arc;

use super::Object;
use crate::ack::Share;
use crate::services::Definition;

/// An object to collect, on its way from `receive` to `fetch`.
#[derive(Debug)]
pub struct Task {
    pub object: Object,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration: whose credentials and endpoints to use.
    pub input: usize,
    /// The object's part in its message.
    pub share: Share,
}
