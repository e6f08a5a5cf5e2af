//! What both kinds of inputs have.

use std::time::Duration;

use super::kind::Kind;
use super::node::Mapping;

pub(super) const VISIBILITY_DEFAULT: Duration = Duration::from_secs(120);

pub(super) const RECEIVERS_DEFAULT: usize = 2;

pub(super) fn id(key: &str, keys: &Mapping<'_>) -> String {
    keys.string("id").unwrap_or_else(|| {
        let message = format!("is missing; {key} is used");
        let advice = "write your own id: state that survives a restart is stored under it";
        keys.report.warning(Kind::Missing, keys.path_of("id"), message, advice);
        key.to_owned()
    })
}
