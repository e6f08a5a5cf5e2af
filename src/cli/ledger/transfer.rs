//! `ledger export` and `ledger import`: what is delivered as JSON lines, from one ledger to another.

mod ledger;
mod lines;
mod local;
mod shared;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use crate::fleet::Known;
use crate::ledger::covers;
use crate::pipeline;
use crate::settings::Config;
use ledger::Ledger;
use lines::Line;
use local::Local;
use shared::Shared;

/// The counts of an import.
#[derive(Default)]
struct Counts {
    objects: u64,
    known: u64,
    of_others: u64,
    sources: Vec<String>,
    kept: Vec<String>,
}

/// Writes the ledger of a configuration to a file. Returns the text for its user.
pub fn export(config: &Config, file: &Path) -> Result<String, String> {
    let (ledger, _) = open(config)?;
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    let mut out = BufWriter::new(File::create(file).map_err(failed)?);
    let mut put = |line: &Line| {
        let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        writeln!(out, "{text}").map_err(failed)
    };
    let (mut objects, sources) = (0_u64, ledger.sources()?);
    ledger.objects(&mut |entry| {
        objects += 1;
        put(&Line::Object(entry))
    })?;
    for source in &sources {
        Line::of_source(source, &ledger.polled(source)?).iter().try_for_each(&mut put)?;
    }
    out.flush().map_err(failed)?;
    Ok(format!(
        "{objects} objects and the checkpoints of {} sources were exported from {} to {}.",
        sources.len(),
        ledger.name(),
        file.display()
    ))
}

/// Adds the content of a file to the ledger of a configuration. Returns the text for its user.
pub fn import(config: &Config, file: &Path) -> Result<String, String> {
    let (mut ledger, destinations) = open(config)?;
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let (mut counts, mut sources) = (Counts::default(), BTreeMap::<String, Known>::new());
    for (line, number) in BufReader::new(File::open(file).map_err(failed)?).lines().zip(1..) {
        let line = line.map_err(failed)?;
        match Line::read(&line).map_err(|error| {
            format!("{}, line {number}: {error}. What comes before it was imported", file.display())
        })? {
            Line::Object(entry) if entry.delivered && !covers(&entry.outputs, &destinations) => {
                counts.of_others += 1;
            }
            Line::Object(entry) => match ledger.add_object(entry)? {
                true => counts.objects += 1,
                false => counts.known += 1,
            },
            line => line.add_to(&mut sources)?,
        }
    }
    for (source, known) in sources {
        if ledger.polled(&source)?.polled.checkpoints.is_empty() {
            ledger.set_source(&source, known)?;
            counts.sources.push(source);
        } else {
            counts.kept.push(source);
        }
    }
    Ok(counts.text(&ledger.name()))
}

/// The ledger of a configuration, and all its outputs.
fn open(config: &Config) -> Result<(Box<dyn Ledger>, String), String> {
    let destinations = pipeline::scope(config).destinations();
    let ledger: Box<dyn Ledger> = match &config.globals.shared {
        Some(table) => Box::new(Shared::open(table, config, &destinations)?),
        None => Box::new(Local::open(config)?),
    };
    Ok((ledger, destinations))
}

impl Counts {
    fn text(&self, ledger: &str) -> String {
        let Counts { objects, known, of_others, sources, kept } = self;
        let mut text = format!("{objects} objects were imported into {ledger}; it knew {known} already.");
        if *of_others > 0 {
            text.push_str(&format!(
                " {of_others} were left out, because they were not delivered to all outputs of this configuration."
            ));
        }
        if !sources.is_empty() {
            text.push_str(&format!(" These sources go on where the file says: {}.", sources.join(", ")));
        }
        if !kept.is_empty() {
            text.push_str(&format!(" These had checkpoints already, which are kept: {}.", kept.join(", ")));
        }
        text
    }
}
