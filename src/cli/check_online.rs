//! What only the network can tell of a configuration: credentials, queues, outputs. Nothing is received
//! and nothing is sent.

use crate::aws::{Client, Error, Http, Sqs};
use crate::config::problem::Kind;
use crate::config::{Config, Input, Output, Problem, Severity};
use crate::receive::inspect;
use crate::send;
use crate::stop::Stop;

/// Tries every input's queue, which needs its credentials and roles, and makes one connection to every
/// output.
pub fn problems(config: &Config) -> Vec<Problem> {
    let queues = match Http::new(1) {
        Ok(http) => config.inputs.iter().flat_map(|input| queue_problems(&http, input)).collect(),
        Err(error) => vec![problem("inputs", &error, "mend the environment variable that is named")],
    };
    queues.into_iter().chain(config.outputs.iter().filter_map(output_problem)).collect()
}

fn queue_problems(http: &Http, input: &Input) -> Vec<Problem> {
    let path = format!("inputs.{}", input.key);
    let client = Client::new(http, &path, &input.credentials, &input.endpoints, &input.region, &Stop::new());
    match Sqs::new(client, &input.queue_url).and_then(|queue| queue.attributes()) {
        Ok(queue) => {
            let warning = |message| Problem { severity: Severity::Warning, ..problem(&path, &message, "") };
            inspect::warnings(&queue, input).into_iter().map(warning).collect()
        }
        Err(error) => vec![problem(&path, &error, advice(&error))],
    }
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
    }
}
