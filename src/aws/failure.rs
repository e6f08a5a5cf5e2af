//! AWS's refusals: XML (S3, STS), JSON (the others) or a header (`x-amzn-query-error`, `x-amzn-errortype`) -> code,
//! message, [`Kind`].
//!
//! Formats: "Error responses" of the S3 API reference, "Common errors" of the STS reference, and the AWS JSON 1.0
//! protocol (`__type`, with or without its namespace).

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::endpoint;
use super::kind::Kind;
use crate::base::naming::is_scope;

/// A parsed refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// The code as AWS names it, such as `AccessDenied` or `KMS.DisabledException`, without a namespace and a URL;
    /// empty if the answer has none, which means that it does not come from AWS.
    pub code: String,
    pub message: String,
    /// A bucket's region, if the answer has it.
    pub region: Option<String>,
    /// The server's clock.
    pub server_time: Option<SystemTime>,
    pub retry_after: Option<Duration>,
    /// The object's size, from a 416's `ActualObjectSize` or `Content-Range: bytes */size`.
    pub total: Option<u64>,
    /// The requested version is a delete marker (`x-amz-delete-marker`).
    pub delete_marker: bool,
}

impl Refusal {
    /// Reads an answer whose status is not a success. Never fails: unreadable parts are left empty.
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let document = Document::read(body);
        let text = |name: &str| header(headers, name);
        let from_header = text("x-amzn-query-error").and_then(|value| value.split(';').next());
        let from_header = from_header.or_else(|| text("x-amzn-errortype"));
        let code = document.code.as_deref().or(from_header).map(without_namespace).unwrap_or_default();
        let region = document.region.as_deref().or(text("x-amz-bucket-region"));
        let address = document.endpoint.as_deref().or(text("location"));
        let region = region.or_else(|| address.and_then(endpoint::region_of));
        let server_time = document.server_time.as_deref().and_then(iso_time);
        Self {
            status,
            code: code.to_owned(),
            region: region.filter(|region| is_scope(region)).map(str::to_owned),
            message: document.message.unwrap_or_default(),
            server_time: server_time.or_else(|| text("date").and_then(http_time)),
            retry_after: text("retry-after").and_then(|v| v.trim().parse().ok()).map(Duration::from_secs),
            total: document.size.or_else(|| text("content-range").and_then(total_of)),
            delete_marker: text("x-amz-delete-marker") == Some("true"),
        }
    }

    /// The kind that callers distinguish.
    pub fn kind(&self) -> Kind {
        by_code(&self.code, &self.message)
            .map(|kind| self.completed(kind))
            .unwrap_or_else(|| self.by_status())
    }

    /// A code is believed only if the rest of the answer agrees with it.
    fn completed(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Redirect { .. } => Kind::Redirect { region: self.region.clone() },
            Kind::InvalidRange { .. } => Kind::InvalidRange { total: self.total },
            Kind::NoSuchObject if self.status != 404 => self.by_status(),
            other => other,
        }
    }

    /// Without a code from AWS, the status says little: a proxy or a wrong endpoint may answer with any status.
    fn by_status(&self) -> Kind {
        let is_foreign = self.code.is_empty();
        match self.status {
            301 | 302 | 307 | 308 if self.region.is_some() || !is_foreign => {
                Kind::Redirect { region: self.region.clone() }
            }
            429 => Kind::Throttled,
            408 | 500.. => Kind::Transient,
            _ if is_foreign => Kind::Foreign,
            401 | 403 | 407 => Kind::Denied,
            404 | 410 => Kind::NotFound,
            // The requested version deletes the object.
            405 if self.delete_marker => Kind::NoSuchObject,
            412 => Kind::Changed,
            _ => Kind::BadRequest,
        }
    }
}

