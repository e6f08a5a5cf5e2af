//! The `preview` command: shows what an object becomes. Nothing is sent.

mod object;
mod summary;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::choice::{self, Wanted};
use super::exit::REFUSED;
use crate::base::limits::SHOWN_FRAMES_MAX;
use crate::base::out::Out;
use crate::config::problem::closest_service;
use crate::config::registry::Catalog;
use crate::config::{self, Environment};
use crate::services::Definition;
use crate::settings::{Config, Input};
use object::Object;
use summary::Summary;

/// Exit code if the object is refused.
const UNREADABLE: u8 = 1;

#[derive(Debug, Args)]
pub struct Options {
    /// The object: a file, s3://bucket/key (needs --config), or - for standard input
    #[arg(value_name = "FILE")]
    object: String,
    /// Service of the object, as written in the configuration or listed by `services`
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Configuration file, YAML or JSON; outputs and certificates need not be complete
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: Option<PathBuf>,
    /// Input that reads it, by its key in the file; needed if several inputs match
    #[arg(long, value_name = "KEY", requires = "config")]
    input: Option<String>,
    /// The object's key, for rules that look at it. Default: the file's name as given
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Number of frames to show
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=SHOWN_FRAMES_MAX))]
    frames: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Returns exit code 0; 1 if the object is refused; 2 if it could not be read.
pub fn run(options: &Options) -> ExitCode {
    let summary = match summary(options) {
        Ok(summary) => summary,
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            return ExitCode::from(REFUSED);
        }
    };
    let text = if options.json { format!("{:#}\n", summary.json()) } else { summary.text() };
    let _ = Out.write_all(text.as_bytes());
    if summary.error.is_some() { ExitCode::from(UNREADABLE) } else { ExitCode::SUCCESS }
}

fn summary(options: &Options) -> Result<Summary, String> {
    let (service, input, host) = choose(options)?;
    let mut object = Object::open(&options.object, input.as_ref())?;
    let key = options.key.clone().unwrap_or_else(|| object.key().to_owned());
    Summary::of(&service, &key, &host, options.frames as usize, &mut object)
}

/// The service, the input that reads it, and the syslog HOST.
fn choose(options: &Options) -> Result<(Arc<Definition>, Option<Input>, String), String> {
    let name = options.service.as_str();
    let Some(path) = &options.config else {
        let catalog = Catalog::built_in();
        let service = of_catalog(catalog, name)?;
        return Ok((service, None, "collector".to_owned()));
    };
    let config = config::load_inputs(path, &Environment::here()).map_err(|problems| problems.to_string())?;
    let wanted = Wanted { config: path, service: name, input: options.input.as_deref() };
    let chosen = choice::input(&config, &wanted);
    let host = config.globals.host.clone();
    match chosen {
        Ok((input, service)) => {
            let definition = input.services.iter().find(|known| known.name == service);
            let definition = definition.ok_or_else(|| format!("{name:?} is no service"))?;
            Ok((Arc::clone(definition), Some(input), host))
        }
        // The input matters only for an object in S3.
        Err(_) if !object::is_in_s3(&options.object) && options.input.is_none() => {
            let service = of_any_input(&config, name).map_or_else(
                || {
                    config::catalog(path)
                        .map_err(|p| p.to_string())
                        .and_then(|catalog| of_catalog(&catalog, name))
                },
                Ok,
            )?;
            Ok((service, None, host))
        }
        Err(message) => Err(message),
    }
}

fn of_any_input(config: &Config, name: &str) -> Option<Arc<Definition>> {
    config.inputs.iter().flat_map(|input| &input.services).find(|service| service.name == name).cloned()
}

fn of_catalog(catalog: &Catalog, name: &str) -> Result<Arc<Definition>, String> {
    let row = catalog.row(name).ok_or_else(|| {
        let names: Vec<&str> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
        let advice = closest_service(name, &names).map_or_else(
            || "`services` lists the built-in ones; your own need --config".to_owned(),
            |meant| format!("did you mean {meant:?}?"),
        );
        format!("{name:?} is no service: {advice}")
    })?;
    Ok(Arc::clone(&row.definition))
}
