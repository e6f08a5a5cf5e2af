//! Names that messages and answers bring: what a region, a bucket and a key must look like before they become
//! part of an address. Pure.
//!
//! Whoever can write a message chooses these names. A region ends in a host's name and a bucket does, too; a key
//! ends in a path, where `..` may lead a server to another bucket.
//!
//! Sources: "General purpose bucket naming rules" and "Naming Amazon S3 objects" of the S3 user guide.

/// Longest name of a region, in bytes; AWS's have up to 15.
const REGION_BYTES_MAX: usize = 32;
/// Longest name of a bucket, in bytes: 63, but 255 for those of us-east-1 from before 2018.
const BUCKET_BYTES_MAX: usize = 255;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// Says whether the text looks like a region: `us-west-1`, `us-gov-east-1`, `eusc-de-east-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= REGION_BYTES_MAX
        && parts
            .split_last()
            .is_some_and(|(last, names)| names.len() >= 2 && names.iter().all(letters) && number(last))
}

/// Says whether the text can be a region's name in a signature. Servers other than AWS's have names such as
/// `RegionOne`.
pub fn is_scope(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=REGION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Says whether a bucket can have this name, in AWS or on a server that speaks S3.
pub fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name.len() <= BUCKET_BYTES_MAX
        && name.bytes().all(plain)
        && !name.is_empty()
        && !name.starts_with('.')
        && !name.contains("..")
}

/// Says whether an object can have this key. S3 refuses keys whose `..` lead out of their bucket, and so must we: a
/// proxy before an S3 server may follow them.
pub fn is_key(key: &str) -> bool {
    let mut depth = 0i32;
    let stays_inside = key.split('/').all(|segment| {
        depth += match segment {
            ".." => -1,
            "" | "." => 0,
            _ => 1,
        };
        depth >= 0
    });
    (1..=KEY_BYTES_MAX).contains(&key.len()) && stays_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        for good in ["us-west-1", "us-gov-east-1", "eusc-de-east-1", "ap-southeast-12", "us-isob-east-1"] {
            assert!(is_region(good), "{good}");
        }
        let long = format!("us-{}-1", "a".repeat(40));
        for bad in [
            "",
            "us",
            "us-1",
            "us-east",
            "US-EAST-1",
            "us-east-1/",
            "us-east-1.",
            "attacker.example/",
            "us-east-1#",
            "a-b-1@x",
            "us--1",
            "-us-east-1",
            "us-east-1\r\n",
            "us_east_1",
            "ü-b-1",
            long.as_str(),
        ] {
            assert!(!is_region(bad), "{bad:?}");
        }
    }

    #[test]
    fn buckets() {
        for good in ["logs", "my.logs", "Upper_Case", "a-b-s3alias", "b", "_old", "1x--use1-az4--x-s3"] {
            assert!(is_bucket(good), "{good}");
        }
        for bad in
            ["", ".", "..", "a/b", "a?acl&x=", "a#b", "a@b", "a b", "a..b", "a%2fb", "a:b", "a\r\nb", "ü"]
        {
            assert!(!is_bucket(bad), "{bad:?}");
        }
    }

    #[test]
    fn keys() {
        for good in ["a", "a/../b", "/a", "a//b", "./a", "a/..b", "?", "#", "\u{0}", "a/b/../../c", "é\u{1}"]
        {
            assert!(is_key(good), "{good:?}");
        }
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        for bad in ["", "..", "../a", "a/../..", "a/../../b", "//../a", "./../a", long.as_str()] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