/// The kind that a code alone determines; None if the status decides. `message` distinguishes errors that share a code.
/// Also used for the entries of a batch, which have no status.
pub fn by_code(code: &str, message: &str) -> Option<Kind> {
    let clock = message.contains("Signature expired") || message.contains("Signature not yet current");
    Some(match &*essence(code) {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Kind::Skewed,
        "SignatureDoesNotMatch" | "InvalidSignature" if clock => Kind::Skewed,
        "ExpiredToken" | "TokenRefreshRequired" => Kind::Expired,
        "InvalidClientTokenId" if message.contains("is expired") => Kind::Expired,
        code if THROTTLED.contains(&code) => Kind::Throttled,
        code if TRANSIENT.contains(&code) => Kind::Transient,
        code if DENIED.contains(&code) => Kind::Denied,
        code if WITHHELD.contains(&code) => Kind::Withheld,
        "InvalidArgument" if message.contains("version id") => Kind::Withheld,
        // It is encrypted with a key that its writer keeps (SSE-C).
        "InvalidRequest" if message.contains("Server Side Encryption") => Kind::Withheld,
        "NoSuchKey" | "NoSuchVersion" => Kind::NoSuchObject,
        "NoSuchBucket" | "ResourceNotFound" => Kind::NotFound,
        "QueueDoesNotExist" | "NonExistentQueue" | "QueueDeletedRecently" => Kind::NotFound,
        "PreconditionFailed" => Kind::Changed,
        "InvalidRange" => Kind::InvalidRange { total: None },
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => Kind::ReceiptHandle,
        "InvalidParameterValue" if message.contains("eceipt") => Kind::ReceiptHandle,
        code if ELSEWHERE.contains(&code) => Kind::Redirect { region: None },
        _ => return None,
    })
}

const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2Throttled",
    "KmsThrottled",
    "KmsThrottling",
    "LimitExceeded",
    "OverLimit",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "Throttling",
    "TooManyRequests",
    "TransactionInProgress",
];

const TRANSIENT: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceFault",
    "IDPCommunicationError",
    "KmsDependencyTimeout",
    "KmsInternal",
    "KmsKeyUnavailable",
    "RequestTimeout",
    "ServiceUnavailable",
];

const DENIED: &[&str] = &[
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthFailure",
    "IDPRejectedClaim",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSecurity",
    "InvalidSignature",
    "InvalidToken",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "RegionDisabled",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClient",
];

/// True if the object's own state or name prevents the call.
const WITHHELD: &[&str] = &["InvalidBucketName", "InvalidObjectState", "InvalidURI", "KeyTooLongError"];

const ELSEWHERE: &[&str] =
    &["AuthorizationHeaderMalformed", "IllegalLocationConstraint", "PermanentRedirect", "TemporaryRedirect"];

/// Shortens `com.amazonaws.sqs#QueueDoesNotExist` to `QueueDoesNotExist`. A URL may follow a colon (`Code:http://…`).
/// Dots belong to the code: `KMS.DisabledException`.
fn without_namespace(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(code, _url)| code);
    code.split_once('#').map_or(code, |(_namespace, code)| code).trim()
}

/// Unifies the spellings of services and protocols: `AWS.SimpleQueueService.NonExistentQueue` -> `NonExistentQueue`,
/// `AccessDeniedException` -> `AccessDenied`; errors of KMS, which S3 and SQS pass on as `KMS.DisabledException`,
/// `KMS.KMSInvalidStateException` or `KmsDisabled`, begin with `Kms`.
pub fn essence(code: &str) -> Cow<'_, str> {
    let code = without_namespace(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    let bare = |code| ["KMS.", "KMS", "Kms"].iter().find_map(|prefix| str::strip_prefix(code, prefix));
    match bare(code) {
        Some(of_kms) => Cow::Owned(format!("Kms{}", bare(of_kms).unwrap_or(of_kms))),
        None => Cow::Borrowed(code.rsplit('.').next().unwrap_or(code)),
    }
}

/// The members that all forms have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "Region")]
    region: Option<String>,
    #[serde(rename = "Endpoint")]
    endpoint: Option<String>,
    #[serde(rename = "ServerTime")]
    server_time: Option<String>,
    #[serde(rename = "ActualObjectSize")]
    size: Option<u64>,
    /// STS wraps it: `<ErrorResponse><Error>…`.
    #[serde(rename = "Error")]
    inner: Option<Box<Document>>,
}

