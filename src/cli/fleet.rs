//! The `fleet` command: the hosts that share work, who polls what, and requests to them.

mod request;
mod seen;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::request::{Asked, Request};
use self::seen::{Seen, Watch};
use super::exit::REFUSED;
use crate::aws::Http;
use crate::base::out::Out;
use crate::base::stop::Stop;
use crate::config::{self, Environment};
use crate::fleet::Table;

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file with `persistence: {type: dynamodb}`
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: PathBuf,
    #[command(flatten)]
    asked: Asked,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. Returns exit code 0; 1 if a source of the configuration is polled by nobody, or held by a host that cannot poll it,
/// or if what was asked for is not done in time; 2 if it cannot be done, there is no table, or it cannot be used.
pub fn run(options: &Options) -> ExitCode {
    match act(options) {
        Ok((seen, is_done)) => {
            let text = if options.json { seen.json().to_string() } else { seen.text() };
            // A reader that has exited does not change the result.
            let _ = writeln!(Out, "{text}");
            if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}

/// Looks at the hosts, and makes the request, if there is one. Returns what is there afterwards, and whether all is well: what was
/// requested is done, or each source is polled.
fn act(options: &Options) -> Result<(Seen, bool), String> {
    let mut watch = open(options)?;
    let seen = watch.look().map_err(|error| error.to_string())?;
    match Request::of(&options.asked, &seen)? {
        Some(request) => request.carry_out(&mut watch),
        None => {
            let is_all_polled = seen.orphans().is_empty() && seen.unable().is_empty();
            Ok((seen, is_all_polled))
        }
    }
}

fn open(options: &Options) -> Result<Watch, String> {
    let loaded =
        config::load(&options.config, &Environment::here()).map_err(|problems| problems.to_string())?;
    let config = loaded.config;
    let Some(settings) = &config.globals.shared else {
        return Err(
            "this configuration shares nothing with other hosts: `persistence: {type: dynamodb}` is not set"
                .to_owned(),
        );
    };
    let sources = config.sources.iter().map(|source| source.name.clone()).collect();
    let http = Http::new(1).map_err(|error| error.to_string())?;
    let table = Table::new(&http, settings, &Stop::new()).patient();
    Ok(Watch::new(table, sources))
}
