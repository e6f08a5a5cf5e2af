//! `check --sample`: the first records of one announced object of each queue, as they would arrive. Nothing is
//! acknowledged or sent.

use std::fmt::Write as _;

use super::announced::{Announced, Candidate, announced};
use super::sample::{Outcome, Sample, Sent};
use crate::aws::{Client, Http, Sqs};
use crate::base::stop::Stop;
use crate::settings::{Config, Input};

/// Number of records shown per object.
const SHOWN: usize = 3;
/// Bytes shown per body.
const BODY_SHOWN_MAX: usize = 200;

/// A paragraph for each queue, and whether each could be asked.
pub struct Shown {
    pub text: String,
    pub is_complete: bool,
}

/// Fetches and shows an object of each queue.
pub fn shown(config: &Config) -> Shown {
    let http = match Http::new(1) {
        Ok(http) => http,
        Err(error) => return Shown { text: format!("{error}\n"), is_complete: false },
    };
    let mut shown = Shown { text: String::new(), is_complete: true };
    for input in &config.inputs {
        let _ = writeln!(shown.text, "inputs.{}:", input.key);
        let found = of_input(&http, input, &config.globals.host);
        shown.is_complete &= found.is_ok();
        let (Ok(lines) | Err(lines)) = found;
        lines.lines().for_each(|line| {
            let _ = writeln!(shown.text, "  {line}");
        });
    }
    shown
}

/// The lines to show, or the reason why there is nothing to show.
fn of_input(http: &Http, input: &Input, host: &str) -> Result<String, String> {
    let client = Client::of_input(http, input, &Stop::new());
    let queue = Sqs::new(client.clone(), &input.queue).map_err(|error| error.to_string())?;
    let redrive = queue.attributes().map_err(|error| error.to_string())?.redrive;
    match announced(input, &queue, redrive.as_ref()).map_err(|error| error.to_string())? {
        Announced::FewReceives(receives) => Ok(format!(
            "not tried: the queue's redrive policy allows {receives} receives, and peeking at a message counts as one"
        )),
        Announced::NoMessage => Ok("no message is waiting".to_owned()),
        Announced::NoObject(why) => Ok(why),
        Announced::Refused(why) => Err(format!("refused: {why}")),
        Announced::Body(body) => of_bytes(input, "", body.as_bytes(), body.len() as u64, host),
        Announced::Object(object) => of_object(input, &client, &object, host),
    }
}

fn of_object(input: &Input, client: &Client, object: &Candidate, host: &str) -> Result<String, String> {
    let (bytes, object_bytes) = object.beginning(input, client).map_err(|error| error.to_string())?;
    let named = |text| format!("{}\n{text}", object.name());
    of_bytes(input, object.key(), &bytes, object_bytes, host).map(named).map_err(named)
}

/// `bytes` are those of an object of `object_bytes`, or its beginning.
fn of_bytes(input: &Input, key: &str, bytes: &[u8], object_bytes: u64, host: &str) -> Result<String, String> {
    let service = if key.is_empty() { input.services.first() } else { input.service_of(key) };
    let service = service.ok_or("no service matches its key")?;
    if service.skips(key) {
        return Ok(format!("{}: filename_filter_rules skip it", service.name));
    }
    let definition = service.of_object(key);
    let mut sample = Sample::new(&definition, key, object_bytes, host);
    let whole = bytes.len() as u64 >= object_bytes;
    let (mut records, mut dropped, mut shown) = (0_u64, 0_u64, Vec::new());
    let result = sample.push(bytes, whole, &mut |outcome| match outcome {
        Outcome::Dropped { .. } => dropped += 1,
        Outcome::Sent(Sent { tag, body, .. }) => {
            records += 1;
            if shown.len() < SHOWN {
                shown.push(format!("  table {tag}, HOST {host}, body {}", shortened(body)));
            }
        }
    });
    let part = if whole { "" } else { " in the first 8 MiB" };
    let mut lines = vec![format!("{}: {records} records{part}, {dropped} dropped by rules", service.name)];
    lines.extend(shown);
    let lines = lines.join("\n");
    match result {
        Ok(()) => Ok(lines),
        Err(error) => Err(format!("{lines}\nrefused: {error}")),
    }
}

/// Replaces control characters, which would control the terminal.
fn shortened(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(BODY_SHOWN_MAX).flat_map(char::escape_debug).collect();
    let shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(BODY_SHOWN_MAX).is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn config() -> Config {
        let text = "outputs: {console_1: {type: console}}
inputs:
  sqs_collector:
    id: 1
    base_url: https://sqs.us-east-1.amazonaws.com/111111111111/x
    credentials: {profile: no-such-profile}
    services: {aws_sqs_cloudtrail: {}}
";
        parse(text, Path::new(""), &Environment::here()).unwrap_or_else(|p| panic!("{p}")).config
    }

    #[test]
    fn an_object_that_is_refused_is_a_failure_and_shows_what_came_before() {
        let object = br#"{"Records":[{"eventSource":"iam.amazonaws.com"},{"eventSour"#;
        let sample = |bytes| of_bytes(&config().inputs[0], "", bytes, object.len() as u64, "h");
        let text = sample(object).unwrap_err();
        assert!(text.contains("1 records") && text.contains("cloudtrail.iam"), "{text}");
        assert!(text.contains("\nrefused: "), "{text}");
        // Its beginning alone, as it is read of a long object.
        assert!(sample(&object[..object.len() - 1]).is_ok());
    }

    #[test]
    fn a_queue_that_cannot_be_asked_is_not_passed_over() {
        let shown = shown(&config());
        assert!(!shown.is_complete && shown.text.contains("no-such-profile"), "{}", shown.text);
    }
}