impl Document {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        match text.as_bytes().first() {
            Some(b'<') => Self::of_xml(text),
            Some(b'{') => Self::of_json(text),
            _ => Self::default(),
        }
    }

    fn of_xml(text: &str) -> Self {
        let whole: Self = quick_xml::de::from_str(text).unwrap_or_default();
        whole.inner.map_or(Self { inner: None, ..whole }, |inner| *inner)
    }

    /// A member may occur in several spellings at once; a value that is not text is not an error code.
    fn of_json(text: &str) -> Self {
        let found: Spellings = serde_json::from_str(text).unwrap_or_default();
        let first = |texts: &[&Text]| texts.iter().find_map(|text| text.0.clone());
        let code = first(&[&found.kind, &found.code, &found.code_upper]);
        Self { code, message: first(&[&found.message, &found.message_upper]), ..Self::default() }
    }
}

/// The members of a JSON refusal; the rest is ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spellings {
    #[serde(rename = "__type")]
    kind: Text,
    code: Text,
    #[serde(rename = "Code")]
    code_upper: Text,
    message: Text,
    #[serde(rename = "Message")]
    message_upper: Text,
}

/// A text; None for any other value.
#[derive(Default)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Text(None))
    }
}

/// The text of a header. None if it is missing or is not text.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Parses `bytes */1234` or `bytes 0-9/1234` as 1234.
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit('/').next()?.trim().parse().ok()
}

