//! The endpoints of AWS, for emulators and VPC endpoints: from the input's keys, else the standard variables.

use super::context::Context;
use super::kind::Kind;
use super::node::Mapping;
use super::url;
use crate::aws::chain;
use crate::aws::endpoint::has_fips;
use crate::settings::{Credentials, Endpoints};
use crate::settings::{Service, Variant};

const ADVICE: &str = "write scheme, host and port only: http://127.0.0.1:4566";

/// The services that an input with a queue calls.
pub(super) const QUEUE_SERVICES: [Service; 3] = [Service::Sqs, Service::S3, Service::Sts];

/// The same, and the one that `check --online` asks for the age of the oldest message.
pub(super) const QUEUE_SERVICES_CHECKED: [Service; 4] =
    [Service::Sqs, Service::S3, Service::Sts, Service::CloudWatch];

/// The endpoints of `services`. The file has precedence over the environment, a service's own endpoint over the common
/// one. `credentials` name the profile that can select a variant.
pub(super) fn read(
    keys: &Mapping<'_>,
    context: &Context<'_>,
    services: &[Service],
    credentials: &Credentials,
) -> Endpoints {
    let common = written(keys, "endpoint_url");
    let of_service = |service| {
        if !services.contains(&service) {
            return None;
        }
        written(keys, key(service))
            .or_else(|| common.clone())
            .or_else(|| from_environment(service.variable(), keys, context))
            .or_else(|| from_environment("AWS_ENDPOINT_URL", keys, context))
    };
    let switch = |names| is_on(names, keys, context, credentials.profile.as_deref());
    let variant = Variant { fips: switch(FIPS), dual_stack: switch(DUAL_STACK) };
    Endpoints { variant, ..Endpoints::each(of_service) }
}

/// A switch's name in the environment, and in a profile.
type Names = (&'static str, &'static str);

const FIPS: Names = ("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
const DUAL_STACK: Names = ("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");

/// Reads a switch like AWS's own tools: the environment before the profile.
fn is_on(names: Names, keys: &Mapping<'_>, context: &Context<'_>, profile: Option<&str>) -> bool {
    let (variable, setting) = names;
    let in_environment = (context.environment.variable)(variable).filter(|value| !value.trim().is_empty());
    let (text, place) = match in_environment {
        Some(text) => (text, format!("environment variable {variable}")),
        None => match chain::setting(profile, setting, &*context.environment.variable) {
            Ok(Some(text)) => (text, format!("{setting} of the profile")),
            Ok(None) => return false,
            Err(why) => {
                let message = format!("{setting} of the profile is not known: {why}");
                let advice = format!("fix the file, or set {variable} to true or false");
                keys.report.warning(Kind::Doubtful, keys.path.as_str(), message, advice);
                return false;
            }
        },
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => true,
        "false" => false,
        _ => {
            let path = format!("{} ({place})", keys.path);
            keys.report.error(Kind::Invalid, path, format!("{text:?} is not allowed"), "write true or false");
            false
        }
    }
}

/// Refuses a region that lacks the selected endpoints.
pub(super) fn check_region(endpoints: &Endpoints, region: &str, keys: &Mapping<'_>) {
    if endpoints.variant.fips && endpoints.s3.is_none() && !has_fips(region) {
        let message = format!("AWS has no FIPS endpoints in {region}");
        let advice = format!("unset {} for this collector, and {} in its profile", FIPS.0, FIPS.1);
        keys.report.error(Kind::Invalid, keys.path.as_str(), message, advice);
    }
}

/// The input's key for one service's endpoint.
pub(super) fn key(service: Service) -> &'static str {
    match service {
        Service::Sqs => "sqs_endpoint_url",
        Service::S3 => "s3_endpoint_url",
        Service::Sts => "sts_endpoint_url",
        Service::CloudTrail => "cloudtrail_endpoint_url",
        Service::CloudWatch => "cloudwatch_endpoint_url",
        Service::Logs => "logs_endpoint_url",
        Service::GuardDuty => "guardduty_endpoint_url",
        Service::DynamoDb => "dynamodb_endpoint_url",
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
