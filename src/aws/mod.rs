//! Everything that talks to AWS: blocking, over one shared `ureq` agent, signed with SigV4.
//!
//! | file | what | touches the world |
//! |---|---|---|
//! | `endpoint` | region -> partition -> address; overrides | no |
//! | `request` | a request before it is signed, an answer's head | no |
//! | `credentials` | keys, as values | no |
//! | `sign` | SigV4, by `aws-sigv4` | no |
//! | `s3`, `listing`, `notification`, `sqs`, `sts`, `cloudtrail`, `cloudwatch`, `logs`, `guardduty`, `dynamodb` | requests to bytes, answers to types | no |
//! | `error`, `failure` | errors, for operators and for callers; their wire formats | no |
//! | `success` | why an answer that says success is not used | no |
//! | `proxy` | which proxy, if any, leads to a host | no |
//! | `http`, `names` | the agent: pool, timeouts, certificates; addresses | sockets |
//! | `known` | facts about buckets that calls have shown | no |
//! | `clock` | AWS's time, learned from its answers | clock |
//! | `client` | sign, send, classify, retry | sockets, clock |
//! | `provider` | keys and roles, refreshed before they expire | sockets, clock |
//! | `chain` | sources of keys other than the file | sockets, files, processes |
//! | `queue`, `bucket`, `identity` | [`Sqs`], [`S3`], [`Sts`]: the calls the stages make | sockets |

pub mod bucket;
pub mod chain;
pub mod client;
pub mod clock;
pub mod cloudtrail;
pub mod cloudwatch;
mod configured;
pub mod credentials;
pub mod dynamodb;
pub mod endpoint;
pub mod error;
pub mod failure;
pub mod guardduty;
pub mod http;
pub mod identity;
mod kind;
mod known;
pub mod listing;
pub mod logs;
mod names;
pub mod notification;
pub mod pace;
pub mod provider;
pub mod proxy;
pub mod queue;
pub mod request;
pub mod s3;
pub mod sign;
pub mod sqs;
pub mod sts;
pub mod success;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::bucket::{Part, S3};
pub use self::client::Client;
pub use self::clock::Clock;
pub use self::credentials::Credentials;
pub use self::error::Error;
pub use self::http::Http;
pub use self::identity::{AccountId, Sts};
pub use self::kind::Kind;
pub use self::listing::{ListObjects, Listed, Page};
pub use self::pace::{Caller, Pace};
pub use self::provider::Provider;
pub use self::proxy::Proxies;
pub use self::queue::Sqs;
pub use self::request::Request;
pub use self::s3::GetObject;
pub use self::sqs::{Attributes, Failure, Message, Redrive};
pub use self::sts::{AssumeRole, CallerIdentity};
pub use self::success::Unusable;
