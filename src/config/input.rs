//! The keys that both kinds of inputs have.

use super::kind::Kind;
use super::node::Mapping;

pub(super) fn id(key: &str, keys: &Mapping<'_>) -> String {
    keys.name("id").unwrap_or_else(|| {
        let message = format!("is missing; {key} is used");
        let advice = "write your own id: state that survives a restart is stored under it";
        keys.report.warning(Kind::Missing, keys.path_of("id"), message, advice);
        key.to_owned()
    })
}
