//! One error for every call, with what an operator needs to act, and what a caller needs to decide.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::endpoint;
use super::failure::{self, Refusal};
use super::kind::Kind;
use super::proxy::{Stage, Via};
use super::request::Request;
use crate::base::naming::is_account;
use crate::base::text::variant;
use crate::settings::shown_key_id;
use crate::telemetry::Failure;

/// A call that failed for good. Cheap to clone and to return.
#[derive(Clone, thiserror::Error)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    kind: Kind,
    action: &'static str,
    resource: String,
    endpoint: String,
    region: String,
    /// In the form of [`shown_key_id`].
    key_id: Option<String>,
    /// 0 if there was no answer.
    status: u16,
    code: String,
    /// AWS's message, or the problem if there was no answer.
    message: String,
    attempts: u32,
    server_time: Option<SystemTime>,
    retry_after: Option<Duration>,
    /// The proxy of a call without an answer.
    via: Option<Box<Via>>,
}

impl Error {
    /// AWS answered with a refusal.
    pub fn refused(request: &Request, key_id: &str, refusal: Refusal) -> Self {
        let mut error = Self::local(request, refusal.kind(), refusal.message);
        error.0.key_id = Some(shown_key_id(key_id));
        error.0.status = refusal.status;
        error.0.code = refusal.code;
        error.0.server_time = refusal.server_time;
        error.0.retry_after = refusal.retry_after;
        error
    }

    /// There was no answer, or an incomplete or invalid one.
    pub fn local(request: &Request, kind: Kind, message: impl Into<String>) -> Self {
        let mut error = Self::setup(request.action, &request.resource, kind, message);
        error.0.endpoint.clone_from(&request.endpoint);
        error.0.region.clone_from(&request.region);
        error
    }

