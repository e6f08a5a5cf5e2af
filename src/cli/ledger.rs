//! The `ledger` command: shows what was delivered, makes it be sent again, and takes it to another ledger.

mod divisions;
mod transfer;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;

use super::exit::REFUSED;
use super::table::plain;
use crate::aws::Http;
use crate::base::limits::SHOWN_ENTRIES_MAX;
use crate::base::naming::is_under;
use crate::base::out::Out;
use crate::base::stop::Stop;
use crate::base::text::address;
use crate::config::{self, Environment};
use crate::fleet::Table;
use crate::ledger::{Checkpoint, FILE, Filter, Row, Store, Suspect, told};
use crate::settings::Config;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List objects that were delivered, fully or in part, latest first
    Show {
        #[command(flatten)]
        choice: Choice,
        /// Show at most this many entries
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=SHOWN_ENTRIES_MAX))]
        limit: u64,
    },
    /// Forget objects, so that they are sent again when a message announces them again. Without --match, also the
    /// checkpoints of polled sources and backfills, which then restart. Takes effect at once, even while a collector
    /// runs
    #[command(group = ArgGroup::new("what").required(true).multiple(true).args(["part", "input", "all"]))]
    Forget {
        #[command(flatten)]
        choice: Choice,
        /// Forget everything
        #[arg(long, conflicts_with_all = ["input", "part"])]
        all: bool,
    },
    /// Write everything to a file, a JSON object in each line: what the shared table knows with `persistence: {type:
    /// dynamodb}`, otherwise what the local ledger knows. Stop the collectors first
    Export {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
        config: PathBuf,
        /// The file to write
        #[arg(value_name = "LINES")]
        file: PathBuf,
    },
    /// Add what `export` has written: to the shared table or to the local ledger, as the configuration says. Nothing that
    /// is known there is forgotten, and no checkpoint is turned back: a source that has checkpoints keeps them
    Import {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
        config: PathBuf,
        /// The file to read
        #[arg(value_name = "LINES")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Choice {
    /// Configuration file, YAML or JSON: its persistence says where the ledger is
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: PathBuf,
    /// Only of the input with this id; for an aws input also one service or region, as `show` prints it:
    /// 1023001/metrics-all/us-east-1; only backfill positions: 1023001/backfill
    #[arg(long, value_name = "ID")]
    input: Option<String>,
    /// Only objects whose s3://bucket/key contains this text
    #[arg(long = "match", value_name = "SUBSTRING")]
    part: Option<String>,
    /// --match is the whole s3://bucket/key: only that object
    #[arg(long, requires = "part")]
    exact: bool,
}

