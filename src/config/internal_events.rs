//! The key `globals.internal_events`: the collector's own statistics and warnings as events.

use std::time::Duration;

use super::kind::Kind;
use super::node::Mapping;
use super::numbers;
use super::problem::suggestion;
use super::service;
use crate::settings::{InternalEvents, Output};

/// Reads the key. None if it is absent or unusable.
pub(super) fn read(globals: &Mapping<'_>, outputs: &[Output]) -> Option<InternalEvents> {
    let keys = globals.mapping("internal_events")?;
    let enabled = keys.boolean("enabled", true);
    let tag =
        keys.required("tag", "name a table, such as my.app.collector.stats").filter(|tag| is_tag(&keys, tag));
    let output = keys.string("output").filter(|name| is_output(&keys, name, outputs));
    let seconds = keys.number("period", &numbers::INTERNAL_EVENTS_PERIOD);
    keys.finish();
    let period = Duration::from_secs(seconds.unsigned_abs());
    Some(InternalEvents { tag: tag?, output, period }).filter(|_| enabled)
}

fn is_tag(keys: &Mapping<'_>, tag: &str) -> bool {
    let is_level = |level: &str| {
        !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let good = tag.split('.').count() >= 2 && tag.split('.').all(is_level);
    if !good {
        let advice =
            "use letters, digits, _ and - for the levels, with dots between them: my.app.collector.stats";
        keys.report.error(Kind::Invalid, keys.path_of("tag"), format!("{tag:?} is not a tag"), advice);
    } else {
        service::warn_of_table(tag, &keys.path_of("tag"), keys.report);
    }
    good
}

fn is_output(keys: &Mapping<'_>, name: &str, outputs: &[Output]) -> bool {
    let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    let found = names.contains(&name);
    if !found {
        let message = format!("{name:?} is not an enabled output");
        keys.report.error(Kind::Invalid, keys.path_of("output"), message, suggestion(name, &names));
    }
    found
}
