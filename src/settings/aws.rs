//! Credentials and endpoints of AWS.

use std::fmt;

/// The credentials for AWS (`docs/devo-wire.md#credentials`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// From the file, or from files that it names.
    pub key: Option<AccessKey>,
    /// Without a key, the profile of the shared AWS files. None: the standard AWS chain.
    pub profile: Option<String>,
    /// `aws_base_account_role`.
    pub base_role: Option<String>,
    /// `aws_cross_account_role`, assumed with the base role's credentials.
    pub cross_account_role: Option<String>,
    /// `aws_external_id`, sent when the last role of the chain is assumed.
    pub external_id: Option<String>,
}

impl Credentials {
    /// The account of the calls, if a role's ARN names it.
    pub fn role_account(&self) -> Option<&str> {
        self.cross_account_role.as_ref().or(self.base_role.as_ref())?.split(':').nth(4)
    }
}

/// A long-lived key. Its `Debug` shows only the id.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// A custom endpoint of AWS: `scheme://host[:port]`, without a final slash.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    pub sqs: Option<String>,
    pub s3: Option<String>,
    pub sts: Option<String>,
    pub cloudtrail: Option<String>,
    pub cloudwatch: Option<String>,
    pub logs: Option<String>,
    pub guardduty: Option<String>,
    pub dynamodb: Option<String>,
    /// The variant of AWS's own endpoints for the other services.
    pub variant: Variant,
}

impl Endpoints {
    /// One per service, in the form of `url`.
    pub fn each(mut url: impl FnMut(Service) -> Option<String>) -> Endpoints {
        Endpoints {
            sqs: url(Service::Sqs),
            s3: url(Service::S3),
            sts: url(Service::Sts),
            cloudtrail: url(Service::CloudTrail),
            cloudwatch: url(Service::CloudWatch),
            logs: url(Service::Logs),
            guardduty: url(Service::GuardDuty),
            dynamodb: url(Service::DynamoDb),
            variant: Variant::default(),
        }
    }

    pub fn of(&self, service: Service) -> Option<&String> {
        let url = match service {
            Service::Sqs => &self.sqs,
            Service::S3 => &self.s3,
            Service::Sts => &self.sts,
            Service::CloudTrail => &self.cloudtrail,
            Service::CloudWatch => &self.cloudwatch,
            Service::Logs => &self.logs,
            Service::GuardDuty => &self.guardduty,
            Service::DynamoDb => &self.dynamodb,
        };
        url.as_ref()
    }
}

/// The last two are shown only if there are any, because backfills are stored under this text.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Endpoints");
        fields
            .field("sqs", &self.sqs)
            .field("s3", &self.s3)
            .field("sts", &self.sts)
            .field("cloudtrail", &self.cloudtrail)
            .field("cloudwatch", &self.cloudwatch)
            .field("logs", &self.logs)
            .field("guardduty", &self.guardduty);
        if self.dynamodb.is_some() {
            fields.field("dynamodb", &self.dynamodb);
        }
        if self.variant != Variant::default() {
            fields.field("variant", &self.variant);
        }
        fields.finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("key", &self.key)
            .field("profile", &self.profile)
            .field("base_role", &self.base_role)
            .field("cross_account_role", &self.cross_account_role)
            .field("external_id", &self.external_id.as_ref().map(|_| "…"))
            .finish()
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &shown_key_id(&self.id)).finish_non_exhaustive()
    }
}

/// The services that are called; each has its own override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Sqs,
    S3,
    Sts,
    CloudTrail,
    CloudWatch,
    Logs,
    GuardDuty,
    DynamoDb,
}

impl Service {
    /// Those that inputs call.
    pub const OF_INPUTS: [Service; 7] = [
        Service::Sqs,
        Service::S3,
        Service::Sts,
        Service::CloudTrail,
        Service::CloudWatch,
        Service::Logs,
        Service::GuardDuty,
    ];

    /// Those that the shared table needs.
    pub const OF_TABLE: [Service; 2] = [Service::DynamoDb, Service::Sts];

    /// The host name's part before the region; also the service's name in signatures.
    pub fn name(self) -> &'static str {
        match self {
            Service::Sqs => "sqs",
            Service::S3 => "s3",
            Service::Sts => "sts",
            Service::CloudTrail => "cloudtrail",
            Service::CloudWatch => "monitoring",
            Service::Logs => "logs",
            Service::GuardDuty => "guardduty",
            Service::DynamoDb => "dynamodb",
        }
    }

    /// The environment variable that overrides its address (AWS SDKs reference, "Service-specific endpoints").
    pub fn variable(self) -> &'static str {
        match self {
            Service::Sqs => "AWS_ENDPOINT_URL_SQS",
            Service::S3 => "AWS_ENDPOINT_URL_S3",
            Service::Sts => "AWS_ENDPOINT_URL_STS",
            Service::CloudTrail => "AWS_ENDPOINT_URL_CLOUDTRAIL",
            Service::CloudWatch => "AWS_ENDPOINT_URL_CLOUDWATCH",
            Service::Logs => "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
            Service::GuardDuty => "AWS_ENDPOINT_URL_GUARDDUTY",
            Service::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
        }
    }
}

/// The variant of a service's address, if there is no override.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variant {
    /// `AWS_USE_FIPS_ENDPOINT`: cryptography validated by FIPS 140.
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`: IPv6 in addition to IPv4.
    pub dual_stack: bool,
}

/// An access key id for people. It is not a secret (IAM user guide, "Managing access keys"); but a text that does not
/// look like one may be a secret in the wrong place, so only its ends are shown.
pub fn shown_key_id(key_id: &str) -> String {
    if key_id.len() >= 16 && key_id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return key_id.to_owned();
    }
    let chars = key_id.chars().collect::<Vec<_>>();
    if chars.len() < 12 {
        return "…".to_owned();
    }
    let (head, tail) = (&chars[..4], &chars[chars.len() - 4..]);
    head.iter().chain(&['…']).chain(tail).collect()
}
