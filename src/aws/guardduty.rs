//! GuardDuty over REST and JSON: ListDetectors, ListFindings, GetFindings. Pure.
//!
//! Format: the Amazon GuardDuty API reference. Times in requests are milliseconds since 1970, in findings they are ISO
//! 8601.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::request::{Address, Request, page_token};
use super::success::{self, Unusable};
use crate::base::limits::FINDINGS_PER_CALL;

/// A page of ids: of detectors, or of findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    pub ids: Vec<String>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub id: String,
    /// `updatedAt`, milliseconds since 1970. None if it is missing or unreadable.
    pub updated: Option<i64>,
    /// The finding as GuardDuty wrote it.
    pub json: String,
}

/// Builds ListDetectors: none or one per region.
pub fn detectors(address: &Address<'_>, token: Option<&str>) -> Request {
    let mut request = call("guardduty:ListDetectors", address, "/detector".to_owned(), Vec::new());
    request.method = "GET";
    request.headers.clear();
    request.query = format!("maxResults={FINDINGS_PER_CALL}");
    if let Some(token) = token {
        request.query.push_str(&format!("&nextToken={}", encoded(token)));
    }
    request
}

/// Builds ListFindings: ids of those that were updated at `updated` or later (milliseconds), the oldest update first.
pub fn findings(address: &Address<'_>, detector: &str, updated: i64, token: Option<&str>) -> Request {
    let mut input = json!({
        "findingCriteria": {"criterion": {"updatedAt": {"greaterThanOrEqual": updated}}},
        "sortCriteria": {"attributeName": "updatedAt", "orderBy": "ASC"},
        "maxResults": FINDINGS_PER_CALL,
    });
    if let Some(token) = token {
        input["nextToken"] = token.into();
    }
    let path = format!("/detector/{}/findings", encoded(detector));
    call("guardduty:ListFindings", address, path, body(&input))
}

/// Builds GetFindings, for at most fifty.
pub fn details(address: &Address<'_>, detector: &str, ids: &[String]) -> Request {
    let input = json!({
        "findingIds": ids,
        "sortCriteria": {"attributeName": "updatedAt", "orderBy": "ASC"},
    });
    let path = format!("/detector/{}/findings/get", encoded(detector));
    call("guardduty:GetFindings", address, path, body(&input))
}

/// Reads ListDetectors' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_detectors(body: &[u8]) -> Result<Ids, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<T> {
        detector_ids: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<String>, Answer<IgnoredAny>>(body)?;
    Ok(Ids { ids: answer.detector_ids, token: page_token(answer.next_token) })
}

/// Reads ListFindings' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_findings(body: &[u8]) -> Result<Ids, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<T> {
        finding_ids: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<String>, Answer<IgnoredAny>>(body)?;
    Ok(Ids { ids: answer.finding_ids, token: page_token(answer.next_token) })
}

/// Reads GetFindings' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_details(body: &[u8]) -> Result<Vec<Finding>, Unusable> {
    let text = success::mended(body);
    success::items(&text, "findings", |finding| Ok(read_finding(finding)))
}

/// A finding without an id or a time is read too: one odd finding must not block the others.
fn read_finding(json: &str) -> Finding {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Members {
        id: Value,
        updated_at: Value,
    }
    let Members { id, updated_at } = serde_json::from_str(json).unwrap_or_default();
    let updated = updated_at.as_str().and_then(|at| at.parse::<Timestamp>().ok());
    Finding {
        id: id.as_str().unwrap_or_default().to_owned(),
        updated: updated.map(Timestamp::as_millisecond),
        json: json.to_owned(),
    }
}

fn body(input: &Value) -> Vec<u8> {
    input.to_string().into_bytes()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn call(action: &'static str, address: &Address<'_>, path: String, body: Vec<u8>) -> Request {
    let mut request = Request::post(action, "guardduty", address, body);
    request.path = path;
    request.headers = vec![("content-type", "application/json".to_owned())];
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address<'_> = Address { endpoint: "https://e", region: "eu-west-1", resource: "findings" };

    fn text(request: &Request) -> &str {
        std::str::from_utf8(&request.body).unwrap()
    }

    #[test]
    fn requests() {
        let request = detectors(&ADDRESS, Some("a/b"));
        assert_eq!(
            (request.method, request.url().as_str()),
            ("GET", "https://e/detector?maxResults=50&nextToken=a%2Fb")
        );
        let request = findings(&ADDRESS, "12abc34d", 1_795_271_400_123, Some("t"));
        assert_eq!(request.url(), "https://e/detector/12abc34d/findings");
        assert_eq!(
            text(&request),
            r#"{"findingCriteria":{"criterion":{"updatedAt":{"greaterThanOrEqual":1795271400123}}},"sortCriteria":{"attributeName":"updatedAt","orderBy":"ASC"},"maxResults":50,"nextToken":"t"}"#
        );
        let request = details(&ADDRESS, "12abc34d", &["f1".to_owned()]);
        assert_eq!((request.method, request.path.as_str()), ("POST", "/detector/12abc34d/findings/get"));
        assert!(text(&request).starts_with(r#"{"findingIds":["f1"]"#));
    }

    #[test]
    fn pages_in_the_documented_form() {
        let page = read_detectors(include_bytes!("../../testdata/aws/guardduty/detectors.json")).unwrap();
        assert_eq!(page, Ids { ids: vec!["12abc34d567e8fa901bc2d34e56789f0".into()], token: None });
        let page = read_findings(include_bytes!("../../testdata/aws/guardduty/findings.json")).unwrap();
        assert_eq!((page.ids.len(), page.token.as_deref()), (2, Some("bmV4dA")));
        let found = read_details(include_bytes!("../../testdata/aws/guardduty/details.json")).unwrap();
        assert_eq!((found.len(), found[0].id.as_str()), (2, "aec1a5b1"));
        assert_eq!(found[0].updated, Some(1_795_271_400_123));
        assert!(found[0].json.contains(r#""severity": 8.0"#), "as it was written: {}", found[0].json);
    }

    #[test]
    fn nothing_there() {
        assert_eq!(read_detectors(br#"{"detectorIds":[]}"#).unwrap(), Ids { ids: vec![], token: None });
        assert_eq!(read_findings(br#"{"findingIds":[],"nextToken":""}"#).unwrap().token, None);
        assert_eq!(read_details(br#"{"findings":[]}"#).unwrap(), []);
        for bad in ["{}", r#"{"findings":{}}"#] {
            assert!(read_details(bad.as_bytes()).is_err(), "{bad}");
        }
        let odd =
            r#"{"findings":[{"id":"f"},{"updatedAt":"2026-11-21T00:00:00Z"},{"id":"g","updatedAt":"soon"}]}"#;
        let odd = read_details(odd.as_bytes()).unwrap();
        assert_eq!((odd.len(), odd[0].updated, odd[2].id.as_str()), (3, None, "g"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_detectors(&body), read_findings(&body), read_details(&body));
        }

        /// Any finding comes out byte for byte.
        #[test]
        fn findings_survive(title in "\\PC{0,60}", severity in 0f64..10.0) {
            let finding = json!({"title": title, "severity": severity, "id": "f", "updatedAt": "2026-11-21T00:00:00.001Z"});
            let body = format!("{{\"findings\": [ {finding} ]}}");
            let found = read_details(body.as_bytes()).unwrap();
            proptest::prop_assert_eq!(&found[0].json, &finding.to_string());
        }
    }
}
