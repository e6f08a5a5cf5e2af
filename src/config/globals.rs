//! `globals` and `global_overrides`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::{Context, State};
use super::kind::Kind;
use super::memory::{format_size, parse_size};
use super::node::Mapping;
use super::numbers;
use super::problem::Report;
use super::{audit, ignored, internal_events, persistence, status};
use crate::base::limits;
use crate::settings::{Globals, Output};

const SIZE_ADVICE: &str = "write a whole number of bytes or with a unit: 256MiB, 4GiB, 2GB";

/// The default folder of the ledger, relative to the file's.
const STATE: &str = "state";

/// Reads both; either may be missing. `first_id` is the first input's.
pub(super) fn read(
    globals: Option<Mapping<'_>>,
    overrides: Option<Mapping<'_>>,
    first_id: Option<&str>,
    outputs: &[Output],
    context: &Context<'_>,
    report: &Report,
) -> Globals {
    let mut read = defaults(first_id, context);
    if let Some(keys) = globals {
        read_keys(&mut read, &keys, outputs, context);
        keys.finish();
    }
    if let Some(keys) = overrides {
        let debug = keys.boolean_if_set("debug").or(keys.boolean_if_set("debug_status"));
        read.debug = debug.unwrap_or(read.debug);
        keys.ignore(ignored::GLOBALS);
        keys.finish();
    }
    read.state_directory = state(&read.state_directory, context, report);
    read
}

/// Resolves the ledger's folder, and warns of a second one, whose ledger knows of other deliveries.
fn state(name: &Path, context: &Context<'_>, report: &Report) -> PathBuf {
    let State { used, other } = context.find_state(name);
    if let Some(other) = other {
        let message = format!("{} is used, and {} exists too", used.display(), other.display());
        let advice = "if both have a ledger, what one of them knows as delivered may be sent again: stop the collector, keep \
                      the folder with the newer ledger.sqlite3, move the other away, and name the one you keep \
                      by its absolute path (globals.persistence.config.directory_name)";
        report.warning(Kind::Doubtful, "globals.persistence", message, advice);
    }
    used
}

fn defaults(first_id: Option<&str>, context: &Context<'_>) -> Globals {
    let environment = context.environment;
    let id = first_id.unwrap_or("1").to_owned();
    Globals {
        name: id.clone(),
        debug: false,
        host: default_host(&id, context),
        memory_limit: (environment.memory / 4)
            .clamp(limits::MEMORY_LIMIT_MIN_BYTES, limits::MEMORY_LIMIT_DEFAULT_MAX_BYTES),
        workers: environment.cores,
        fetchers: (environment.cores * limits::FETCHERS_PER_CORE).max(limits::FETCHERS_MIN),
        shutdown_timeout: limits::SHUTDOWN_TIMEOUT_DEFAULT,
        state_directory: PathBuf::from(STATE),
        state_required: true,
        shared: None,
        status: Some(status::default(context)),
        internal_events: None,
        audit: None,
        devo_api: None,
        id,
    }
}

fn read_keys(globals: &mut Globals, keys: &Mapping<'_>, outputs: &[Output], context: &Context<'_>) {
    if let Some(id) = keys.name("id") {
        globals.host = default_host(&id, context);
        globals.name.clone_from(&id);
        globals.id = id;
    }
    if let Some(name) = keys.name("name") {
        globals.name = name;
    }
    if let Some(host) = host(keys) {
        globals.host = host;
    }
    // Read before the inputs, which name its services.
    keys.node("definitions");
    // The vendor's pages use either name of the key.
    globals.debug = keys.boolean("debug", false) || keys.boolean("debug_status", false);
    globals.memory_limit = memory_limit(keys, globals.memory_limit, context);
    globals.workers = count(keys, "workers", globals.workers);
    globals.fetchers = count(keys, "fetchers", globals.fetchers);
    globals.shutdown_timeout = shutdown_timeout(keys);
    persistence::read(globals, keys, context);
    globals.status = status::read(keys, context);
    globals.internal_events = internal_events::read(keys, outputs);
    globals.audit = audit::read(keys);
    globals.devo_api = audit::read_devo_api(keys, context);
    keys.ignore(ignored::GLOBALS);
}

/// The vendor's own alerts look for `collector-<id>-` in this field.
fn default_host(id: &str, context: &Context<'_>) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let host = format!("collector-{id}-{}", context.environment.host_name);
    host.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

fn host(keys: &Mapping<'_>) -> Option<String> {
    let host = keys.string("host")?;
    if host.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(host);
    }
    let advice = "use letters, digits, dots, _ and -, without white space: it is the syslog HOST";
    keys.report.error(Kind::Invalid, keys.path_of("host"), "is not allowed in a syslog header", advice);
    None
}

fn memory_limit(keys: &Mapping<'_>, default: u64, context: &Context<'_>) -> u64 {
    let Some(text) = keys.string("memory_limit") else { return default };
    let path = keys.path_of("memory_limit");
    let Some(bytes) = parse_size(&text) else {
        keys.report.error(Kind::Invalid, path, format!("{text:?} is not a size"), SIZE_ADVICE);
        return default;
    };
    if bytes < limits::MEMORY_LIMIT_MIN_BYTES {
        let least = format!("at least {}", format_size(limits::MEMORY_LIMIT_MIN_BYTES));
        keys.report.error(Kind::OutOfRange, path, format!("{text} is too little"), least);
        return default;
    }
    if bytes > context.environment.memory {
        let memory = format_size(context.environment.memory);
        let advice = "omit it for a quarter of the memory";
        keys.report.warning(Kind::Doubtful, path, format!("is more than the available {memory}"), advice);
    }
    bytes
}

fn count(keys: &Mapping<'_>, key: &'static str, default: usize) -> usize {
    keys.integer_if_set(key, numbers::THREADS)
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(default)
}

fn shutdown_timeout(keys: &Mapping<'_>) -> Duration {
    let seconds = keys.number("shutdown_timeout", &numbers::SHUTDOWN_TIMEOUT);
    Duration::from_secs(seconds.unsigned_abs())
}
