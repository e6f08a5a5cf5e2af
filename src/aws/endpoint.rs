//! The address of a service: region -> partition -> DNS suffix, unless an override says otherwise.

use crate::base::naming;
use crate::base::naming::{AccessPoint, NoPlace, Place, is_region};
use crate::settings::Endpoints;
use crate::settings::Service;
use crate::settings::Variant;

/// The overrides of one input. The file's setting has precedence over `AWS_ENDPOINT_URL_SQS` (`_S3`, …), which has
/// precedence over `AWS_ENDPOINT_URL`. `env` reads the environment; empty values count as absent.
pub fn resolve(written: &Endpoints, env: impl Fn(&str) -> Option<String>) -> Endpoints {
    let from_env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let pick = |service: Service| {
        let own = written.of(service).cloned();
        let found = own.or_else(|| from_env(service.variable())).or_else(|| from_env("AWS_ENDPOINT_URL"));
        found.map(|url| without_default_port(url.trim().trim_end_matches('/')).to_owned())
    };
    Endpoints { variant: written.variant, ..Endpoints::each(pick) }
}

/// Builds `https://sqs.<region>.<suffix>`, or a variant of it. A text that is not a region leads to a host that does
/// not exist.
pub fn regional(service: Service, region: &str, variant: Variant) -> String {
    format!("https://{}", host(service, if is_region(region) { region } else { "invalid" }, variant))
}

/// The forms are those of the endpoint rules that AWS publishes for each service.
fn host(service: Service, region: &str, variant: Variant) -> String {
    let Partition { name: partition, suffix, dual_stack_suffix, .. } = partition_row(region);
    let name = service.name();
    if service == Service::S3 {
        return s3_host(name, region, suffix, variant);
    }
    // In GovCloud the usual endpoints are validated.
    let is_usual_validated =
        *partition == "aws-us-gov" && (!variant.dual_stack || service == Service::CloudWatch);
    let fips = if variant.fips && !is_usual_validated { "-fips" } else { "" };
    let suffix = if variant.dual_stack { dual_stack_suffix } else { suffix };
    format!("{name}{fips}.{region}.{suffix}")
}

fn s3_host(name: &str, region: &str, suffix: &str, variant: Variant) -> String {
    let fips = if variant.fips { "-fips" } else { "" };
    let dual_stack = if variant.dual_stack { ".dualstack" } else { "" };
    format!("{name}{fips}{dual_stack}.{region}.{suffix}")
}

/// The address to call for a queue with this URL. None if it has no `http(s)://host`.
///
/// Hosts of VPC endpoints and emulators, and those of an explicit variant, are called as written. SQS's usual hosts and
/// its old ones, which some networks do not reach, become the region's own in the variant.
pub fn queue(url: &str, variant: Variant) -> Option<String> {
    let origin = origin(url)?;
    let region = after_https(origin).and_then(usual_queue_region);
    Some(region.map_or_else(|| origin.to_owned(), |region| regional(Service::Sqs, region, variant)))
}

/// The region of an SQS host that is neither a VPC endpoint's nor a variant's: `sqs.<region>.<suffix>`, or one of the
/// old forms `<region>.queue.<suffix>` and `queue.<suffix>`.
pub fn usual_queue_region(host: &str) -> Option<&str> {
    match host {
        "queue.amazonaws.com" => return Some("us-east-1"),
        "queue.amazonaws.com.cn" => return Some("cn-north-1"),
        _ => {}
    }
    let (first, rest) = host.split_once('.')?;
    let (second, suffix) = rest.split_once('.')?;
    let (("sqs", region) | (region, "queue")) = (first, second) else { return None };
    (is_region(region) && suffix == dns_suffix(region)).then_some(region)
}

/// True if a region from a message or an answer may become part of an address, for a client of the region `own`. Only a
/// region of the same partition may: the client's keys are valid in no other.
pub fn is_region_beside(region: &str, own: &str) -> bool {
    is_region(region) && partition(region) == partition(own)
}

