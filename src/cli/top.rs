//! The `top` command: a live view of a running collector, from its `/status.json`.

mod block;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::exit::REFUSED;
use crate::base::out::Out;
use crate::config::url::absolute;
use block::{Line, lines};
pub use block::{figure, lag, services};

/// Interval between two refreshes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of intervals over which rates are averaged.
const INTERVALS: usize = 10;
/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Exit code if no collector answers.
const NOBODY: u8 = 1;

#[derive(Debug, Args)]
pub struct Options {
    /// Address of the status page (`globals.status`): HOST:PORT or a URL
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    address: String,
    /// Print the figures once, with rates over one second, and exit
    #[arg(long)]
    once: bool,
    /// Omit colors
    #[arg(long)]
    plain: bool,
}

/// Shows the view until Ctrl-C, or once. Returns exit code 1 if no collector answers.
pub fn run(options: &Options) -> ExitCode {
    let url = match url(&options.address) {
        Ok(url) => url,
        Err(refusal) => {
            let _ = writeln!(io::stderr(), "{refusal}");
            return ExitCode::from(REFUSED);
        }
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let terminal = io::stdout().is_terminal();
    let colours = terminal && !options.plain && std::env::var_os("NO_COLOR").is_none();
    let mut past: Vec<(Instant, Value)> = Vec::new();
    loop {
        let asked = Instant::now();
        let text = match ask(&agent, &url) {
            Ok(new) => {
                let text = past.first().map(|(then, old)| {
                    let seconds = asked.duration_since(*then).as_secs_f64().max(0.001);
                    shown(&lines(&new, old, seconds), colours)
                });
                past.push((asked, new));
                if past.len() > INTERVALS {
                    past.remove(0);
                }
                text
            }
            Err(message) if options.once || past.is_empty() => {
                let _ = writeln!(io::stderr(), "{message}");
                return ExitCode::from(NOBODY);
            }
            // It may be restarting, which resets its counters.
            Err(message) => {
                past.truncate(1);
                Some(format!("{message}\n"))
            }
        };
        if let Some(text) = text {
            let clear = if terminal && !options.once { "\x1b[H\x1b[J" } else { "" };
            let mut out = Out;
            if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() || options.once {
                return ExitCode::SUCCESS;
            }
        }
        std::thread::sleep(INTERVAL.saturating_sub(asked.elapsed()));
    }
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<Value, String> {
    let unknown = |error: String| format!("no collector answers at {url}: {error}");
    let mut answer = agent.get(url).call().map_err(|error| unknown(error.to_string()))?;
    if answer.status() != 200 {
        return Err(unknown(format!("HTTP {}: is this host name in globals.status.hosts?", answer.status())));
    }
    let text = answer.body_mut().read_to_string().map_err(|error| unknown(error.to_string()))?;
    read(&text).ok_or_else(|| unknown("this is not a collector's answer".to_owned()))
}

/// Reads an answer. None if it has not the members that every version's answer has: other servers answer with JSON too.
fn read(text: &str) -> Option<Value> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let is_collectors = answer["version"].is_string()
        && answer["ready"].is_boolean()
        && answer["inputs"].is_array()
        && answer["outputs"].is_array();
    is_collectors.then_some(answer)
}

/// The address of the figures. The refusal doesn't contain it: it may contain a password.
fn url(address: &str) -> Result<String, String> {
    let site = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let site = site.trim_end_matches('/').trim_end_matches("/status.json");
    absolute(site).map_err(|refusal| {
        format!("the address of the status page {refusal}: write HOST:PORT or a URL, such as 127.0.0.1:9600")
    })?;
    Ok(format!("{site}/status.json"))
}

fn shown(lines: &[Line], colours: bool) -> String {
    let shown = |Line { text, colour }: &Line| match colour.filter(|_| colours) {
        Some(colour) => format!("{}{text}\x1b[0m\n", colour.code()),
        None => format!("{text}\n"),
    };
    lines.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::block::Colour;
    use super::*;

    #[test]
    fn addresses() {
        for address in ["h:9600", "http://h:9600", "http://h:9600/", "http://h:9600/status.json"] {
            assert_eq!(url(address).unwrap(), "http://h:9600/status.json");
        }
        assert_eq!(url("https://x/a").unwrap(), "https://x/a/status.json");
        for (bad, why) in [
            ("http://user:secret@h:9600", "must not contain a user name or password"),
            ("user:secret@h:9600", "must not contain a user name or password"),
            ("127.0.0.1:99999", "port that is not a number from 1 to 65535"),
            ("h:0", "port that is not a number from 1 to 65535"),
            ("h:x", "port that is not a number from 1 to 65535"),
            ("h:-1", "port that is not a number from 1 to 65535"),
            ("", "must begin with https:// or http://"),
            ("ftp://h", "must begin with https:// or http://"),
        ] {
            let refusal = url(bad).unwrap_err();
            assert!(refusal.contains(why) && !refusal.contains("secret"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn only_a_collectors_answer_is_shown() {
        let good = r#"{"version": "0.1.0", "ready": false, "inputs": [], "outputs": []}"#;
        assert!(read(good).is_some());
        for (from, to) in
            [("\"0.1.0\"", "1"), ("false", "null"), ("[]", "{}"), ("\"inputs\"", "\"i\""), ("}", "")]
        {
            assert_eq!(read(&good.replace(from, to)), None, "{from}");
        }
        for other in ["{}", "[]", "null", "", "<html>"] {
            assert_eq!(read(other), None, "{other}");
        }
        // The answer of this version is read.
        let own = crate::telemetry::testing::telemetry().snapshot(crate::telemetry::testing::now());
        assert!(read(&serde_json::to_string(&own).unwrap()).is_some());
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let lines = [
            Line { text: "a".to_owned(), colour: Some(Colour::Red) },
            Line { text: "b".to_owned(), colour: None },
        ];
        assert_eq!(shown(&lines, false), "a\nb\n");
        assert_eq!(shown(&lines, true), "\x1b[31ma\x1b[0m\nb\n");
    }
}
