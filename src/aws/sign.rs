//! SigV4 by the `aws-sigv4` crate. Pure: the time is an argument.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;

use super::credentials::Credentials;
use super::request::Request;

/// A request that could not be signed: in practice an invalid URI or header.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub struct SignError(String);

/// The headers that sign `request`, as of `time`.
pub fn sign(
    request: &Request,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<Vec<(&'static str, String)>, SignError> {
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "aws-to-devo",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&request.region)
        .name(request.service)
        .time(time)
        .settings(settings(request.service))
        .build()
        .map_err(refused)?
        .into();
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let body = SignableBody::Bytes(&request.body);
    let signable = SignableRequest::new(request.method, request.url(), headers, body).map_err(refused)?;
    let (instructions, _signature) = sign_request(signable, &params).map_err(refused)?.into_parts();
    let (headers, _query) = instructions.into_parts();
    Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
}

/// The settings: S3 signs the path as sent and requires the payload's hash in a header; the others sign it normalized
/// and encoded once more.
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

fn refused(error: impl std::error::Error) -> SignError {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    SignError(format!("{error}{cause}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::limits::AWS_RESPONSE_TIMEOUT;

    /// The key of AWS's published examples.
    fn example_key(id: &str) -> Credentials {
        Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            expires_at: None,
        }
    }

    fn get(service: &'static str, endpoint: &str, path: &str, query: &str) -> Request {
        Request {
            action: "test",
            resource: String::new(),
            service,
            region: "us-east-1".to_owned(),
            method: "GET",
            endpoint: endpoint.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            response_timeout: AWS_RESPONSE_TIMEOUT,
            time_limit: None,
        }
    }

    fn signature(headers: &[(&str, String)]) -> String {
        let authorization = value(headers, "authorization");
        authorization.split_once("Signature=").map(|(_, hex)| hex.to_owned()).unwrap_or_default()
    }

    fn value(headers: &[(&str, String)], name: &str) -> String {
        headers.iter().find(|(header, _)| *header == name).map(|(_, v)| v.clone()).unwrap_or_default()
    }

    /// 2013-05-24T00:00:00Z, the day of the S3 examples.
    fn s3_day() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)
    }

    /// 2015-08-30T12:36:00Z, the time of the signing test suite.
    fn suite_time() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }

    /// "Example: GET Object" of the S3 documentation (Authenticating Requests, header-based).
    #[test]
    fn s3_get_object_with_a_range() {
        let key = Credentials {
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            ..example_key("AKIAIOSFODNN7EXAMPLE")
        };
        let mut request = get("s3", "https://examplebucket.s3.amazonaws.com", "/test.txt", "");
        request.headers.push(("range", "bytes=0-9".to_owned()));
        let headers = sign(&request, &key, s3_day()).unwrap();
        assert_eq!(
            value(&headers, "x-amz-content-sha256"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(value(&headers, "x-amz-date"), "20130524T000000Z");
        assert_eq!(signature(&headers), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    }

    /// `get-vanilla` of AWS's signing test suite.
    #[test]
    fn the_vanilla_get() {
        let request = get("service", "https://example.amazonaws.com", "/", "");
        let headers = sign(&request, &example_key("AKIDEXAMPLE"), suite_time()).unwrap();
        assert_eq!(signature(&headers), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        assert_eq!(value(&headers, "x-amz-content-sha256"), "", "only S3 wants it");
    }

    /// `post-x-www-form-urlencoded` of AWS's signing test suite.
    #[test]
    fn a_form_post() {
        let mut request = get("service", "https://example.amazonaws.com", "/", "");
        request.method = "POST";
        request.body = b"Param1=value1".to_vec();
        request.headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        let headers = sign(&request, &example_key("AKIDEXAMPLE"), suite_time()).unwrap();
        assert_eq!(signature(&headers), "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let mut key = example_key("ASIAEXAMPLE");
        key.session_token = Some("token".to_owned());
        let request = get("sqs", "https://sqs.us-east-1.amazonaws.com", "/", "");
        let headers = sign(&request, &key, suite_time()).unwrap();
        assert_eq!(value(&headers, "x-amz-security-token"), "token");
        assert!(value(&headers, "authorization").contains("x-amz-security-token"));
    }

    /// S3 must sign `/a//../b%2Bc` unchanged: the signature differs from the normalized path's.
    #[test]
    fn s3_paths_are_neither_normalised_nor_encoded_again() {
        let at = |path: &str| {
            let request = get("s3", "https://b.s3.us-east-1.amazonaws.com", path, "");
            signature(&sign(&request, &example_key("AKIDEXAMPLE"), s3_day()).unwrap())
        };
        let (raw, tidy) = (at("/a//../b%2Bc"), at("/a/b%2Bc"));
        assert_ne!(raw, tidy);
        assert_eq!(raw.len(), 64);
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        let request = get("s3", "https://b.s3.us-east-1.amazonaws.com", "/a b", "");
        let refused = sign(&request, &example_key("AKIDEXAMPLE"), s3_day()).unwrap_err();
        assert!(refused.to_string().starts_with("the request cannot be signed"), "{refused}");
    }
}
