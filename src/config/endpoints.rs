//! Where AWS is, for emulators and VPC endpoints: the input's keys, else the standard variables.

use super::Endpoints;
use super::load::Context;
use super::node::Mapping;
use super::problem::Kind;
use super::url;
use crate::aws::endpoint::Service;

const ADVICE: &str = "write scheme, host and port only: http://127.0.0.1:4566";

/// The services that an input with a queue calls.
pub(super) const QUEUE_SERVICES: [Service; 3] = [Service::Sqs, Service::S3, Service::Sts];

/// Those of `services`. The file before the environment, a service's own endpoint before the common one.
pub(super) fn read(keys: &Mapping<'_>, context: &Context<'_>, services: &[Service]) -> Endpoints {
    let common = written(keys, "endpoint_url");
    Endpoints::each(|service| {
        if !services.contains(&service) {
            return None;
        }
        written(keys, key(service))
            .or_else(|| common.clone())
            .or_else(|| from_environment(service.variable(), keys, context))
            .or_else(|| from_environment("AWS_ENDPOINT_URL", keys, context))
    })
}

fn key(service: Service) -> &'static str {
    match service {
        Service::Sqs => "sqs_endpoint_url",
        Service::S3 => "s3_endpoint_url",
        Service::Sts => "sts_endpoint_url",
        Service::CloudTrail => "cloudtrail_endpoint_url",
        Service::CloudWatch => "cloudwatch_endpoint_url",
        Service::Logs => "logs_endpoint_url",
        Service::GuardDuty => "guardduty_endpoint_url",
    }
}

fn written(keys: &Mapping<'_>, key: &'static str) -> Option<String> {
    checked(&keys.string(key)?, &keys.path_of(key), keys)
}

fn from_environment(variable: &str, keys: &Mapping<'_>, context: &Context<'_>) -> Option<String> {
    let value = (context.environment.variable)(variable).filter(|value| !value.is_empty())?;
    checked(&value, &format!("{} (environment variable {variable})", keys.path), keys)
}

fn checked(text: &str, path: &str, keys: &Mapping<'_>) -> Option<String> {
    match url::endpoint(text) {
        Ok(endpoint) => Some(endpoint),
        Err(refusal) => {
            keys.report.error(Kind::Invalid, path, refusal, ADVICE);
            None
        }
    }
}
