//! The AWS resources and permissions of a configuration: the policy of `iam-policy`, the template of `cloudformation`. Pure: nothing is
//! requested and nothing is changed.

pub mod arn;
mod document;
mod needs;
mod policy;
pub mod template;
#[cfg(test)]
mod tests;
mod unused;
pub mod writers;

pub use document::{Document, Extras, Wishes};
pub use needs::{Call, Needs, Queue, Rights, UnknownInput, UnknownRegion};
pub use policy::{Identity, policy};
pub use template::template;
