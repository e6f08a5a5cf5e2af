//! Where AWS is, for emulators and VPC endpoints: the input's keys, else the standard variables.

use super::Endpoints;
use super::load::Context;
use super::node::Mapping;
use super::problem::Kind;
use super::url;

const ADVICE: &str = "write scheme, host and port only: http://127.0.0.1:4566";

/// The file before the environment, a service's own endpoint before the common one.
pub(super) fn read(keys: &Mapping<'_>, context: &Context<'_>) -> Endpoints {
    let common = written(keys, "endpoint_url");
    let of = |key, variable| {
        written(keys, key)
            .or_else(|| common.clone())
            .or_else(|| from_environment(variable, keys, context))
            .or_else(|| from_environment("AWS_ENDPOINT_URL", keys, context))
    };
    Endpoints {
        sqs: of("sqs_endpoint_url", "AWS_ENDPOINT_URL_SQS"),
        s3: of("s3_endpoint_url", "AWS_ENDPOINT_URL_S3"),
        sts: of("sts_endpoint_url", "AWS_ENDPOINT_URL_STS"),
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
