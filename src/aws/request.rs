//! A request before it is signed, and the head of an answer.

use std::time::Duration;

use crate::limits::AWS_RESPONSE_TIMEOUT;

/// One request to AWS, complete but for what signing adds.
#[derive(Debug, Clone)]
pub struct Request {
    /// What the service calls it, as an IAM policy spells it: `s3:GetObject`.
    pub action: &'static str,
    /// What it is about, for people: a queue's URL, `s3://bucket/key`, a role's ARN.
    pub resource: String,
    /// The name that the signature's scope carries: `s3`, `sqs`, `sts`.
    pub service: &'static str,
    /// The region that the signature's scope carries.
    pub region: String,
    pub method: &'static str,
    /// `scheme://host[:port]`, without a final slash.
    pub endpoint: String,
    /// Percent-encoded, begins with `/`.
    pub path: String,
    /// `name=value` pairs joined by `&`, percent-encoded, without the question mark; may be empty.
    pub query: String,
    /// Lower-case names. `host` and what signing adds are not among them.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// From the request's last byte to the answer's head.
    pub response_timeout: Duration,
}

impl Request {
    /// The whole address.
    pub fn url(&self) -> String {
        let Self { endpoint, path, query, .. } = self;
        if query.is_empty() { format!("{endpoint}{path}") } else { format!("{endpoint}{path}?{query}") }
    }

    /// A POST to `/` with a body, as every service but S3 wants it.
    pub fn post(action: &'static str, service: &'static str, address: &Address<'_>, body: Vec<u8>) -> Self {
        Self {
            action,
            resource: address.resource.to_owned(),
            service,
            region: address.region.to_owned(),
            method: "POST",
            endpoint: address.endpoint.to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body,
            response_timeout: AWS_RESPONSE_TIMEOUT,
        }
    }
}

/// Where a request goes and what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// `scheme://host[:port]`.
    pub endpoint: &'a str,
    pub region: &'a str,
    /// For people only.
    pub resource: &'a str,
}
