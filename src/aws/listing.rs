//! ListObjectsV2: the request, and a page of keys. Pure.
//!
//! Format: "ListObjectsV2" of the Amazon S3 API reference. Pages follow each other by `start-after`, the last key seen,
//! not by continuation tokens: a backfill works on a page for as long as delivery takes, and a key does not expire.
//! This relies on the order of keys, which general-purpose buckets guarantee.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::endpoint::{self, Located, Nowhere};
use super::request::Request;
use super::s3::encoded;
use super::success::Unusable;
use crate::base::limits::{AWS_RESPONSE_TIMEOUT, S3_LIST_KEYS};
use crate::settings::Endpoints;

/// The listing to request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListObjects<'a> {
    pub bucket: &'a str,
    /// The prefix as named, not encoded; empty for every key.
    pub prefix: &'a str,
    /// Only keys after this one, in byte order; empty to start at the first.
    pub start_after: &'a str,
}

/// Up to [`S3_LIST_KEYS`] keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// There are more after the last one.
    pub truncated: bool,
}

/// One listed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes; empty if the server gives none.
    pub etag: String,
    pub modified: SystemTime,
    /// The object is archived and cannot be read before somebody restores it.
    pub archived: bool,
}

/// Builds the request for a page, in `region`.
///
/// # Errors
/// If a bucket or a region cannot have this name.
pub fn request(list: &ListObjects<'_>, region: &str, endpoints: &Endpoints) -> Result<Request, Nowhere> {
    let Located { endpoint, path, region } = endpoint::bucket(region, list.bucket, endpoints)?;
    let mut query = format!("encoding-type=url&list-type=2&max-keys={S3_LIST_KEYS}");
    // Sorted by name, as the signature requires.
    for (name, value) in [("prefix", list.prefix), ("start-after", list.start_after)] {
        if !value.is_empty() {
            query.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    Ok(Request {
        action: "s3:ListBucket",
        resource: format!("s3://{}", list.bucket),
        service: "s3",
        region,
        method: "GET",
        endpoint,
        path: if path.is_empty() { "/".to_owned() } else { path },
        query,
        headers: vec![("x-amz-optional-object-attributes", "RestoreStatus".to_owned())],
        body: Vec::new(),
        response_timeout: AWS_RESPONSE_TIMEOUT,
        time_limit: None,
    })
}

/// Reads an answer to `list`.
///
/// # Errors
/// If it is not S3's answer to this request. A page that does not advance beyond `start_after` would be listed forever,
/// and one that ends too early would end a backfill with keys left.
pub fn read(list: &ListObjects<'_>, body: &[u8]) -> Result<Page, Unusable> {
    let text = std::str::from_utf8(body).map_err(|_| Unusable::foreign("it is not UTF-8"))?;
    let Document::ListBucketResult(answer) = quick_xml::de::from_str(text).map_err(Unusable::foreign)?;
    let encoded = answer.encoding.as_deref() == Some("url");
    let objects = answer.contents.into_iter().map(|raw| raw.listed(encoded));
    let objects = objects.collect::<Result<Vec<_>, String>>().map_err(Unusable::odd)?;
    let keys = std::iter::once(list.start_after).chain(objects.iter().map(|object| object.key.as_str()));
    if !keys.is_sorted_by(|earlier, later| earlier.is_empty() || earlier < later) {
        return Err(Unusable::odd("the keys are not in order: only general-purpose buckets can be listed"));
    }
    if let Some(other) = objects.iter().find(|object| !object.key.starts_with(list.prefix)) {
        return Err(Unusable::foreign(format!("the key {:?} does not begin with the prefix", other.key)));
    }
    if answer.truncated && objects.is_empty() {
        return Err(Unusable::foreign("it names no key but says that there are more"));
    }
    Ok(Page { objects, truncated: answer.truncated })
}

/// The root element decides: an error with a success status has another.
#[derive(Deserialize)]
enum Document {
    ListBucketResult(Answer),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "IsTruncated")]
    truncated: bool,
    #[serde(rename = "EncodingType")]
    encoding: Option<String>,
    #[serde(rename = "Contents", default)]
    contents: Vec<Contents>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    last_modified: String,
    #[serde(rename = "ETag", default)]
    etag: String,
    /// Without a size, an object would count as empty.
    size: u64,
    #[serde(default)]
    storage_class: String,
    restore_status: Option<RestoreStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RestoreStatus {
    /// There is a readable copy, until then.
    restore_expiry_date: Option<String>,
}

impl Contents {
    fn listed(self, encoded: bool) -> Result<Listed, String> {
        let modified = self.last_modified.trim().parse::<jiff::Timestamp>();
        let modified = modified.map_err(|_| format!("LastModified is {:?}", self.last_modified))?;
        let restored = self.restore_status.is_some_and(|status| status.restore_expiry_date.is_some());
        Ok(Listed {
            key: if encoded { decoded(&self.key)? } else { self.key },
            size: self.size,
            etag: self.etag.trim_matches('"').to_owned(),
            modified: SystemTime::from(modified),
            archived: matches!(self.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE") && !restored,
        })
    }
}

/// Decodes `encoding-type=url`: a space is `+`, and characters that XML does not allow are `%XX`.
fn decoded(key: &str) -> Result<String, String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| format!("the key {key:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ListObjects<'_> = ListObjects { bucket: "logs", prefix: "", start_after: "" };

    fn read_golden(name: &str, list: &ListObjects<'_>) -> Result<Page, Unusable> {
        let path = format!("{}/testdata/aws/{name}", env!("CARGO_MANIFEST_DIR"));
        read(list, &std::fs::read(path).unwrap())
    }

    #[test]
    fn the_request() {
        let list = ListObjects { prefix: "a b/2026", start_after: "a b/2026/11+é", ..ALL };
        let request = request(&list, "eu-west-1", &Endpoints::default()).unwrap();
        assert_eq!(
            request.url(),
            "https://logs.s3.eu-west-1.amazonaws.com/?encoding-type=url&list-type=2&max-keys=1000\
             &prefix=a%20b%2F2026&start-after=a%20b%2F2026%2F11%2B%C3%A9"
        );
        assert_eq!(request.action, "s3:ListBucket");
        let custom =
            super::request(&ALL, "eu-west-1", &Endpoints::each(|_| Some("http://h:9".to_owned()))).unwrap();
        assert_eq!(custom.url(), "http://h:9/logs?encoding-type=url&list-type=2&max-keys=1000");
    }

    #[test]
    fn a_page_in_the_documented_form() {
        let page = read_golden("list_objects.xml", &ALL).unwrap();
        assert!(page.truncated);
        let keys: Vec<_> = page.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(keys, ["archived.gz", "logs/a b+c.gz", "logs/é\u{1}.gz", "restored.gz"]);
        let first = &page.objects[1];
        assert_eq!((first.size, first.etag.as_str()), (434_234, "fba9dede5f27731c9771645a39863328"));
        let time: jiff::Timestamp = "2026-10-12T17:50:30Z".parse().unwrap();
        assert_eq!(first.modified, SystemTime::from(time));
        let archived: Vec<_> = page.objects.iter().map(|object| object.archived).collect();
        assert_eq!(archived, [true, false, false, false]);
    }

    #[test]
    fn an_empty_page() {
        for name in ["ListBucketResult", "s3:ListBucketResult"] {
            let body = format!(
                "<?xml version=\"1.0\"?><{name}><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></{name}>"
            );
            assert_eq!(read(&ALL, body.as_bytes()).unwrap(), Page { objects: Vec::new(), truncated: false });
        }
    }

    #[test]
    fn what_is_not_a_listing_is_no_end_of_one() {
        let more = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
        let error = "<Error><Code>InternalError</Code><IsTruncated>false</IsTruncated></Error>";
        let page = "<html><head></head><body>log in</body></html>";
        let unsaid = "<ListBucketResult><Name>b</Name></ListBucketResult>";
        let cut = "<ListBucketResult><IsTruncated>false</IsTruncated>";
        let without_size = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>\
                       <LastModified>2026-10-12T17:50:30.000Z</LastModified></Contents></ListBucketResult>";
        for body in [
            more,
            error,
            page,
            unsaid,
            cut,
            without_size,
            "",
            "{}",
            "<?xml version=\"1.0\"?>",
            "<Status>ok</Status>",
        ] {
            assert!(matches!(read(&ALL, body.as_bytes()), Err(Unusable::Foreign(_))), "{body}");
        }
        let elsewhere = ListObjects { prefix: "other/", ..ALL };
        assert!(matches!(read_golden("list_objects.xml", &elsewhere), Err(Unusable::Foreign(_))));
    }

    #[test]
    fn a_page_that_leads_nowhere_is_refused() {
        let again = ListObjects { start_after: "restored.gz", ..ALL };
        assert!(read_golden("list_objects.xml", &again).unwrap_err().to_string().contains("order"));
        let same = ListObjects { start_after: "archived.gz", ..ALL };
        assert!(read_golden("list_objects.xml", &same).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = read(&ALL, &body);
        }

        /// Keys of any characters come back in order, as a server encodes them.
        #[test]
        fn keys_survive_the_encoding(keys in proptest::collection::btree_set("\\PC{1,20}", 0..20)) {
            let encode = |key: &String| encoded(key).replace("%20", "+").replace("%2F", "/");
            let contents: String = keys.iter().map(|key| format!(
                "<Contents><Key>{}</Key><LastModified>2026-10-12T17:50:30.000Z</LastModified><Size>1</Size></Contents>",
                encode(key)
            )).collect();
            let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>{contents}</ListBucketResult>");
            let page = read(&ALL, body.as_bytes()).unwrap();
            let found: Vec<_> = page.objects.into_iter().map(|object| object.key).collect();
            proptest::prop_assert_eq!(found, keys.into_iter().collect::<Vec<_>>());
        }
    }
}
