//! The checks that need the network: credentials, queues, outputs. Nothing is received or sent.

use crate::aws::{Client, Error, Http, Sqs};
use crate::base::stop::Stop;
use crate::config::kind::Kind;
use crate::config::vendor;
use crate::config::{Problem, Severity};
use crate::settings::{Config, Input, Output, Source};
use crate::stages::receive::inspect;
use crate::stages::send;
use crate::stages::sources;

/// Tries every input's queue and every source's first call, which use their credentials and roles, and opens one
/// connection to every output.
pub fn problems(config: &Config) -> Vec<Problem> {
    let queues = match Http::new(1) {
        Ok(http) => {
            let queues = config.inputs.iter().flat_map(|input| queue_problems(&http, input));
            queues.chain(config.sources.iter().filter_map(|source| source_problem(&http, source))).collect()
        }
        Err(error) => vec![problem("inputs", &error, "fix the named environment variable")],
    };
    queues.into_iter().chain(config.outputs.iter().filter_map(output_problem)).collect()
}

fn queue_problems(http: &Http, input: &Input) -> Vec<Problem> {
    let path = format!("inputs.{}", input.key);
    let client = Client::of_input(http, input, &Stop::new());
    match Sqs::new(client, &input.queue).and_then(|queue| queue.attributes()) {
        Ok(queue) => {
            let warning = |message| Problem { severity: Severity::Warning, ..problem(&path, &message, "") };
            inspect::warnings(&queue, input).into_iter().map(warning).collect()
        }
        Err(error) => vec![unavailable(input, &path, &error)],
    }
}

fn unavailable(input: &Input, path: &str, error: &Error) -> Problem {
    let services: Vec<&str> = input.services.iter().map(|service| service.name.as_str()).collect();
    let vendor = vendor::queue_words(
        input.queue.text(),
        &services.join(", "),
        &input.region,
        &format!("{:?}", error.kind()),
    );
    Problem { kind: Kind::Queue, vendor, ..problem(path, error, advice(error)) }
}

fn source_problem(http: &Http, source: &Source) -> Option<Problem> {
    let Source { credentials, endpoints, region, .. } = source;
    let path = format!("{} in {region}", source.path);
    let client = Client::new(http, &path, credentials, endpoints, region, &Stop::new());
    let error = sources::probe(source, &client).err()?;
    Some(problem(&path, &error, advice(&error)))
}

fn output_problem(output: &Output) -> Option<Problem> {
    let error = send::probe(output).err()?;
    Some(problem(&format!("outputs.{}", output.name), &error, "nothing was sent"))
}

fn advice(error: &Error) -> &'static str {
    if error.is_temporary() { "try again; the answer may change" } else { "nothing was received" }
}

fn problem(path: &str, message: &impl ToString, advice: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        kind: Kind::Online,
        path: path.to_owned(),
        message: message.to_string(),
        advice: advice.to_owned(),
        vendor: None,
    }
}
