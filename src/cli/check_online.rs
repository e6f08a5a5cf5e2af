//! What only the network and the host can tell of a configuration: one attempt after the other, with what was learnt.
//! Nothing is sent. One message of each queue is looked at and given back.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::announced::{Announced, announced};
use crate::aws::{self, Attributes, Client, Error, Http, Sqs, Sts};
use crate::base::certificate;
use crate::base::stop::Stop;
use crate::config::kind::Kind;
use crate::config::vendor;
use crate::config::{Problem, Severity};
use crate::settings::{Config, Destination, Input, Output, Source};
use crate::stages::receive::inspect;
use crate::stages::{send, sources};

/// What was tried, and what came of it.
pub struct Attempt {
    /// `inputs.sqs_collector: queue`.
    pub what: String,
    /// What was learnt; empty when it failed.
    pub learnt: String,
    /// At most one error, which is why it failed; warnings.
    pub problems: Vec<Problem>,
}

impl Attempt {
    pub fn has_failed(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn good(what: &str, learnt: impl Into<String>) -> Attempt {
        Attempt { what: what.to_owned(), learnt: learnt.into(), problems: Vec::new() }
    }

    fn bad(what: &str, problem: Problem) -> Attempt {
        Attempt { what: what.to_owned(), learnt: String::new(), problems: vec![problem] }
    }
}

/// Tries everything; each attempt is shown as soon as it is over.
pub fn attempts(config: &Config, show: &mut dyn FnMut(Attempt)) {
    match Http::new(1) {
        Ok(http) => {
            for input in &config.inputs {
                of_input(&http, input, show);
            }
            for source in &config.sources {
                of_source(&http, source, show);
            }
        }
        Err(error) => {
            show(Attempt::bad("inputs", problem("inputs", &error, "fix the named environment variable")));
        }
    }
    config.outputs.iter().for_each(|output| show(of_output(output)));
    show(of_state(&config.globals.state_directory));
    if let Some(status) = &config.globals.status {
        show(of_status(status.address));
    }
}

fn of_input(http: &Http, input: &Input, show: &mut dyn FnMut(Attempt)) {
    let path = format!("inputs.{}", input.key);
    let client = Client::of_input(http, input, &Stop::new());
    show(of_credentials(&path, &client));
    let what = format!("{path}: queue");
    let (queue, redrive) = match Sqs::new(client.clone(), &input.queue)
        .and_then(|queue| Ok((queue.attributes()?, queue)))
    {
        Ok((attributes, queue)) => {
            let warning = |message| Problem { severity: Severity::Warning, ..problem(&path, &message, "") };
            let problems = inspect::warnings(&attributes, input).into_iter().map(warning).collect();
            show(Attempt { problems, ..Attempt::good(&what, about_queue(&attributes)) });
            if let Some(redrive) = &attributes.redrive {
                show(of_dead_letters(&path, &queue, redrive));
            }
            (queue, attributes.redrive)
        }
        Err(error) => return show(Attempt::bad(&what, unavailable(input, &path, &error))),
    };
    if input.direct_mode {
        return;
    }
    show(of_object(&path, input, &client, &queue, redrive.as_ref()));
}

fn of_credentials(path: &str, client: &Client) -> Attempt {
    let what = format!("{path}: credentials");
    match Sts::new(client.clone()).caller_identity() {
        Ok(identity) => {
            let until = client.provider().expires_at().and_then(|at| Timestamp::try_from(at).ok());
            let until = until.map(|at| format!(", until {}", seconds(at))).unwrap_or_default();
            Attempt::good(&what, format!("account {}, {}{until}", identity.account, identity.arn))
        }
        // Not every network lets calls to STS through, and nothing needs this one.
        Err(error) if *error.kind() != aws::Kind::Denied => {
            let warning = Problem {
                severity: Severity::Warning,
                ..problem(
                    path,
                    &error,
                    "STS does not answer; the next lines show whether the credentials work",
                )
            };
            Attempt { problems: vec![warning], ..Attempt::good(&what, "not known") }
        }
        Err(error) => Attempt::bad(&what, problem(path, &error, advice(&error))),
    }
}

fn about_queue(queue: &Attributes) -> String {
    let mut parts = vec![format!("{} waiting, {} in flight", queue.available, queue.in_flight)];
    if queue.delayed > 0 {
        parts.push(format!("{} delayed", queue.delayed));
    }
    parts.extend(queue.visibility_timeout.map(|time| format!("visibility timeout {}", span(time))));
    parts.extend(queue.retention.map(|time| format!("kept for {}", span(time))));
    parts.push(match &queue.redrive {
        Some(redrive) => format!("dead-letter queue after {} receives", redrive.max_receive_count),
        None => "no dead-letter queue".to_owned(),
    });
    parts.join(", ")
}

fn of_dead_letters(path: &str, queue: &Sqs, redrive: &aws::Redrive) -> Attempt {
    let what = format!("{path}: dead-letter queue");
    let Some(dead) = queue.dead_letters(redrive) else {
        return Attempt::good(&what, format!("{}, not looked at", redrive.dead_letter_arn));
    };
    match dead.attributes() {
        Ok(attributes) => Attempt::good(&what, format!("{} waiting", attributes.available)),
        Err(error) => {
            let warning = Problem {
                severity: Severity::Warning,
                ..problem(
                    path,
                    &error,
                    "it is only counted: allow sqs:GetQueueAttributes for it, or leave it",
                )
            };
            Attempt { problems: vec![warning], ..Attempt::good(&what, "cannot be counted") }
        }
    }
}

/// One byte of an object that a message announces: who reads queues need not be able to read buckets, or their keys.
fn of_object(
    path: &str,
    input: &Input,
    client: &Client,
    queue: &Sqs,
    redrive: Option<&aws::Redrive>,
) -> Attempt {
    let what = format!("{path}: S3");
    match announced(input, queue, redrive) {
        Ok(Announced::FewReceives(receives)) => Attempt::good(
            &what,
            format!(
                "not tried: the queue's redrive policy allows {receives} receives, and looking at a message is one"
            ),
        ),
        Ok(Announced::NoMessage | Announced::Body(_)) => {
            Attempt::good(&what, "not tried: no message waits that announces an object")
        }
        Ok(Announced::NoObject(why)) => {
            let advice =
                "see whether it is this collector's message: the queue's redrive policy takes it otherwise";
            let warning = Problem { severity: Severity::Warning, ..problem(path, &why, advice) };
            Attempt {
                problems: vec![warning],
                ..Attempt::good(&what, "not tried: the message at hand names no object")
            }
        }
        Ok(Announced::Object(object)) => match object.first_byte(input, client) {
            Ok(bytes) => Attempt::good(&what, format!("{} can be read ({bytes} bytes)", object.name())),
            Err(error) => Attempt::bad(&what, problem(path, &error, advice(&error))),
        },
        Err(error) => Attempt::bad(&what, problem(path, &error, advice(&error))),
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

fn of_source(http: &Http, source: &Source, show: &mut dyn FnMut(Attempt)) {
    let Source { credentials, endpoints, region, .. } = source;
    let path = format!("{} in {region}", source.path);
    let client = Client::new(http, &path, credentials, endpoints, region, &Stop::new());
    show(of_credentials(&path, &client));
    let what = format!("{path}: {}", source.api.name());
    show(match sources::probe(source, &client) {
        Ok(()) => Attempt::good(&what, "the first call is answered"),
        Err(error) => Attempt::bad(&what, problem(&path, &error, advice(&error))),
    });
}

fn of_output(output: &Output) -> Attempt {
    let path = format!("outputs.{}", output.name);
    let what = format!("{path}: {}", output.destination);
    match send::probe(output) {
        Ok(tls) => {
            let tls = tls.unwrap_or_else(|| "no TLS".to_owned());
            let until = expiry(output)
                .map(|at| format!(", client certificate until {}", seconds(at)))
                .unwrap_or_default();
            let learnt = match output.destination {
                Destination::Console => "standard output".to_owned(),
                _ => format!("connected, {tls}{until}"),
            };
            Attempt::good(&what, learnt)
        }
        Err(error) => Attempt::bad(&what, problem(&path, &error, "nothing was sent")),
    }
}

fn expiry(output: &Output) -> Option<Timestamp> {
    let Destination::Tls { files, .. } = &output.destination else { return None };
    let bytes = fs::read(&files.identity.as_ref()?.cert).ok()?;
    certificate::expiry(&CertificateDer::pem_slice_iter(&bytes).next()?.ok()?)
}

/// A file can be made in the folder, or the folder in the next one above that is there.
fn of_state(folder: &Path) -> Attempt {
    let what = "globals.persistence: state folder";
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let folder = absolute.as_path();
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let tried = tempfile::Builder::new()
        .prefix(".check")
        .tempfile_in(existing)
        .and_then(|mut file| file.write_all(b"x"));
    match tried {
        Ok(()) if existing == folder => Attempt::good(what, format!("{} can be written", folder.display())),
        Ok(()) => Attempt::good(what, format!("{} can be made", folder.display())),
        Err(error) => {
            let message = format!("cannot write into {}: {}", existing.display(), error.kind());
            let advice = "run check as the user of the service; give the folder to it";
            Attempt::bad(what, problem("globals.persistence.config.directory_name", &message, advice))
        }
    }
}

/// A collector that runs has it.
fn of_status(address: std::net::SocketAddr) -> Attempt {
    let what = "globals.status: port";
    match TcpListener::bind(address) {
        Ok(_) => Attempt::good(what, format!("{address} is free")),
        Err(error) => {
            let message = format!("cannot listen on {address}: {error}");
            let advice = match error.kind() {
                ErrorKind::AddrInUse => {
                    "another program has it: if it is this collector, which runs already, all is well"
                }
                _ => "choose another address or port",
            };
            let warning =
                Problem { severity: Severity::Warning, ..problem("globals.status", &message, advice) };
            Attempt { problems: vec![warning], ..Attempt::good(what, "not free") }
        }
    }
}

fn advice(error: &Error) -> &'static str {
    if error.is_temporary() { "try again; the answer may change" } else { "" }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 86_400 && seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        seconds => format!("{seconds} s"),
    }
}

fn problem(path: &str, message: &impl ToString, advice: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        kind: Kind::Online,
        at: None,
        path: path.to_owned(),
        message: message.to_string(),
        advice: advice.to_owned(),
        vendor: None,
    }
}
