//! Names from messages and answers: the form that a region, a bucket and a key must have before they become part of an
//! address. Pure.
//!
//! Anyone who can write a message chooses these names. A region becomes part of a host's name and a bucket does too; a key
//! becomes part of a path, where `..` may lead a server to another bucket.
//!
//! Sources: "General purpose bucket naming rules" and "Naming Amazon S3 objects" of the S3 user guide.

/// Longest name of a region, in bytes; AWS's have up to 15.
const REGION_BYTES_MAX: usize = 32;
/// Longest name of a bucket, in bytes: 63, but 255 for those of us-east-1 from before 2018.
const BUCKET_BYTES_MAX: usize = 255;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// True if the text looks like a region: `us-west-1`, `us-gov-east-1`, `eusc-de-east-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= REGION_BYTES_MAX
        && parts
            .split_last()
            .is_some_and(|(last, names)| names.len() >= 2 && names.iter().all(letters) && number(last))
}

/// True if the text can be a region's name in a signature. Servers other than AWS's have names such as `RegionOne`.
pub fn is_scope(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=REGION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// True if a bucket can have this name, in AWS or on a server that speaks S3.
pub fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name.len() <= BUCKET_BYTES_MAX
        && name.bytes().all(plain)
        && !name.is_empty()
        && !name.starts_with('.')
        && !name.contains("..")
}

/// The thing that a bucket's name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A bucket, or the alias of an access point, which is used as a bucket's name.
    Bucket(&'a str),
    AccessPoint(AccessPoint<'a>),
}

/// An access point, by its ARN: `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPoint<'a> {
    pub name: &'a str,
    pub account: &'a str,
    pub region: &'a str,
}

/// The reason why a name is unusable as a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    #[error("no bucket can have this name")]
    Impossible,
    /// It contains objects, but is not supported.
    #[error("it is {what}: {cure}")]
    Unsupported { what: &'static str, cure: &'static str },
}

const MULTI_REGION: NoPlace = NoPlace::Unsupported {
    what: "a Multi-Region Access Point",
    cure: "its requests need another kind of signature, which is not supported. Name one of its buckets",
};
const OBJECT_LAMBDA: NoPlace = NoPlace::Unsupported {
    what: "an S3 Object Lambda access point",
    cure: "it returns what a function makes of an object. Name the bucket, or the access point behind it",
};
const OUTPOSTS: NoPlace = NoPlace::Unsupported {
    what: "a bucket of S3 on Outposts",
    cure: "its endpoints and signatures differ. Replicate the objects to a bucket of a region, and name that",
};
const DIRECTORY: NoPlace = NoPlace::Unsupported {
    what: "a directory bucket (S3 Express One Zone)",
    cure: "it is read in sessions, which are not supported. Have the objects written to a general purpose bucket",
};

/// Parses a bucket's name, or the ARN of an access point.
///
/// # Errors
/// [`NoPlace`] if the name is impossible, or of an unsupported kind.
pub fn place(name: &str) -> Result<Place<'_>, NoPlace> {
    if name.len() > BUCKET_BYTES_MAX {
        return Err(NoPlace::Impossible);
    }
    if name.starts_with("arn:") {
        return Arn::parse(name).map_or(Err(NoPlace::Impossible), of_arn);
    }
    match () {
        () if !is_bucket(name) => Err(NoPlace::Impossible),
        // S3 does not allow bucket names with these endings.
        () if name.ends_with(".mrap") => Err(MULTI_REGION),
        () if name.ends_with("--op-s3") => Err(OUTPOSTS),
        () if name.ends_with("--x-s3") => Err(DIRECTORY),
        () => Ok(Place::Bucket(name)),
    }
}

/// The parts of an ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN; what its parts may be depends on the service.
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let mut next = || parts.next();
        let (partition, service, region) = (next()?, next()?, next()?);
        Some(Arn { partition, service, region, account: next()?, resource: next()? })
    }
}

/// True if the text can be the number of an account.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn of_arn(arn: Arn<'_>) -> Result<Place<'_>, NoPlace> {
    let Arn { service, region, account, resource, .. } = arn;
    let name = resource.strip_prefix("accesspoint").and_then(|rest| rest.strip_prefix(['/', ':']));
    match service {
        "s3-object-lambda" => Err(OBJECT_LAMBDA),
        "s3-outposts" => Err(OUTPOSTS),
        "s3express" => Err(DIRECTORY),
        "s3" if region.is_empty() && name.is_some() => Err(MULTI_REGION),
        "s3" => {
            let name = name.filter(|name| is_access_point(name)).ok_or(NoPlace::Impossible)?;
            let is_sound = is_account(account) && is_region(region);
            is_sound
                .then_some(Place::AccessPoint(AccessPoint { name, account, region }))
                .ok_or(NoPlace::Impossible)
        }
        _ => Err(NoPlace::Impossible),
    }
}

/// True if an access point can have this name, which becomes part of one label of a host's name.
fn is_access_point(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=50).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The bucket's name in its ARN (`arn:aws:s3:::NAME`); any other text unchanged.
pub fn without_arn(bucket: &str) -> &str {
    let name = bucket.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::"));
    name.map_or(bucket, |(_, name)| name)
}

/// True if an object can have this key. S3 refuses keys whose `..` lead out of their bucket, and so must we: a proxy
/// before an S3 server may follow them.
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

/// True if a name with slashes is `whole`, or a part of it.
pub fn is_under(name: &str, whole: &str) -> bool {
    name.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    fn places() {
        let point = |region| {
            let name = "my-point";
            Ok(Place::AccessPoint(AccessPoint { name, account: "123456789012", region }))
        };
        for (text, expected) in [
            ("logs", Ok(Place::Bucket("logs"))),
            ("my-point-abc123-s3alias", Ok(Place::Bucket("my-point-abc123-s3alias"))),
            ("fn-abc--ol-s3", Ok(Place::Bucket("fn-abc--ol-s3"))),
            ("arn:aws:s3:eu-west-1:123456789012:accesspoint/my-point", point("eu-west-1")),
            ("arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:my-point", point("cn-north-1")),
            ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", Err(MULTI_REGION)),
            ("mfzwi23gnjvgw.mrap", Err(MULTI_REGION)),
            ("arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/my-point", Err(OBJECT_LAMBDA)),
            ("arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/p", Err(OUTPOSTS)),
            ("p-abc--op-s3", Err(OUTPOSTS)),
            ("arn:aws:s3express:us-west-2:123456789012:bucket/b--usw2-az1--x-s3", Err(DIRECTORY)),
            ("b--usw2-az1--x-s3", Err(DIRECTORY)),
            ("a b", Err(NoPlace::Impossible)),
            ("arn:", Err(NoPlace::Impossible)),
            ("arn:aws:sqs:eu-west-1:123456789012:q", Err(NoPlace::Impossible)),
            ("arn:aws:s3:eu-west-1:123456789012:accesspoint/a.evil", Err(NoPlace::Impossible)),
            ("arn:aws:s3:eu-west-1:123456789012:accesspoint/p/object/k", Err(NoPlace::Impossible)),
            ("arn:aws:s3:evil.example/:123456789012:accesspoint/p", Err(NoPlace::Impossible)),
            ("arn:aws:s3:eu-west-1:12:accesspoint/p", Err(NoPlace::Impossible)),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
        assert_eq!(without_arn("arn:aws-cn:s3:::my.logs"), "my.logs");
        assert_eq!(
            without_arn("arn:aws:s3:eu-west-1:1:accesspoint/p"),
            "arn:aws:s3:eu-west-1:1:accesspoint/p"
        );
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
