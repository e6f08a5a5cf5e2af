//! Tries out what a configuration needs from the network and the host, one attempt after another.
//! Nothing is sent. One message of each queue is received and returned.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::announced::{Announced, announced};
use crate::aws::cloudwatch::{self, Dimension, Metric, Query};
use crate::aws::request::Address;
use crate::aws::{self, Attributes, Client, Error, Http, Sqs, Sts};
use crate::base::certificate;
use crate::base::stop::Stop;
use crate::base::text;
use crate::config::kind::Kind;
use crate::config::vendor;
use crate::config::{Problem, Severity};
use crate::fleet::{EXPIRES, Host, Table};
use crate::ledger::{self, FILE};
use crate::settings::{Config, Destination, Globals, Input, Output, Service, SharedTable, Source};
use crate::stages::receive::inspect;
use crate::stages::{send, sources};

/// SQS gives CloudWatch a figure a minute, up to some minutes late. In seconds.
const OLDEST_PERIOD: i64 = 60;
const OLDEST_LOOK_BACK: i64 = 900;

/// One attempt and its result.
pub struct Attempt {
    /// `inputs.sqs_collector: queue`.
    pub what: String,
    /// The facts that it found; empty if it failed.
    pub learnt: String,
    /// Warnings, and at most one error: the reason why it failed.
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

/// Tries everything. `show` gets each attempt as soon as it has ended.
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
    if let Some(table) = &config.globals.shared {
        show(of_table(table));
    }
    show(of_state(&config.globals));
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
    show(of_oldest(&path, input, &client));
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
        // Some networks block calls to STS, and no stage needs this one.
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

/// SQS's own API does not tell how long the oldest message has waited; CloudWatch does, some minutes late. It needs a
/// permission that nothing else needs, so its absence is no problem.
fn of_oldest(path: &str, input: &Input, client: &Client) -> Attempt {
    let what = format!("{path}: oldest message");
    let name = input.queue.text().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let metric = Metric {
        namespace: "AWS/SQS".to_owned(),
        name: "ApproximateAgeOfOldestMessage".to_owned(),
        dimensions: vec![Dimension { name: "QueueName".to_owned(), value: name.to_owned() }],
    };
    let now = Timestamp::try_from(client.clock().now()).unwrap_or(Timestamp::MAX).as_second();
    let to = now - now.rem_euclid(OLDEST_PERIOD);
    let query = Query {
        metrics: &[metric],
        period: OLDEST_PERIOD as u32,
        from: to - OLDEST_LOOK_BACK,
        to,
        token: None,
    };
    let (endpoint, resource) = (client.endpoint(Service::CloudWatch), format!("the metrics of {name}"));
    let address = Address { endpoint: &endpoint, region: &input.region, resource: &resource };
    // Once: a network without a way to CloudWatch must not hold up the rest.
    let client = client.tried_once();
    let answer =
        client.call_and_read(&cloudwatch::metric_data(&address, &query), cloudwatch::read_metric_data);
    let maximum = cloudwatch::STATISTICS.iter().position(|name| *name == "Maximum");
    Attempt::good(&what, match answer {
        Ok(data) => {
            let points = data.points.iter().filter(|point| Some(point.statistic) == maximum);
            match points.max_by_key(|point| point.time).and_then(|point| Some((point.time, point.value.as_f64()?))) {
                Some((time, age)) => {
                    let at = Timestamp::from_second(time).map_or_else(|_| String::new(), seconds);
                    format!("has waited {}, by CloudWatch at {at}", text::span(Duration::from_secs_f64(age.max(0.0))))
                }
                None => "not known: CloudWatch has no figure for the last quarter of an hour".to_owned(),
            }
        }
        Err(error) if *error.kind() == aws::Kind::Denied => {
            "not known: only CloudWatch has it, and cloudwatch:GetMetricData is not allowed. Nothing else needs that"
                .to_owned()
        }
        Err(error) => format!("not known: only CloudWatch has it, and it does not answer: {error}"),
    })
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
                    "its messages are only counted: allow sqs:GetQueueAttributes for it, or ignore this",
                )
            };
            Attempt { problems: vec![warning], ..Attempt::good(&what, "cannot be counted") }
        }
    }
}

