//! `globals` and `global_overrides`.

use std::path::Path;
use std::time::Duration;

use super::context::Context;
use super::kind::Kind;
use super::memory::{format_size, parse_size};
use super::node::Mapping;
use super::problem::suggestion;
use super::{audit, ignored, internal_events, status};
use crate::base::limits;
use crate::settings::{Globals, Output};

const SIZE_ADVICE: &str = "write a whole number of bytes or with a unit: 256MiB, 4GiB, 2GB";

/// The default folder of the ledger.
const STATE: &str = "state";

/// Reads both; either may be missing. `first_id` is the first input's.
pub(super) fn read(
    globals: Option<Mapping<'_>>,
    overrides: Option<Mapping<'_>>,
    first_id: Option<&str>,
    outputs: &[Output],
    context: &Context<'_>,
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
    read
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
        state_directory: context.find(STATE, &[], Path::is_dir),
        state_required: true,
        status: Some(status::default(context)),
        internal_events: None,
        audit: None,
        devo_api: None,
        id,
    }
}

fn read_keys(globals: &mut Globals, keys: &Mapping<'_>, outputs: &[Output], context: &Context<'_>) {
    if let Some(id) = keys.string("id") {
        globals.host = default_host(&id, context);
        globals.name.clone_from(&id);
        globals.id = id;
    }
    if let Some(name) = keys.string("name") {
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
    persistence(globals, keys, context);
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
    keys.integer_if_set(key, 1..=limits::THREADS_MAX as i64)
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(default)
}

fn shutdown_timeout(keys: &Mapping<'_>) -> Duration {
    let max = limits::SHUTDOWN_TIMEOUT_MAX.as_secs() as i64;
    keys.integer_if_set("shutdown_timeout", 0..=max)
        .map_or(limits::SHUTDOWN_TIMEOUT_DEFAULT, |seconds| Duration::from_secs(seconds.unsigned_abs()))
}

fn persistence(globals: &mut Globals, keys: &Mapping<'_>, context: &Context<'_>) {
    let Some(keys) = keys.mapping("persistence") else { return };
    if let Some(kind) = keys.string("type").filter(|kind| kind != "filesystem") {
        let message = format!("{kind:?} is not supported");
        keys.report.error(Kind::Invalid, keys.path_of("type"), message, suggestion(&kind, &["filesystem"]));
    }
    globals.state_required = keys.boolean("required", true);
    if let Some(config) = keys.mapping("config") {
        if let Some(directory) = config.string("directory_name") {
            globals.state_directory = context.find(&directory, &[], Path::is_dir);
        }
        config.finish();
    }
    keys.finish();
}
