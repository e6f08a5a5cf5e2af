//! Names from messages and configurations that become parts of addresses: whatever they are, a request goes to AWS or
//! to the configured endpoint.

#![no_main]

use aws_to_devo::aws::endpoint;
use aws_to_devo::base::naming;
use aws_to_devo::settings::{Bucket, Endpoints};
use aws_to_devo_fuzz::parts;
use http::Uri;
use libfuzzer_sys::fuzz_target;

const CUSTOM: &str = "https://s3.example.com:8443";

// The first byte chooses the reader.
fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    match kind % 4 {
        0 => check_bucket(parts::of(input).map(parts::text)),
        1 => check_origin(parts::text(input)),
        2 => check_key(parts::text(input)),
        _ => check_option(parts::text(input)),
    }
});

/// A region and a bucket's name or ARN.
fn check_bucket([region, bucket]: [&str; 2]) {
    if let Ok(located) = endpoint::bucket(region, bucket, &Endpoints::default()) {
        let address = authority(&located.endpoint, &located.path);
        assert!(endpoint::is_of_aws(&located.endpoint, &located.region), "{located:?}");
        assert_eq!(endpoint::region_of(&located.endpoint), Some(&*located.region), "{address}");
    }
    let custom = Endpoints { s3: Some(CUSTOM.to_owned()), ..Endpoints::default() };
    if let Ok(located) = endpoint::bucket(region, bucket, &custom) {
        assert!(authority(&located.endpoint, &located.path).ends_with("s3.example.com:8443"), "{located:?}");
    }
    assert!(bucket.ends_with(naming::without_arn(bucket)));
}

fn authority(endpoint: &str, path: &str) -> String {
    let uri: Uri = format!("{endpoint}{path}/").parse().expect("an address");
    assert_eq!(uri.path(), format!("{path}/"));
    let authority = uri.authority().expect("an authority").to_string();
    assert!(endpoint.ends_with(&format!("://{authority}")), "{endpoint}");
    authority
}

/// The part of a queue's URL that a request is sent to is the one that an HTTP client takes it for.
fn check_origin(url: &str) {
    let Some(origin) = endpoint::origin(url) else { return };
    let (Ok(whole), Ok(part)) = (url.parse::<Uri>(), origin.parse::<Uri>()) else { return };
    assert_eq!(whole.host(), part.host(), "{url:?}");
    let is_https = |uri: &Uri| uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 });
    assert_eq!(port(&whole), port(&part), "{url:?}");
    let _ = endpoint::queue(url, Default::default());
}

/// A key never leads out of its bucket: resolved step by step, as a server does, it stays below it.
fn check_key(key: &str) {
    let mut folders = Vec::new();
    let stays = key.split('/').all(|segment| match segment {
        "" | "." => true,
        ".." => folders.pop().is_some(),
        folder => {
            folders.push(folder);
            true
        }
    });
    assert!(stays || !naming::is_key(key), "{key:?}");
}

/// A bucket option comes back as it was written.
fn check_option(text: &str) {
    let Ok(bucket) = text.parse::<Bucket>() else { return };
    assert!(!bucket.name.is_empty() && text.contains(&bucket.name));
    assert!(bucket.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)));
}