/// Runs the command. Returns exit code 0, or 2 if there is no usable ledger.
pub fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Show { choice, limit } => show(choice, *limit),
        Command::Forget { choice, .. } => forget(choice),
        Command::Export { config, file } => load(config).and_then(|config| transfer::export(&config, file)),
        Command::Import { config, file } => load(config).and_then(|config| transfer::import(&config, file)),
    };
    match done {
        Ok(text) => {
            // A reader that has exited does not change the result.
            let _ = writeln!(Out, "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn show(choice: &Choice, limit: u64) -> Result<String, String> {
    let (store, filter) = (open(&choice.config)?, choice.filter());
    let rows = store.list(&filter, limit).map_err(|error| told(&error))?;
    let mut objects = table(&rows);
    let refused = store.refused(&filter).map_err(|error| told(&error))?;
    if !refused.is_empty() {
        objects.push_str(&format!("\n{}", refused_table(&refused)));
    }
    // A part of an object's name selects only objects.
    if !filter.part.is_empty() {
        return Ok(objects);
    }
    let sources = store.checkpoints(&filter.input).map_err(|error| told(&error))?;
    if sources.is_empty() { Ok(objects) } else { Ok(format!("{objects}\n{}", source_table(&sources))) }
}

fn forget(choice: &Choice) -> Result<String, String> {
    let config = load(&choice.config)?;
    let (filter, ledger) = (choice.filter(), ledger_of(&config));
    let (mut text, replaced) = match open_of(&config) {
        Ok(mut store) => forget_local(&config, &filter, &mut store)?,
        // The table can be told from anywhere.
        Err(_) if config.globals.shared.is_some() && !ledger.exists() => {
            (format!("There is no local ledger {}.", ledger.display()), replaced(&config, &filter, None)?)
        }
        Err(error) => return Err(error),
    };
    let shared = forget_shared(&config, &filter, &replaced);
    text.push_str(&shared.map_err(|error| {
        format!("{error}. The shared table may have forgotten only a part: run the command again")
    })?);
    Ok(text)
}

/// Makes the local ledger forget. Returns the text for its user, and the sources that the shared table has to forget besides.
fn forget_local(
    config: &Config,
    filter: &Filter,
    store: &mut Store,
) -> Result<(String, BTreeSet<String>), String> {
    let replaced = replaced(config, filter, Some(store))?;
    let forgotten = store.forget(filter).map_err(|error| told(&error))?;
    let objects = if forgotten == 1 { "object was" } else { "objects were" };
    let mut text = format!("{forgotten} {objects} forgotten.");
    let refused = store.forget_suspects(filter).map_err(|error| told(&error))?;
    if refused > 0 {
        text.push_str(&format!(" {refused} more had been refused: they are retried."));
    }
    let mut sources = 0;
    if filter.part.is_empty() {
        sources = store.forget_sources(&filter.input).map_err(|error| told(&error))?;
        for name in &replaced {
            sources += store.forget_source(name).map_err(|error| told(&error))?;
        }
        if sources > 0 {
            text.push_str(&format!(
                " {sources} checkpoints of polled sources and backfills were forgotten: they restart, sources of a \
                 running collector with their next call."
            ));
        }
    }
    if forgotten + refused + sources == 0 && !filter.input.is_empty() {
        text.push_str(&format!(
            " The local ledger knows nothing by the name {:?}: `ledger show` lists what it knows.",
            filter.input
        ));
    }
    Ok((text, replaced))
}

/// The sources that are to be forgotten, too, because a chosen one would go on where they have been.
fn replaced(config: &Config, filter: &Filter, store: Option<&Store>) -> Result<BTreeSet<String>, String> {
    let divided = divisions::divided(&config.sources, &filter.input);
    if !filter.part.is_empty() || divided.is_empty() {
        return Ok(BTreeSet::new());
    }
    let checkpoints = store.map(|store| store.checkpoints("")).transpose().map_err(|error| told(&error))?;
    let mut known: BTreeSet<String> =
        checkpoints.unwrap_or_default().into_iter().map(|one| one.source).collect();
    if let Some(table) = shared_table(config)? {
        let leases = table.leases().map_err(|error| error.to_string())?;
        let is_part = |name: &String| divided.iter().any(|base| is_under(name, base));
        for name in leases.known.into_keys().filter(is_part) {
            if !table.load(&name).map_err(|error| error.to_string())?.polled.checkpoints.is_empty() {
                known.insert(name);
            }
        }
    }
    divisions::replaced(&config.sources, &filter.input, &known)
}

fn shared_table(config: &Config) -> Result<Option<Table>, String> {
    let Some(settings) = &config.globals.shared else { return Ok(None) };
    let http = Http::new(1).map_err(|error| error.to_string())?;
    Ok(Some(Table::new(&http, settings, &Stop::new()).patient()))
}

/// Makes the shared table forget the chosen objects, and without a part of a name also the sources.
fn forget_shared(config: &Config, filter: &Filter, replaced: &BTreeSet<String>) -> Result<String, String> {
    let Some(table) = shared_table(config)? else { return Ok(String::new()) };
    let objects = table.forget_objects(|place| filter.selects(place))?;
    let mut text = format!(
        " The shared table {} has forgotten {objects} objects; the local ledgers of other hosts still know theirs.",
        table.name()
    );
    let mut names = replaced.clone();
    if filter.part.is_empty() {
        let leases = table.leases().map_err(|error| error.to_string())?;
        let known = config.sources.iter().map(|source| source.name.clone());
        let known = known.chain(leases.known.into_keys()).chain(leases.unreadable);
        names.extend(known.filter(|name| filter.input.is_empty() || is_under(name, &filter.input)));
    }
    for name in &names {
        table.forget(name).map_err(|error| error.to_string())?;
    }
    if !names.is_empty() {
        text.push_str(&format!(
            " The shared table {} has forgotten {}: the host that polls one starts it again from the beginning.",
            table.name(),
            names.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(text)
}

fn load(config: &Path) -> Result<Config, String> {
    let loaded = config::load(config, &Environment::here()).map_err(|problems| problems.to_string())?;
    Ok(loaded.config)
}

fn open(config: &Path) -> Result<Store, String> {
    open_of(&load(config)?)
}

fn open_of(config: &Config) -> Result<Store, String> {
    Store::open_existing(&ledger_of(config)).map_err(|error| error.to_string())
}

fn ledger_of(config: &Config) -> PathBuf {
    config.globals.state_directory.join(FILE)
}

/// Characters shown of a checkpoint's part or value.
const CHECKPOINT_CHARS_MAX: usize = 300;

fn table(rows: &[Row]) -> String {
    let mut table = plain(&["when", "input", "object", "identity", "confirmed"]);
    for row in rows {
        table.add_row([when(row.at), row.place.input.clone(), object(row), identity(row), confirmed(row)]);
    }
    table.trim_fmt()
}

fn refused_table(refused: &[Suspect]) -> String {
    let mut table = plain(&["when", "input", "refused object", "the collector died over it"]);
    for Suspect { name, deaths, at } in refused {
        table.add_row([when(*at), name.place.input.clone(), name.to_string(), format!("{deaths} times")]);
    }
    table.trim_fmt()
}

fn source_table(sources: &[Checkpoint]) -> String {
    let mut table = plain(&["when", "source", "part", "delivered up to"]);
    for Checkpoint { source, part, value, at } in sources {
        let shown = [source, part, value].map(|text| shortened(text));
        table.add_row([vec![when(*at)], shown.to_vec()].concat());
    }
    table.trim_fmt()
}

/// A checkpoint may contain a whole list.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHECKPOINT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

fn when(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// The object's address, as it can be pasted.
fn object(row: &Row) -> String {
    address(&row.place.bucket, &row.place.key)
}

fn identity(row: &Row) -> String {
    let identity = &row.identity;
    let text = if identity.version.is_empty() { &identity.etag } else { &identity.version };
    text.escape_debug().to_string()
}

fn confirmed(row: &Row) -> String {
    let records = || format!("{} records", row.records);
    match (row.delivered, row.reason.as_str()) {
        (true, "") => "delivered".to_owned(),
        (false, "") => records(),
        (_, reason) if row.records > 0 => format!("{reason}, {}", records()),
        (_, reason) => reason.to_owned(),
    }
}

impl Choice {
    fn filter(&self) -> Filter {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        Filter { input: text(&self.input), part: text(&self.part), exact: self.exact }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Ending;
    use crate::ledger::{Identity, Place};

    #[test]
    fn a_row_of_the_table() {
        let place = Place { input: "1".into(), bucket: "b".into(), key: "k\u{1b}[2J".into() };
        let identity = Identity { etag: "e1".into(), ..Identity::default() };
        let row = Row { records: 42, reason: String::new(), ..Row::ended(place, identity, 9, Ending::Sent) };
        let text = table(&[row]);
        let line = text.lines().last().unwrap_or_default();
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(cells, ["1970-01-01T00:00:00Z", "1", "$'s3://b/k\\033[2J'", "e1", "42", "records"]);
    }
}
