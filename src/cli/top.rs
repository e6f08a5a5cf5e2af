//! `top`: the live view of a collector that runs elsewhere, from its `/status.json`.

mod block;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use block::{Line, lines};
pub use block::{figure, lag, services};

/// Interval between two refreshes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of intervals over which rates are averaged.
const INTERVALS: usize = 10;
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No collector answers.
const NOBODY: u8 = 1;

#[derive(Debug, Args)]
pub struct Options {
    /// Where the status page is (`globals.status`): HOST:PORT or a URL
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    address: String,
    /// Prints the figures once, with rates over a second, and ends
    #[arg(long)]
    once: bool,
    /// No colours
    #[arg(long)]
    plain: bool,
}

/// Until Ctrl-C, or once. Exit code 1: nobody answers.
pub fn run(options: &Options) -> ExitCode {
    let url = url(&options.address);
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
            // It may be starting again: counters begin anew.
            Err(message) => {
                past.truncate(1);
                Some(format!("{message}\n"))
            }
        };
        if let Some(text) = text {
            let clear = if terminal && !options.once { "\x1b[H\x1b[J" } else { "" };
            let mut out = io::stdout().lock();
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
        return Err(unknown(format!(
            "HTTP {}; is the name among the hosts of globals.status?",
            answer.status()
        )));
    }
    let text = answer.body_mut().read_to_string().map_err(|error| unknown(error.to_string()))?;
    serde_json::from_str(&text).map_err(|_| unknown("the answer is not that of a collector".to_owned()))
}

fn url(address: &str) -> String {
    let site = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let site = site.trim_end_matches('/').trim_end_matches("/status.json");
    format!("{site}/status.json")
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
            assert_eq!(url(address), "http://h:9600/status.json");
        }
        assert_eq!(url("https://x/a"), "https://x/a/status.json");
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