    /// A problem without a request: credentials, certificates, an address.
    pub fn setup(action: &'static str, resource: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            action,
            resource: resource.to_owned(),
            endpoint: String::new(),
            region: String::new(),
            key_id: None,
            status: 0,
            code: String::new(),
            message: message.into(),
            attempts: 1,
            server_time: None,
            retry_after: None,
            via: None,
        }))
    }

    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// True if it may succeed later without intervention.
    pub fn is_temporary(&self) -> bool {
        matches!(self.0.kind, Kind::Throttled | Kind::Transient | Kind::Skewed | Kind::Expired)
    }

    /// True for a refusal that may concern only the requested thing; false for one that every call would meet:
    /// credentials, a wrong clock, throttling, the network, a stop.
    pub fn may_be_of_item(&self) -> bool {
        const OF_THE_THING: &[&str] = &[
            "AccessDenied",
            "AllAccessDisabled",
            "KmsAccessDenied",
            "NotAuthorized",
            "UnauthorizedOperation",
        ];
        match self.0.kind {
            // Without a status it is an unreadable answer.
            Kind::BadRequest => self.is_answered_by_aws() || self.0.status == 0,
            Kind::Denied => OF_THE_THING.contains(&&*failure::essence(&self.0.code)),
            Kind::NotFound | Kind::Changed | Kind::Redirect { .. } => self.is_answered_by_aws(),
            _ => false,
        }
    }

    /// True if AWS itself has answered: a proxy's own page has no code.
    pub fn is_answered_by_aws(&self) -> bool {
        self.0.status != 0 && !self.0.code.is_empty()
    }

    /// True if DynamoDB has changed nothing because a condition of the call, or of a part of it, does not hold.
    pub fn is_failed_condition(&self) -> bool {
        match &*failure::essence(&self.0.code) {
            "ConditionalCheckFailed" => true,
            "TransactionCanceled" => self.0.message.contains("ConditionalCheckFailed"),
            _ => false,
        }
    }

    /// True if DynamoDB has changed nothing because a transaction was changing the same item: the call can be repeated at
    /// once.
    pub fn is_conflict(&self) -> bool {
        match &*failure::essence(&self.0.code) {
            "TransactionConflict" => true,
            "TransactionCanceled" => {
                self.0.message.contains("TransactionConflict") && !self.is_failed_condition()
            }
            _ => false,
        }
    }

    /// The call as in an IAM policy: `s3:GetObject`.
    pub fn action(&self) -> &'static str {
        self.0.action
    }

    /// The answer's status; None if there was no answer.
    pub fn status(&self) -> Option<u16> {
        (self.0.status != 0).then_some(self.0.status)
    }

    /// AWS's code, such as `AccessDenied`; empty if there is none.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// AWS's clock when it answered.
    pub fn server_time(&self) -> Option<SystemTime> {
        self.0.server_time
    }

    /// The answer's `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// This refusal, if it concerns one object alone: `why` is what was found out about it.
    pub(super) fn withheld(mut self, why: &str) -> Self {
        self.0.kind = Kind::Withheld;
        self.0.message = format!("{} ({why})", self.0.message);
        self
    }

    /// The cause in words that are the same for every key and message: the call, the bucket or queue, and the answer.
    pub fn cause(&self) -> String {
        let Details { kind, action, resource, status, code, .. } = &*self.0;
        let place = match resource.strip_prefix("s3://") {
            Some(path) => path.split('/').next().unwrap_or_default(),
            None => resource,
        };
        let how = if code.is_empty() { variant(kind) } else { code.clone() };
        format!("{action} {place} {status} {how}")
    }

    /// Names the proxy that the call was to go through.
    pub(super) fn through(mut self, via: Option<Box<Via>>) -> Self {
        self.0.via = via;
        self
    }

    pub(super) fn with_key(mut self, key_id: &str) -> Self {
        self.0.key_id = Some(shown_key_id(key_id));
        self
    }

    pub(super) fn after(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        Failure { cause: error.cause(), message: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { action, resource, status, code, message, attempts, .. } = &*self.0;
        write!(f, "{action} {resource}: ")?;
        if *status != 0 {
            write!(f, "HTTP {status} ")?;
        }
        let joint = if code.is_empty() || message.is_empty() { "" } else { ": " };
        let said = format!("{code}{joint}{message}");
        let said = if said.is_empty() { "(no explanation in the answer)" } else { said.trim() };
        f.write_str(said)?;
        self.context(f)?;
        if *attempts > 1 {
            write!(f, " after {attempts} attempts")?;
        }
        match self.advice() {
            Some(advice) => write!(f, ". {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl Error {
    fn context(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.key_id.as_ref().map(|id| format!("access key {id}"));
        let region = some_text(&self.0.region).map(|region| format!("region {region}"));
        let endpoint = some_text(&self.0.endpoint).map(|endpoint| format!("endpoint {endpoint}"));
        let parts = [key, region, endpoint].into_iter().flatten().collect::<Vec<_>>();
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }

    /// The likely cause and what to do; None if the message says it all.
    fn advice(&self) -> Option<String> {
        let code = failure::essence(&self.0.code);
        self.advice_by_code(&code)
            .or_else(|| fixed_advice(&code).map(str::to_owned))
            .or_else(|| self.advice_by_kind())
    }

    /// Advice that depends on more than the code.
    fn advice_by_code(&self, code: &str) -> Option<String> {
        match code {
            "SignatureDoesNotMatch" | "InvalidSignature" if self.0.kind == Kind::Denied => {
                Some(self.or_wrong_region("The secret access key does not belong to this access key id"))
            }
            "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClient" | "InvalidToken"
                if self.0.kind == Kind::Denied =>
            {
                Some(self.or_wrong_region(
                    "The access key id is unknown here: mistyped, deleted, disabled, of another partition, or a \
                     temporary key without its session token",
                ))
            }
            "ExpiredToken" | "InvalidIdentityToken" | "IDPRejectedClaim"
                if self.0.action == "sts:AssumeRoleWithWebIdentity" =>
            {
                Some(self.web_identity_advice())
            }
            "InvalidArgument" if self.0.kind == Kind::Withheld => {
                Some("The version id in the message is not one of S3's".to_owned())
            }
            "InvalidRequest" if self.0.kind == Kind::Withheld => {
                Some("Objects encrypted with their writer's own key (SSE-C) cannot be read".to_owned())
            }
            _ => None,
        }
    }

    /// DynamoDB says in different words that a table has other keys.
    fn is_of_other_keys(&self) -> bool {
        let words = ["key element does not match the schema", "missed key schema element", "Missing the key"];
        words.iter().any(|words| self.0.message.contains(words))
    }

    fn advice_by_kind(&self) -> Option<String> {
        let Details { action, resource, endpoint, .. } = &*self.0;
        match &self.0.kind {
            Kind::Denied if self.0.status == 0 => None,
            Kind::Denied => Some(self.permission_advice()),
            Kind::Expired => {
                Some("The session token has expired: provide new credentials or use a role".to_owned())
            }
            Kind::Skewed => Some(
                "This machine's clock differs from AWS's by more than 5 to 15 minutes: set up NTP".to_owned(),
            ),
            Kind::NotFound if action.starts_with("sqs:") || action.starts_with("logs:") => {
                Some(self.or_wrong_region(&format!(
                    "Is {resource} spelled correctly, and in this account and region?"
                )))
            }
            Kind::NotFound if action.starts_with("dynamodb:") => Some(self.or_wrong_region(&format!(
                "Is {resource} spelled correctly, and in this account and region? `aws-to-devo cloudformation` makes it"
            ))),
            Kind::BadRequest if action.starts_with("dynamodb:") && self.is_of_other_keys() => Some(format!(
                "The keys of {resource} must be `pk` and `sk`, both texts: `aws-to-devo cloudformation` makes such a table"
            )),
            Kind::Redirect { region: None } => Some("The bucket is in another region: set it".to_owned()),
            Kind::Redirect { region: Some(region) } => Some(format!("The bucket is in {region}")),
            Kind::Transient if self.0.status == 0 && !endpoint.is_empty() => {
                Some(self.0.via.as_ref().map_or_else(|| unreached(endpoint), |via| blocked(via, endpoint)))
            }
            Kind::Withheld if *action == "s3:GetObjectVersion" => Some(format!(
                "Allow s3:GetObjectVersion on {}: the announced version can no longer be read in any other way",
                self.arn()
            )),
            Kind::InvalidRange { total: None } => Some(
                "The refusal does not state the object's size, so the object is not assumed to be empty"
                    .to_owned(),
            ),
            Kind::Foreign if self.0.status == 0 => Some(format!(
                "This answer does not come from AWS: is {endpoint} the right endpoint, and does a proxy, a portal or \
                 a firewall answer in its place? Nothing is deleted or skipped because of it"
            )),
            Kind::Foreign => Some(format!(
                "This answer has no error code of AWS, so something else sent it: is {endpoint} the right endpoint, \
                 and does a proxy or firewall answer in its place?"
            )),
            _ => None,
        }
    }

    fn web_identity_advice(&self) -> String {
        format!(
            "Does {} exist, does its trust policy name the token's provider, audience and subject, and is the token \
             file refreshed?",
            self.0.resource
        )
    }

    fn permission_advice(&self) -> String {
        let Details { action, resource, .. } = &*self.0;
        let who = "Allow it in the identity's policy and in the resource's own";
        match *action {
            "s3:GetObject" | "s3:GetObjectVersion" => format!(
                "{who}: {action} on {}; or is kms:Decrypt on the bucket's key missing, or `request_payer: true` for \
                 a requester-pays bucket? Without s3:ListBucket a missing object is reported like this too",
                self.arn()
            ),
            "s3:ListBucket" => {
                format!(
                    "{who}: {action} on {}; a requester-pays bucket needs `request_payer: true`",
                    self.arn()
                )
            }
            "sts:AssumeRole" => format!(
                "Does {resource} exist, does its trust policy name this identity, and is the external id right?"
            ),
            "sts:AssumeRoleWithWebIdentity" => self.web_identity_advice(),
            _ => format!("{who}: {action} on {}", self.arn()),
        }
    }

    /// The resource as in a policy.
    fn arn(&self) -> String {
        let resource = &self.0.resource;
        let partition = endpoint::partition(&self.0.region);
        match resource.strip_prefix("s3://") {
            Some(path) if path.starts_with("arn:") => of_access_point(path),
            Some(path) => format!("arn:{partition}:s3:::{path}"),
            None => self.queue_arn().unwrap_or_else(|| resource.clone()),
        }
    }

    fn queue_arn(&self) -> Option<String> {
        let mut parts = self.0.resource.rsplit('/');
        let (name, account) = (parts.next()?, parts.next()?);
        let partition = endpoint::partition(&self.0.region);
        is_account(account).then(|| format!("arn:{partition}:sqs:{}:{account}:{name}", self.0.region))
    }

    fn or_wrong_region(&self, advice: &str) -> String {
        let named = endpoint::region_of(&self.0.resource).or_else(|| endpoint::region_of(&self.0.endpoint));
        match named {
            Some(named) if named != self.0.region => {
                format!(
                    "{advice}. Or the region is wrong: the address says {named}, the settings {}",
                    self.0.region
                )
            }
            _ => advice.to_owned(),
        }
    }
}

fn unreached(endpoint: &str) -> String {
    format!("Is {endpoint} right, and reachable from here (DNS, firewall, proxy, certificates)?")
}

/// Advice about a call that has not come through a proxy.
fn blocked(via: &Via, endpoint: &str) -> String {
    let Via { place, variable, stage } = via;
    let proxy = format!("the proxy {place} ({variable})");
    match stage {
        Stage::Unreached => format!(
            "Is {proxy} right, and reachable from here (DNS, firewall)? Hosts in NO_PROXY are reached without it"
        ),
        Stage::Refused(Some(407)) => format!(
            "Correct the user name and password in {variable} (http://USER:PASSWORD@HOST:PORT, with special characters \
             percent-encoded): without the right ones, {proxy} lets nothing through"
        ),
        Stage::Refused(_) => format!(
            "Allow {endpoint} in {proxy}, and see that it can be reached from there. Hosts in NO_PROXY are reached \
             without it"
        ),
        Stage::Later => format!(
            "Is {endpoint} right, and reachable through {proxy} (DNS and firewall there, certificates)? Hosts in \
             NO_PROXY are reached without it"
        ),
    }
}

/// Advice about codes that mean the same for every call.
fn fixed_advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidObjectState" => {
            "The object is archived (S3 Glacier or an archive tier of Intelligent-Tiering): restore it, or skip it \
             with `filename_filter_rules`"
        }
        "NoSuchKey" | "NoSuchVersion" => {
            "It was deleted before it was read, or its message names an object that was never written. Does a \
             lifecycle rule delete too soon? `missing_object: skip` counts such objects as done"
        }
        "NoSuchBucket" => "Is the bucket's name right, was the bucket deleted, and is this its endpoint?",
        "InvalidBucketName" | "InvalidURI" | "KeyTooLongError" => {
            "No object can have this name: the sender of the message named it wrongly"
        }
        "KmsAccessDenied" => {
            "Allow kms:Decrypt on the KMS key, in the identity's policy and in the key's own (another account's key \
             needs both)"
        }
        "KmsDisabled" => "The KMS key is disabled: enable it",
        "KmsInvalidState" => {
            "The KMS key cannot be used in its state: is it disabled, pending deletion, or without key material?"
        }
        "KmsNotFound" => {
            "The KMS key no longer exists, or not in this region: objects encrypted with it cannot be read"
        }
        "KmsInvalidKeyUsage" => "The KMS key is not an encryption key (its KeyUsage must be ENCRYPT_DECRYPT)",
        "KmsOptInRequired" => "The account has no access to KMS in this region: enable it",
        "AllAccessDisabled" | "AccountProblem" => {
            "AWS has closed the bucket or its account, often because of unpaid bills: its owner must ask AWS support"
        }
        "RegionDisabled" => {
            "STS is disabled in this region: activate it in the account settings of IAM, or set another region"
        }
        "OptInRequired" => {
            "The account has not enabled this region or this service: enable it, or set another region"
        }
        "IncompleteSignature" | "MissingAuthenticationToken" => {
            "The request arrived without its complete signature: does a proxy remove headers?"
        }
        "OverLimit" => {
            "120,000 messages of the queue are in flight, the most that SQS allows: are other collectors stuck?"
        }
        _ => return None,
    })
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The object of an access point's ARN and key, as in a policy.
fn of_access_point(path: &str) -> String {
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    match parts.as_slice() {
        [point, name, key] => format!("{point}/{name}/object/{key}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::request::Address;

    fn request(action: &'static str, resource: &str) -> Request {
        let address =
            Address { endpoint: "https://sqs.eu-west-1.amazonaws.com", region: "eu-west-1", resource };
        Request::post(action, "sqs", &address, Vec::new())
    }

    fn refused(action: &'static str, resource: &str, status: u16, code: &str) -> String {
        let refusal =
            Refusal { status, code: code.to_owned(), message: "No.".to_owned(), ..Refusal::default() };
        Error::refused(&request(action, resource), "AKIAIOSFODNN7EXAMPLE", refusal).to_string()
    }

    #[test]
    fn a_wrong_secret_says_which_call_key_and_region() {
        let text = refused("sqs:ReceiveMessage", "https://q/123456789012/logs", 403, "SignatureDoesNotMatch");
        for part in [
            "sqs:ReceiveMessage",
            "https://q/123456789012/logs",
            "403",
            "AKIAIOSFODNN7EXAMPLE",
            "eu-west-1",
            "secret",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn denied_names_the_permission() {
        let text = refused("s3:GetObject", "s3://logs/a/b.gz", 403, "AccessDenied");
        assert!(text.contains("s3:GetObject on arn:aws:s3:::logs/a/b.gz"), "{text}");
        assert!(text.contains("kms:Decrypt") && text.contains("request_payer"), "{text}");
        let point = "arn:aws:s3:us-west-2:123456789012:accesspoint/point";
        let text = refused("s3:GetObject", &format!("s3://{point}/a/b.gz"), 403, "AccessDenied");
        assert!(text.contains(&format!("s3:GetObject on {point}/object/a/b.gz;")), "{text}");
        let text = refused("s3:ListBucket", &format!("s3://{point}"), 403, "AccessDenied");
        assert!(text.contains(&format!("s3:ListBucket on {point};")), "{text}");
        let text = refused("sqs:DeleteMessage", "https://h/123456789012/logs", 403, "AccessDenied");
        assert!(text.contains("arn:aws:sqs:eu-west-1:123456789012:logs"), "{text}");
        let text = refused("sts:AssumeRole", "arn:aws:iam::1:role/r", 403, "AccessDenied");
        assert!(text.contains("external id"), "{text}");
    }

    /// Every code that AWS documents for these calls and that users meet, with a word of its required advice.
    #[test]
    fn each_code_gets_its_own_advice() {
        const GET: (&str, &str) = ("s3:GetObject", "s3://logs/a.gz");
        const RECEIVE: (&str, &str) = ("sqs:ReceiveMessage", "https://h/123456789012/logs");
        const ROLE: (&str, &str) = ("sts:AssumeRole", "arn:aws:iam::1:role/r");
        const TOKEN: (&str, &str) = ("sts:AssumeRoleWithWebIdentity", "arn:aws:iam::1:role/r");
        let rows = [
            (GET, 403, "AccessDenied", "s3:GetObject on arn:aws:s3:::logs/a.gz"),
            (GET, 403, "AllAccessDisabled", "AWS support"),
            (GET, 403, "AccountProblem", "AWS support"),
            (GET, 403, "InvalidObjectState", "restore it, or skip it with `filename_filter_rules`"),
            (GET, 403, "InvalidAccessKeyId", "access key id is unknown"),
            (GET, 403, "SignatureDoesNotMatch", "secret access key"),
            (GET, 403, "RequestTimeTooSkewed", "NTP"),
            (GET, 400, "ExpiredToken", "session token has expired"),
            (GET, 400, "InvalidToken", "session token"),
            (GET, 404, "NoSuchKey", "`missing_object: skip`"),
            (GET, 404, "NoSuchVersion", "`missing_object: skip`"),
            (GET, 404, "NoSuchBucket", "bucket's name"),
            (GET, 400, "InvalidBucketName", "No object can have this name"),
            (GET, 400, "KeyTooLongError", "No object can have this name"),
            (GET, 400, "KMS.DisabledException", "enable it"),
            (GET, 400, "KMS.KMSInvalidStateException", "pending deletion"),
            (GET, 400, "KMS.NotFoundException", "no longer exists"),
            (GET, 400, "KMS.InvalidKeyUsageException", "KeyUsage"),
            (GET, 400, "KMS.AccessDeniedException", "kms:Decrypt"),
            (GET, 404, "", "right endpoint"),
            (GET, 403, "", "right endpoint"),
            (RECEIVE, 400, "QueueDoesNotExist", "spelled correctly"),
            (RECEIVE, 400, "AWS.SimpleQueueService.NonExistentQueue", "spelled correctly"),
            (RECEIVE, 400, "AccessDeniedException", "arn:aws:sqs:eu-west-1:123456789012:logs"),
            (RECEIVE, 400, "KmsAccessDenied", "kms:Decrypt"),
            (RECEIVE, 400, "KmsDisabled", "enable it"),
            (RECEIVE, 400, "KmsInvalidState", "pending deletion"),
            (RECEIVE, 400, "KmsNotFound", "no longer exists"),
            (RECEIVE, 400, "KmsOptInRequired", "enable it"),
            (RECEIVE, 403, "OverLimit", "in flight"),
            (RECEIVE, 403, "InvalidClientTokenId", "access key id is unknown"),
            (RECEIVE, 403, "UnrecognizedClientException", "access key id is unknown"),
            (RECEIVE, 403, "OptInRequired", "enable it"),
            (RECEIVE, 403, "MissingAuthenticationToken", "proxy"),
            (RECEIVE, 400, "IncompleteSignature", "proxy"),
            (ROLE, 403, "AccessDenied", "external id"),
            (ROLE, 403, "RegionDisabledException", "activate it"),
            (TOKEN, 403, "AccessDenied", "token's provider"),
            (TOKEN, 400, "ExpiredTokenException", "token file refreshed"),
            (TOKEN, 400, "InvalidIdentityToken", "token's provider"),
            (TOKEN, 403, "IDPRejectedClaim", "token's provider"),
        ];
        for ((action, resource), status, code, cure) in rows {
            let text = refused(action, resource, status, code);
            assert!(text.contains(cure) && text.contains(code), "{code} should say {cure:?}: {text}");
            let of_denied = "Allow it in the identity's policy";
            let is_denied = code.starts_with("AccessDenied") && action != ROLE.0 && action != TOKEN.0;
            assert_eq!(text.contains(of_denied), is_denied, "{text}");
        }
    }

    #[test]
    fn an_address_of_another_region_is_noticed() {
        let url = "https://sqs.us-west-2.amazonaws.com/123456789012/logs";
        let text = refused("sqs:ReceiveMessage", url, 400, "QueueDoesNotExist");
        assert!(text.contains("us-west-2") && text.contains("eu-west-1"), "{text}");
    }

    #[test]
    fn no_answer_names_the_endpoint() {
        let request = request("sqs:ReceiveMessage", "q");
        let text = Error::local(&request, Kind::Transient, "connection refused").after(5).to_string();
        assert!(
            text.contains("https://sqs.eu-west-1.amazonaws.com") && text.contains("5 attempts"),
            "{text}"
        );
    }

    #[test]
    fn a_denial_of_one_thing_is_known_in_every_spelling_of_its_code() {
        let may_be_of_item = |code: &str| {
            let refusal = Refusal { status: 400, code: code.to_owned(), ..Refusal::default() };
            Error::refused(&request("logs:FilterLogEvents", "g"), "AKIA", refusal).may_be_of_item()
        };
        for code in ["AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", "KmsAccessDenied"]
        {
            assert!(may_be_of_item(code), "{code}");
        }
        for code in ["UnrecognizedClientException", "InvalidClientTokenId", "ThrottlingException", ""] {
            assert!(!may_be_of_item(code), "{code}");
        }
    }

    #[test]
    fn a_cause_is_the_same_for_every_key() {
        let cause = |key: &str, status, code: &str| {
            let refusal =
                Refusal { status, code: code.to_owned(), message: key.to_owned(), ..Refusal::default() };
            Error::refused(&request("s3:GetObject", &format!("s3://logs/{key}")), "AKIA", refusal).cause()
        };
        assert_eq!(cause("a/b.gz", 503, "SlowDown"), cause("c", 503, "SlowDown"));
        assert_ne!(cause("a", 503, "SlowDown"), cause("a", 403, "AccessDenied"));
        let local =
            |why: &str| Error::local(&request("sqs:ReceiveMessage", "q"), Kind::Transient, why).cause();
        assert_eq!(local("refused (1)"), local("refused (2)"));
    }

    #[test]
    fn key_ids_are_shown_and_misplaced_secrets_are_not() {
        assert_eq!(shown_key_id("AKIAIOSFODNN7EXAMPLE"), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(shown_key_id("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "wJal…EKEY");
        assert_eq!(shown_key_id("short"), "…");
    }
}