/// Parses RFC 3339, as in S3's `ServerTime`.
fn iso_time(text: &str) -> Option<SystemTime> {
    text.trim().parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Parses RFC 9110's preferred form, as in the `Date` header.
pub(super) fn http_time(text: &str) -> Option<SystemTime> {
    let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(SystemTime::from(zoned.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn read(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Refusal {
        Refusal::read(status, &headers(pairs), body.as_bytes())
    }

    #[test]
    fn s3_xml() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>PermanentRedirect</Code>\
            <Message>must be addressed &amp; so on</Message><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>\
            <Bucket>b</Bucket><RequestId>1</RequestId></Error>";
        let refusal = read(301, &[("x-amz-bucket-region", "eu-west-1")], body);
        assert_eq!(refusal.code, "PermanentRedirect");
        assert_eq!(refusal.message, "must be addressed & so on");
        assert_eq!(refusal.kind(), Kind::Redirect { region: Some("eu-west-1".into()) });
    }

    #[test]
    fn a_malformed_scope_names_the_right_region() {
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>\
            <Region>us-west-2</Region></Error>";
        assert_eq!(read(400, &[], body).kind(), Kind::Redirect { region: Some("us-west-2".into()) });
    }

    #[test]
    fn an_endpoint_or_a_location_names_the_region_too() {
        let body =
            "<Error><Code>TemporaryRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>";
        assert_eq!(read(307, &[], body).region.as_deref(), Some("eu-west-1"));
        let location = [("location", "https://b.s3.us-west-2.amazonaws.com/key")];
        assert_eq!(read(307, &location, "").region.as_deref(), Some("us-west-2"));
    }

    #[test]
    fn a_region_that_could_lead_away_is_dropped() {
        let evil = [("x-amz-bucket-region", "evil.example/")];
        assert_eq!(read(301, &evil, "").kind(), Kind::Foreign);
        let body = "<Error><Code>PermanentRedirect</Code></Error>";
        assert_eq!(read(301, &evil, body).kind(), Kind::Redirect { region: None });
    }

    #[test]
    fn sts_xml_wraps_the_error() {
        let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
            <Code>AccessDenied</Code><Message>not authorized</Message></Error><RequestId>x</RequestId></ErrorResponse>";
        let refusal = read(403, &[], body);
        assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("AccessDenied", "not authorized"));
        assert_eq!(refusal.kind(), Kind::Denied);
    }

    #[test]
    fn sqs_json_with_and_without_namespace_and_by_header() {
        for body in [
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#,
            r#"{"__type":"QueueDoesNotExist","Message":"gone"}"#,
        ] {
            let refusal =
                read(400, &[("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender")], body);
            assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("QueueDoesNotExist", "gone"));
            assert_eq!(refusal.kind(), Kind::NotFound);
        }
        let refusal =
            read(400, &[("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender")], "");
        let code = "AWS.SimpleQueueService.NonExistentQueue";
        assert_eq!((refusal.code.as_str(), refusal.kind()), (code, Kind::NotFound));
    }

    #[test]
    fn the_server_s_clock() {
        let body =
            "<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2024-02-03T04:05:06Z</ServerTime></Error>";
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let refusal = read(403, &[("date", "Sat, 03 Feb 2024 05:00:00 GMT")], body);
        assert_eq!((refusal.kind(), refusal.server_time), (Kind::Skewed, at(1_706_933_106)));
        let refusal = read(400, &[("date", "Sat, 03 Feb 2024 04:05:06 GMT")], "");
        assert_eq!(refusal.server_time, at(1_706_933_106));
    }

    #[test]
    fn one_code_two_meanings() {
        let old = "Signature expired: 20240101T000000Z is now earlier than 20240101T030000Z";
        assert_eq!(by_code("InvalidSignatureException", old), Some(Kind::Skewed));
        assert_eq!(by_code("InvalidSignatureException", "does not match"), Some(Kind::Denied));
        let handle =
            "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert_eq!(by_code("InvalidParameterValue", handle), Some(Kind::ReceiptHandle));
        assert_eq!(by_code("AWS.SimpleQueueService.MessageNotInflight", ""), Some(Kind::ReceiptHandle));
        assert_eq!(by_code("InvalidParameterValue", "MaxNumberOfMessages"), None);
    }

    /// A proxy's page, an empty body, another server's JSON: only requests to retry are believed.
    #[test]
    fn a_status_without_a_code_of_aws_decides_nothing_for_good() {
        let pages = ["", "<html>oops", "<html><body>404 page not found</body></html>", "404 page not found"];
        let json = [r#"{"message":"Not Found"}"#, r#"{"code":404,"message":"no route"}"#, "[]", "{"];
        for body in pages.iter().chain(&json) {
            for status in (300..500).filter(|status| ![408, 429].contains(status)) {
                assert_eq!(read(status, &[], body).kind(), Kind::Foreign, "{status} {body}");
            }
            assert_eq!(read(408, &[], body).kind(), Kind::Transient);
            assert_eq!(read(429, &[], body).kind(), Kind::Throttled);
            assert_eq!(read(502, &[], body).kind(), Kind::Transient);
        }
        let range = read(416, &[("content-range", "bytes */0")], "");
        assert_eq!(range.kind(), Kind::Foreign);
        let busy = read(503, &[("retry-after", "7")], "<Error><Code>SlowDown</Code></Error>");
        assert_eq!((busy.kind(), busy.retry_after), (Kind::Throttled, Some(Duration::from_secs(7))));
    }

    #[test]
    fn only_s3_s_own_word_makes_an_object_missing() {
        let of = |status, code: &str| {
            read(status, &[], &format!("<Error><Code>{code}</Code><Message>m</Message></Error>")).kind()
        };
        assert_eq!(of(404, "NoSuchKey"), Kind::NoSuchObject);
        assert_eq!(of(404, "NoSuchVersion"), Kind::NoSuchObject);
        assert_eq!(of(404, "NoSuchBucket"), Kind::NotFound);
        for other in ["NotFound", "NoSuchUpload", "NoSuchAccessPoint", "nosuchkey"] {
            assert_eq!(of(404, other), Kind::NotFound, "{other}");
        }
        assert_eq!(of(503, "NoSuchKey"), Kind::Transient, "the rest of the answer says otherwise");
        // A delete marker: its key alone is missing, and so is the version that it is.
        let marker = [("x-amz-delete-marker", "true")];
        let body = |code| format!("<Error><Code>{code}</Code></Error>");
        assert_eq!(read(404, &marker, &body("NoSuchKey")).kind(), Kind::NoSuchObject);
        assert_eq!(read(405, &marker, &body("MethodNotAllowed")).kind(), Kind::NoSuchObject);
        assert_eq!(read(405, &[], &body("MethodNotAllowed")).kind(), Kind::BadRequest);
        assert_eq!(read(404, &marker, "").kind(), Kind::Foreign);
    }

    #[test]
    fn a_range_behind_the_end_says_the_size() {
        let body = "<Error><Code>InvalidRange</Code><ActualObjectSize>7</ActualObjectSize></Error>";
        assert_eq!(read(416, &[], body).kind(), Kind::InvalidRange { total: Some(7) });
        let header = [("content-range", "bytes */0")];
        let range = read(416, &header, "<Error><Code>InvalidRange</Code></Error>");
        assert_eq!(range.kind(), Kind::InvalidRange { total: Some(0) });
    }

    /// Each code in every form in which services write it: nothing of it is lost, and its meaning stays.
    #[test]
    fn a_code_is_whole_in_every_form() {
        let rows = [
            ("KMS.DisabledException", "KmsDisabled", Some(Kind::Denied)),
            ("KMS.KMSInvalidStateException", "KmsInvalidState", Some(Kind::Denied)),
            ("KMSInvalidStateException", "KmsInvalidState", Some(Kind::Denied)),
            ("KMS.NotFoundException", "KmsNotFound", Some(Kind::Denied)),
            ("KMS.InvalidKeyUsageException", "KmsInvalidKeyUsage", Some(Kind::Denied)),
            ("KMS.AccessDeniedException", "KmsAccessDenied", Some(Kind::Denied)),
            ("KmsOptInRequired", "KmsOptInRequired", Some(Kind::Denied)),
            ("KMS.ThrottlingException", "KmsThrottling", Some(Kind::Throttled)),
            ("KmsThrottled", "KmsThrottled", Some(Kind::Throttled)),
            ("KMSInternalException", "KmsInternal", Some(Kind::Transient)),
            ("AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue", Some(Kind::NotFound)),
            ("AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight", Some(Kind::ReceiptHandle)),
            ("ThrottlingException", "Throttling", Some(Kind::Throttled)),
            ("ExpiredTokenException", "ExpiredToken", Some(Kind::Expired)),
            ("InvalidObjectState", "InvalidObjectState", Some(Kind::Withheld)),
            ("InvalidAction", "InvalidAction", None),
        ];
        for (code, short, kind) in rows {
            assert_eq!(essence(code), short);
            assert_eq!(by_code(code, ""), kind, "{code}");
            let xml = format!("<Error><Code>{code}</Code></Error>");
            let namespaced =
                format!(r#"{{"__type":"com.amazonaws.sqs#{code}","Message":"a","message":"b"}}"#);
            let with_url = format!(r#"{{"__type":"{code}:http://internal.amazonaws.com/coral/x#y"}}"#);
            for body in [xml, namespaced, with_url] {
                let refusal = read(400, &[], &body);
                assert_eq!(refusal.code, code, "{body}");
                assert_eq!(refusal.kind(), kind.clone().unwrap_or(Kind::BadRequest), "{body}");
            }
            for (name, value) in [
                ("x-amzn-errortype", format!("{code}:http://x/")),
                ("x-amzn-query-error", format!("{code};Sender")),
            ] {
                assert_eq!(read(400, &[(name, &value)], "").code, code, "{name}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(status in 300u16..600, body in proptest::collection::vec(0u8.., 0..200)) {
            let refusal = Refusal::read(status, &HeaderMap::new(), &body);
            let _ = refusal.kind();
            proptest::prop_assert_eq!(refusal.status, status);
        }

        #[test]
        fn code_and_message_survive_any_wrapping(code in "[A-Za-z.]{1,30}", message in "[ -~]{0,40}") {
            let escaped = quick_xml::escape::escape(message.as_str());
            let xml = format!("<Error><Code>{code}</Code><Message>{escaped}</Message></Error>");
            let json = serde_json::json!({"__type": format!("a.b#{code}"), "message": message}).to_string();
            for body in [xml.clone(), format!("<R>{xml}</R>"), json] {
                let refusal = Refusal::read(400, &HeaderMap::new(), body.as_bytes());
                proptest::prop_assert_eq!(&refusal.code, &code);
                proptest::prop_assert_eq!(refusal.message.trim(), message.trim());
            }
        }
    }
}
