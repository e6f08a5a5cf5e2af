//! Objects and prefixes as people name them: `s3://bucket/key`.

use crate::aws::{Client, Http, S3};
use crate::base::naming;
use crate::base::stop::Stop;
use crate::settings::Input;

/// The listing's `s3://bucket/prefix`.
#[derive(Debug, Clone)]
pub struct Place {
    pub bucket: String,
    /// A prefix of keys, or a key, as S3 stores it: not encoded.
    pub prefix: String,
}

/// Parses a command line's argument.
pub fn s3_place(text: &str) -> Result<Place, String> {
    let rest = text.strip_prefix("s3://").ok_or("it must begin with s3://")?;
    // The ARN of an access point contains a slash.
    const OWN_SLASH: &str = ":accesspoint/";
    let own = rest.find(OWN_SLASH).filter(|_| rest.starts_with("arn:")).map_or(0, |at| at + OWN_SLASH.len());
    let end = rest[own..].find('/').map_or(rest.len(), |at| own + at);
    let (bucket, prefix) =
        (naming::without_arn(&rest[..end]), rest[end..].strip_prefix('/').unwrap_or_default());
    naming::place(bucket).map_err(|no_place| format!("{bucket:?}: {no_place}"))?;
    Ok(Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

/// Creates the client that reads objects for an input.
pub fn client(input: &Input) -> Result<S3, String> {
    Ok(S3::new(caller(input)?).paid_by_caller(input.request_payer))
}

/// Creates the client that calls AWS for an input.
pub fn caller(input: &Input) -> Result<Client, String> {
    let http = Http::new(1).map_err(|error| error.to_string())?;
    Ok(Client::of_input(&http, input, &Stop::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = s3_place("s3://logs/AWSLogs/a b%20").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("logs", "AWSLogs/a b%20"));
        assert_eq!(s3_place("s3://logs").unwrap().prefix, "");
        let place = s3_place("s3://arn:aws:s3:::logs/a/b").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("logs", "a/b"));
        let point = "arn:aws:s3:us-west-2:123456789012:accesspoint/point";
        for (prefix, expected) in [("", ""), ("/", ""), ("/AWSLogs/1", "AWSLogs/1")] {
            let place = s3_place(&format!("s3://{point}{prefix}")).unwrap();
            assert_eq!((place.bucket.as_str(), place.prefix.as_str()), (point, expected));
        }
        for bad in [
            "logs/a",
            "s3://",
            "s3:///a",
            "s3://a b/c",
            "https://logs/a",
            "s3://arn:aws:s3:r:1:accesspoint/p",
        ] {
            assert!(s3_place(bad).is_err(), "{bad}");
        }
        assert!(s3_place("s3://b--usw2-az1--x-s3/p").unwrap_err().contains("Express"));
    }
}