/// The partition's name in ARNs: `aws`, `aws-cn`, `aws-us-gov`, `aws-iso`, …
pub fn partition(region: &str) -> &'static str {
    partition_row(region).name
}

/// The partition's domain: `amazonaws.com`, `amazonaws.com.cn`, …
pub fn dns_suffix(region: &str) -> &'static str {
    partition_row(region).suffix
}

/// True if S3 has FIPS endpoints there.
pub fn has_fips(region: &str) -> bool {
    partition(region) != "aws-cn"
}

/// The reason why an address cannot be built: a bucket or a region cannot have this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nowhere {
    #[error(transparent)]
    Place(#[from] NoPlace),
    #[error("{0:?} is not a region")]
    Region(String),
    #[error("the access point is in {0}, which is in another AWS partition than {1}")]
    Partition(String, String),
    #[error(
        "access points exist only in AWS: the endpoint {0} has no domain name that theirs could be prepended to. \
         Name the bucket"
    )]
    Endpoint(String),
}

/// The address of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// `scheme://host[:port]`.
    pub endpoint: String,
    /// The path before `/` and the key.
    pub path: String,
    /// The region in the signature's scope.
    pub region: String,
}

/// The address of a bucket of the region: virtual-hosted on AWS, path style for custom endpoints and for names that a
/// wildcard certificate does not cover. An access point named by its ARN has its own host and region.
///
/// # Errors
/// If a bucket or a region cannot have this name, so it must not become part of a host or a path.
pub fn bucket(region: &str, bucket: &str, endpoints: &Endpoints) -> Result<Located, Nowhere> {
    let name = match naming::place(bucket)? {
        Place::Bucket(name) => name,
        Place::AccessPoint(point) => return access_point(region, &point, endpoints),
    };
    let at = |endpoint, path| Ok(Located { endpoint, path, region: region.to_owned() });
    match &endpoints.s3 {
        Some(endpoint) => at(endpoint.to_owned(), format!("/{name}")),
        None if !is_region(region) => Err(Nowhere::Region(region.to_owned())),
        None if is_host_label(name) => {
            at(format!("https://{name}.{}", host(Service::S3, region, endpoints.variant)), String::new())
        }
        None => at(regional(Service::S3, region, endpoints.variant), format!("/{name}")),
    }
}

/// Source: "Referencing access points" in the S3 user guide; for a custom endpoint, such as that of a VPC, the rules of
/// the SDKs.
fn access_point(own: &str, point: &AccessPoint<'_>, endpoints: &Endpoints) -> Result<Located, Nowhere> {
    let AccessPoint { name, account, region } = point;
    let endpoint = match &endpoints.s3 {
        Some(endpoint) => before_host(endpoint, &format!("{name}-{account}"))?,
        None if !is_region_beside(region, own) => {
            return Err(Nowhere::Partition((*region).to_owned(), own.to_owned()));
        }
        None => {
            let host = s3_host("s3-accesspoint", region, dns_suffix(region), endpoints.variant);
            format!("https://{name}-{account}.{host}")
        }
    };
    Ok(Located { endpoint, path: String::new(), region: (*region).to_owned() })
}

fn before_host(endpoint: &str, label: &str) -> Result<String, Nowhere> {
    let nowhere = || Nowhere::Endpoint(endpoint.to_owned());
    let (scheme, authority) = endpoint.split_once("://").ok_or_else(nowhere)?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let is_domain =
        host.contains('.') && host.parse::<std::net::Ipv4Addr>().is_err() && !host.starts_with('[');
    is_domain.then(|| format!("{scheme}://{label}.{authority}")).ok_or_else(nowhere)
}

/// The `scheme://host[:port]` of a URL such as a queue's; None if it has no http(s) scheme or no host.
pub fn origin(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let valid = !host.is_empty() && !host.starts_with(':') && host.bytes().all(plain);
    valid.then(|| without_default_port(&url[..scheme.len() + 3 + host.len()]))
}

