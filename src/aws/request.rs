//! A request before signing, and the head of an answer.

use std::time::Duration;

use serde_json::Value;

use crate::base::limits::AWS_RESPONSE_TIMEOUT;

/// One request to AWS, complete except for what signing adds.
#[derive(Debug, Clone)]
pub struct Request {
    /// The call as in an IAM policy: `s3:GetObject`.
    pub action: &'static str,
    /// The subject for people: a queue's URL, `s3://bucket/key`, a role's ARN.
    pub resource: String,
    /// The service in the signature's scope: `s3`, `sqs`, `sts`.
    pub service: &'static str,
    /// The region in the signature's scope.
    pub region: String,
    pub method: &'static str,
    /// `scheme://host[:port]`, without a final slash.
    pub endpoint: String,
    /// Percent-encoded, begins with `/`.
    pub path: String,
    /// `name=value` pairs joined by `&`, percent-encoded, without the question mark; may be empty.
    pub query: String,
    /// Lower-case names, without `host` and what signing adds.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Limit from the request's last byte to the answer's head.
    pub response_timeout: Duration,
    /// Limit of the whole call, from the look-up of the host's name to the answer's last byte.
    pub time_limit: Option<Duration>,
}

impl Request {
    /// The whole address.
    pub fn url(&self) -> String {
        let Self { endpoint, path, query, .. } = self;
        if query.is_empty() { format!("{endpoint}{path}") } else { format!("{endpoint}{path}?{query}") }
    }

    /// A POST to `/` with a body, as every service except S3 requires.
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
            time_limit: None,
        }
    }
}

/// A service with AWS's JSON protocol (Smithy's `awsJson1_0` and `awsJson1_1`).
#[derive(Debug)]
pub struct JsonService {
    /// The service in the signature's scope.
    pub scope: &'static str,
    pub content_type: &'static str,
    /// The prefix of `x-amz-target`.
    pub target: &'static str,
}

impl JsonService {
    /// A call of the operation named in the action, `service:Operation`.
    pub fn call(&self, action: &'static str, address: &Address<'_>, input: &Value) -> Request {
        let operation = action.rsplit(':').next().unwrap_or(action);
        self.call_operation(action, operation, address, input)
    }

    /// A call of an operation that a policy allows under another name.
    pub fn call_operation(
        &self,
        action: &'static str,
        operation: &str,
        address: &Address<'_>,
        input: &Value,
    ) -> Request {
        let mut request = Request::post(action, self.scope, address, input.to_string().into_bytes());
        request.headers = vec![
            ("content-type", self.content_type.to_owned()),
            ("x-amz-target", format!("{}.{operation}", self.target)),
        ];
        request
    }
}

/// The token of the next page in an answer; an empty one is none.
pub fn page_token(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// The destination and subject of a request.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// `scheme://host[:port]`.
    pub endpoint: &'a str,
    pub region: &'a str,
    /// For people only.
    pub resource: &'a str,
}