/// Reads one byte of an announced object, because an identity that may read a queue may still lack rights on the bucket
/// or its KMS key.
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
                "not tried: the queue's redrive policy allows {receives} receives, and peeking at a message counts as one"
            ),
        ),
        Ok(Announced::NoMessage | Announced::Body(_)) => {
            Attempt::good(&what, "not tried: no waiting message announces an object")
        }
        Ok(Announced::NoObject(why) | Announced::Refused(why)) => {
            let advice = "check that the message is meant for this collector; otherwise the redrive policy moves it to the dead-letter queue";
            let warning = Problem { severity: Severity::Warning, ..problem(path, &why, advice) };
            Attempt {
                problems: vec![warning],
                ..Attempt::good(&what, "not tried: the next message names no object")
            }
        }
        Ok(Announced::Object(object)) => match object.first_byte(input, client) {
            Ok((bytes, kms_key)) => {
                let key =
                    kms_key.map_or_else(String::new, |key| format!(", decrypted with the KMS key {key}"));
                Attempt::good(&what, format!("{} can be read ({bytes} bytes{key})", object.name()))
            }
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
        Ok(()) => Attempt::good(&what, "the first call succeeded"),
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

/// Reads the shared table, and writes and deletes a host that holds nothing. Of objects, it reads a page.
fn of_table(settings: &SharedTable) -> Attempt {
    let path = "globals.persistence";
    let what = format!("{path}: table {} in {}", settings.name, settings.region);
    let tried = || -> Result<(Table, String), Error> {
        let table = Table::new(&Http::new(1)?, settings, &Stop::new());
        let (leases, hosts) = (table.leases()?, table.hosts()?);
        let probe = Host::new("check", BTreeSet::new());
        // A table with other keys refuses to delete, and would keep what is written.
        table.leave(&probe.id)?;
        table.beat(&probe, false)?;
        table.leave(&probe.id)?;
        table.try_objects()?;
        if let Some(source) = leases.unreadable.first() {
            let why = "this lease cannot be read, so no host polls the source: `aws-to-devo ledger forget --input SOURCE` replaces it";
            return Err(Error::setup(
                "dynamodb:Query",
                &format!("the lease of {source}"),
                aws::Kind::Changed,
                why,
            ));
        }
        let learnt =
            format!("can be read and written; sources {}, hosts {}", leases.known.len(), hosts.len());
        Ok((table, learnt))
    };
    match tried() {
        Ok((table, learnt)) => {
            let problems = growth(path, &table).into_iter().collect();
            Attempt { problems, ..Attempt::good(&what, learnt) }
        }
        Err(error) => Attempt::bad(&what, problem(path, &error, advice(&error))),
    }
}

/// Warns of a table that keeps its items for good.
fn growth(path: &str, table: &Table) -> Option<Problem> {
    const GROWS: &str = "the table keeps delivered objects and old hosts for good, and grows";
    let warning = match table.time_to_live() {
        Ok(Some(attribute)) if attribute == EXPIRES => return None,
        Ok(Some(attribute)) => {
            let why = format!("{GROWS}: its time to live is about the attribute `{attribute}`");
            let advice = format!("turn that off, wait an hour, and turn it on for the attribute `{EXPIRES}`");
            problem(path, &why, &advice)
        }
        Ok(None) => {
            let advice = format!(
                "turn its time to live on: aws dynamodb update-time-to-live --table-name {} --time-to-live-specification \
                 Enabled=true,AttributeName={EXPIRES}",
                table.name()
            );
            problem(path, &GROWS, &advice)
        }
        Err(error) if *error.kind() == aws::Kind::Denied => problem(
            path,
            &error,
            "whether old items are removed cannot be seen: allow dynamodb:DescribeTimeToLive, or ignore this",
        ),
        Err(error) => problem(path, &error, advice(&error)),
    };
    Some(Problem { severity: Severity::Warning, ..warning })
}

/// Checks that a start accepts the folder, and that a file can be created in it, or the folder itself in the nearest parent that exists.
fn of_state(globals: &Globals) -> Attempt {
    let what = "globals.persistence: state folder";
    let path = "globals.persistence.config.directory_name";
    let folder = &globals.state_directory;
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let folder = absolute.as_path();
    // Without "required", a start goes on without its ledger.
    let refused = |problem: Problem| {
        if globals.state_required {
            return Attempt::bad(what, problem);
        }
        let learnt = "cannot be used; the collector continues without its ledger";
        let warning = Problem { severity: Severity::Warning, ..problem };
        Attempt { problems: vec![warning], ..Attempt::good(what, learnt) }
    };
    if let Err(error) = ledger::examine(&folder.join(FILE)) {
        return refused(problem(path, &error, ""));
    }
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let tried = tempfile::Builder::new()
        .prefix(".check")
        .tempfile_in(existing)
        .and_then(|mut file| file.write_all(b"x"));
    match tried {
        Ok(()) if existing == folder => Attempt::good(what, format!("{} is writable", folder.display())),
        Ok(()) => Attempt::good(what, format!("{} can be created", folder.display())),
        Err(error) => {
            let message = format!("cannot write into {}: {}", existing.display(), error.kind());
            let advice = "run check as the service's user, and make that user the owner of the folder";
            refused(problem(path, &message, advice))
        }
    }
}

/// Checks that the status port is free. A running collector uses it.
fn of_status(address: std::net::SocketAddr) -> Attempt {
    let what = "globals.status: port";
    match TcpListener::bind(address) {
        Ok(_) => Attempt::good(what, format!("{address} is free")),
        Err(error) => {
            let message = format!("cannot listen on {address}: {error}");
            let advice = match error.kind() {
                ErrorKind::AddrInUse => {
                    "another program uses it. If this collector is running already, that is fine"
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};
    use crate::ledger::Store;

    fn with_state(folder: &Path, required: bool) -> Config {
        let text = format!(
            "globals: {{persistence: {{type: filesystem, required: {required}, config: {{directory_name: '{}'}}}}}}
outputs: {{console_1: {{type: console}}}}
inputs:
  sqs_collector:
    id: 1
    base_url: https://sqs.us-east-1.amazonaws.com/111111111111/x
    services: {{aws_sqs_cloudtrail: {{}}}}
",
            folder.display()
        );
        parse(&text, Path::new(""), &Environment::here()).unwrap_or_else(|p| panic!("{p}")).config
    }

    /// Kubernetes' `fsGroup` makes a volume writable by its group.
    #[test]
    fn a_state_folder_is_fine_if_a_start_accepts_it() {
        let volume = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o755, 0o2775, 0o2777] {
            fs::set_permissions(volume.path(), fs::Permissions::from_mode(mode)).unwrap();
            for folder in [volume.path().to_owned(), volume.path().join("ledger")] {
                let said = of_state(&with_state(&folder, true).globals);
                let started = Store::open(&folder.join(FILE));
                assert_eq!(said.has_failed(), started.is_err(), "{mode:o} {}", folder.display());
                if let (Some(problem), Err(error)) = (said.problems.first(), started) {
                    assert_eq!(problem.message, error.to_string());
                    let said = of_state(&with_state(&folder, false).globals);
                    assert!(!said.has_failed() && said.problems.len() == 1, "{mode:o}");
                }
            }
            fs::remove_dir_all(volume.path().join("ledger")).unwrap();
        }
    }
}