/// True if this origin is one of AWS's own in the partition of `region`: https, the usual port, AWS's domain.
pub fn is_of_aws(origin: &str, region: &str) -> bool {
    let host = after_https(origin).unwrap_or_default();
    partition_row(region).domains().any(|domain| is_below(host, domain))
}

/// True for a host of AWS's in any partition.
pub fn is_on_aws(host: &str) -> bool {
    PARTITIONS.iter().flat_map(Partition::domains).any(|domain| is_below(host, domain))
}

/// True for a host with at least one label before the domain.
pub fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// The region in an AWS address, for advice: `sqs.eu-west-1.amazonaws.com`, `bucket.s3.eu-west-1.amazonaws.com`,
/// `eu-west-1.queue.amazonaws.com`.
pub fn region_of(address: &str) -> Option<&str> {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest).split(['/', ':']).next()?;
    is_on_aws(host).then(|| host.split('.').rev().find(|label| is_region(label)))?
}

/// The signature omits a default port, so the Host header must too.
fn without_default_port(origin: &str) -> &str {
    let port = if after_https(origin).is_some() { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

/// The rest of an https address. A scheme may be written in capitals (RFC 3986, section 3.1).
fn after_https(address: &str) -> Option<&str> {
    address.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("https")).map(|(_, rest)| rest)
}

/// A partition of AWS, which is separate from the others.
struct Partition {
    /// Prefixes of its regions' names.
    regions: &'static str,
    name: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

impl Partition {
    const fn new(
        regions: &'static str,
        name: &'static str,
        suffix: &'static str,
        dual_stack_suffix: &'static str,
    ) -> Self {
        Self { regions, name, suffix, dual_stack_suffix }
    }

    fn domains(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.suffix, self.dual_stack_suffix].into_iter()
    }
}

const COMMERCIAL: Partition = Partition::new("", "aws", "amazonaws.com", "api.aws");

/// The first match counts; the last matches all.
const PARTITIONS: &[Partition] = &[
    Partition::new("cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition::new("us-gov-", "aws-us-gov", "amazonaws.com", "api.aws"),
    Partition::new("us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition::new("us-isof-", "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition::new("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition::new("us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition::new("eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"),
    COMMERCIAL,
];

fn partition_row(region: &str) -> &'static Partition {
    PARTITIONS.iter().find(|row| region.starts_with(row.regions)).unwrap_or(&COMMERCIAL)
}

/// True for one DNS label, so that `*.s3.<region>.<suffix>` covers it.
fn is_host_label(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_the_region() {
        let rows = [
            ("us-east-1", "aws", "https://sqs.us-east-1.amazonaws.com"),
            ("cn-north-1", "aws-cn", "https://sqs.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "https://sqs.us-gov-west-1.amazonaws.com"),
            ("us-iso-east-1", "aws-iso", "https://sqs.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "https://sqs.us-isob-east-1.sc2s.sgov.gov"),
        ];
        for (region, name, endpoint) in rows {
            assert_eq!(partition(region), name);
            assert_eq!(regional(Service::Sqs, region, Variant::default()), endpoint);
        }
    }

    #[test]
    fn buckets_are_virtual_hosted_only_where_the_certificate_covers_them() {
        let at = |name, over: Option<&str>| {
            let endpoints = Endpoints { s3: over.map(str::to_owned), ..Endpoints::default() };
            bucket("eu-west-1", name, &endpoints).unwrap()
        };
        let (endpoint, path) = ("https://s3.eu-west-1.amazonaws.com", "/my.logs");
        assert_eq!(at("logs-s3alias", None).endpoint, "https://logs-s3alias.s3.eu-west-1.amazonaws.com");
        assert_eq!(
            (at("my.logs", None).endpoint.as_str(), at("my.logs", None).path.as_str()),
            (endpoint, path)
        );
        assert_eq!(at("Upper_Case", None).path, "/Upper_Case");
        let custom = at("logs", Some("http://127.0.0.1:9000"));
        assert_eq!((custom.endpoint.as_str(), custom.path.as_str()), ("http://127.0.0.1:9000", "/logs"));
    }

    #[test]
    fn an_access_point_has_a_host_and_a_region_of_its_own() {
        let arn = |partition, region| format!("arn:{partition}:s3:{region}:123456789012:accesspoint/point");
        let at = |own, arn: String, over: Option<&str>| {
            let endpoints = Endpoints { s3: over.map(str::to_owned), ..Endpoints::default() };
            bucket(own, &arn, &endpoints).map(|found| (found.endpoint, found.path, found.region))
        };
        let located =
            |endpoint: &str, region: &str| Ok((endpoint.to_owned(), String::new(), region.to_owned()));
        let (here, china) = (arn("aws", "us-west-2"), arn("aws-cn", "cn-north-1"));
        let host = "https://point-123456789012.s3-accesspoint.us-west-2.amazonaws.com";
        assert_eq!(at("eu-west-1", here.clone(), None), located(host, "us-west-2"));
        let variant = Variant { fips: true, dual_stack: true };
        let endpoints = Endpoints { variant, ..Endpoints::default() };
        let host = "https://point-123456789012.s3-accesspoint-fips.dualstack.us-west-2.amazonaws.com";
        assert_eq!(bucket("us-west-2", &here, &endpoints).unwrap().endpoint, host);
        let host = "https://point-123456789012.s3-accesspoint.cn-north-1.amazonaws.com.cn";
        assert_eq!(at("cn-northwest-1", china.clone(), None), located(host, "cn-north-1"));
        assert!(matches!(at("eu-west-1", china, None), Err(Nowhere::Partition(..))));
        let vpc = "https://accesspoint.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com";
        let host = "https://point-123456789012.accesspoint.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com";
        assert_eq!(at("us-west-2", here.clone(), Some(vpc)), located(host, "us-west-2"));
        for over in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:4566", "http://minio"] {
            assert_eq!(at("us-west-2", here.clone(), Some(over)), Err(Nowhere::Endpoint(over.to_owned())));
        }
    }

    #[test]
    fn the_file_wins_over_the_own_variable_and_that_over_the_general_one() {
        let env = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("http://all:1/".to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some("http://s3:2".to_owned()),
            "AWS_ENDPOINT_URL_STS" => Some(String::new()),
            _ => None,
        };
        let written = Endpoints { sqs: Some("http://file:3/".to_owned()), ..Endpoints::default() };
        let found = resolve(&written, env);
        assert_eq!(found.sqs.as_deref(), Some("http://file:3"));
        assert_eq!(found.s3.as_deref(), Some("http://s3:2"));
        assert_eq!(found.sts.as_deref(), Some("http://all:1"));
        assert_eq!(resolve(&Endpoints::default(), |_| None), Endpoints::default());
    }

    /// Compared with the endpoint rules that AWS publishes: service, region, FIPS, dual stack, address.
    #[test]
    fn every_address_is_that_of_aws_s_endpoint_rules() {
        let mut compared = 0;
        for line in
            include_str!("../../testdata/aws/endpoints.txt").lines().filter(|line| !line.starts_with('#'))
        {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, region, fips, dual_stack, expected] = words[..] else { panic!("{line}") };
            let mut services = Service::OF_INPUTS.iter().chain(&Service::OF_TABLE);
            let service = *services.find(|service| service.name() == name).unwrap();
            let endpoints = Endpoints {
                variant: Variant { fips: fips == "1", dual_stack: dual_stack == "1" },
                ..Endpoints::default()
            };
            let address = match service {
                Service::S3 => bucket(region, "logs-1", &endpoints).unwrap().endpoint,
                _ => regional(service, region, endpoints.variant),
            };
            match expected {
                "-" => assert!(!has_fips(region), "{line}"),
                _ => assert_eq!(address, expected, "{line}"),
            }
            assert!(is_of_aws(&address, region), "{line}");
            assert_eq!(region_of(&address), Some(region), "{line}");
            compared += 1;
        }
        assert_eq!(compared, 8 * 11 * 4);
        let names = |bucket_name| {
            let variant = Variant { fips: true, dual_stack: true };
            let found =
                bucket("us-east-1", bucket_name, &Endpoints { variant, ..Endpoints::default() }).unwrap();
            (found.endpoint, found.path)
        };
        assert_eq!(
            names("my.logs"),
            ("https://s3-fips.dualstack.us-east-1.amazonaws.com".to_owned(), "/my.logs".to_owned())
        );
    }

    #[test]
    fn a_queue_is_called_at_its_region_s_address_or_where_its_url_says_otherwise() {
        let usual = Variant::default();
        let both = Variant { fips: true, dual_stack: true };
        for (host, region) in [
            ("sqs.us-west-1.amazonaws.com", "us-west-1"),
            ("us-west-1.queue.amazonaws.com", "us-west-1"),
            ("queue.amazonaws.com", "us-east-1"),
            ("cn-northwest-1.queue.amazonaws.com.cn", "cn-northwest-1"),
            ("queue.amazonaws.com.cn", "cn-north-1"),
            ("sqs.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ] {
            let url = format!("https://{host}/123456789012/q");
            assert_eq!(queue(&url, usual), Some(regional(Service::Sqs, region, usual)), "{host}");
            assert_eq!(queue(&url, both), Some(regional(Service::Sqs, region, both)), "{host}");
        }
        for origin in [
            "https://sqs-fips.us-east-1.amazonaws.com",
            "https://sqs.us-east-1.api.aws",
            "https://vpce-0a1-b2.sqs.eu-west-3.vpce.amazonaws.com",
            "http://sqs.us-east-1.amazonaws.com",
            "https://sqs.us-east-1.amazonaws.com:8443",
            "https://sqs.cn-north-1.amazonaws.com",
            "https://sqs.us-east-1.localhost",
            "https://queue.evilamazonaws.com",
            "http://127.0.0.1:4566",
        ] {
            assert_eq!(queue(&format!("{origin}/1/q"), both).as_deref(), Some(origin));
        }
        assert_eq!(queue("q", both), None);
    }

    #[test]
    fn origin_is_scheme_and_host() {
        assert_eq!(
            origin("https://sqs.us-west-1.amazonaws.com/1/q"),
            Some("https://sqs.us-west-1.amazonaws.com")
        );
        assert_eq!(origin("http://localhost:4566/000/q?x"), Some("http://localhost:4566"));
        assert_eq!(origin("http://[::1]:8080"), Some("http://[::1]:8080"));
        assert_eq!(origin("https://h:443/q"), Some("https://h"));
        assert_eq!(origin("https://h:80/q"), Some("https://h:80"));
        assert_eq!(origin("HttpS://h:80/q"), Some("HttpS://h:80"));
        assert_eq!(origin("HTTPS://h:443/q"), Some("HTTPS://h"));
        assert_eq!(origin("HTTP://h:80/q"), Some("HTTP://h"));
        assert!(is_of_aws("HTTPS://sqs.eu-west-1.amazonaws.com", "eu-west-1"));
        for bad in ["", "q", "ftp://host/q", "https:///q", "https://a b/q", "https://u@h/q", "https://:80/"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn regions_in_addresses() {
        assert_eq!(region_of("https://sqs.us-west-1.amazonaws.com/1/q"), Some("us-west-1"));
        assert_eq!(region_of("https://us-gov-west-1.queue.amazonaws.com/1/q"), Some("us-gov-west-1"));
        assert_eq!(region_of("b.s3.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(region_of("https://queue.amazonaws.com/1/q"), None);
        assert_eq!(region_of("http://localhost:4566/1/q"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_readers(text in "\\PC{0,40}") {
            let _ = region_of(&text);
            if let Some(found) = origin(&text) {
                proptest::prop_assert!(text.starts_with(found));
            }
        }
    }
}
