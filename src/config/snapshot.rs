//! The files that a configuration was read from, so that the next reading can name the changes.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::files::read_file;
use crate::settings::{Config, Destination};

/// The file's tree, and fingerprints of the files that it names. Its `Debug` shows nothing, since it contains secrets.
#[derive(Clone, Default)]
pub struct Snapshot {
    tree: Value,
    /// The contents of secret files and of the definitions file, by the key that names them.
    named: BTreeMap<String, u64>,
    certificates: BTreeMap<PathBuf, u64>,
}

/// The differences between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Paths of keys, without their values.
    pub keys: Vec<String>,
    /// Files with certificates and keys for TLS, under the same names as before.
    pub certificates: Vec<PathBuf>,
}

impl Changes {
    /// True if only the log level changed.
    pub fn is_only_of_debug(&self) -> bool {
        let is_debug = |key: &String| {
            let (place, key) = key.split_once('.').unwrap_or_default();
            matches!(place, "globals" | "global_overrides") && matches!(key, "debug" | "debug_status")
        };
        self.certificates.is_empty() && !self.keys.is_empty() && self.keys.iter().all(is_debug)
    }
}

impl Snapshot {
    pub(super) fn new(tree: Value, config: &Config, base: &Path) -> Snapshot {
        let mut named = BTreeMap::new();
        let of_inputs =
            config.inputs.iter().map(|input| (format!("inputs.{}", input.key), &input.credentials));
        let of_sources = config.sources.iter().map(|source| (source.path.clone(), &source.credentials));
        for (path, credentials) in of_inputs.chain(of_sources) {
            let key = credentials.key.as_ref();
            let parts = key.map(|key| (&key.id, &key.secret, &key.session_token));
            named.insert(format!("{path}.credentials"), fingerprint(&parts));
        }
        if let Some(file) = tree.pointer("/globals/definitions").and_then(Value::as_str) {
            named.insert("globals.definitions".to_owned(), of_file(&base.join(file)));
        }
        let certificates = certificate_files(config).map(|path| (path.to_owned(), of_file(path))).collect();
        Snapshot { tree, named, certificates }
    }

    /// The values under keys. They may be secrets.
    pub(super) fn value(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.tree, |value, key| value.get(key))
    }

    /// Compares this snapshot with `new`.
    pub fn changes(&self, new: &Snapshot) -> Changes {
        let mut keys = Vec::new();
        compare("", &self.tree, &new.tree, &mut keys);
        for (key, fingerprint) in &new.named {
            let is_told = keys.iter().any(|told| told.starts_with(key.as_str()));
            if self.named.get(key).is_some_and(|old| old != fingerprint) && !is_told {
                keys.push(key.clone());
            }
        }
        let is_other =
            |(path, new): &(&PathBuf, &u64)| self.certificates.get(*path).is_some_and(|old| old != *new);
        let certificates = new.certificates.iter().filter(is_other).map(|(path, _)| path.clone()).collect();
        Changes { keys, certificates }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

fn certificate_files(config: &Config) -> impl Iterator<Item = &Path> {
    config.outputs.iter().flat_map(|output| {
        let files = match &output.destination {
            Destination::Tls { files, .. } => Some(files),
            _ => None,
        };
        let identity = files.and_then(|files| files.identity.as_ref());
        let own = identity.into_iter().flat_map(|identity| [&identity.cert, &identity.key]);
        files.and_then(|files| files.chain.as_ref()).into_iter().chain(own).map(PathBuf::as_path)
    })
}

/// Descends while both sides are mappings.
fn compare(path: &str, old: &Value, new: &Value, changed: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            changed.push(path.to_owned());
        }
        return;
    };
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let absent = |map: &Map<String, Value>, key: &str| map.get(key).is_none_or(Value::is_null);
    for (key, value) in old {
        match new.get(key) {
            Some(other) => compare(&below(key), value, other, changed),
            None if value.is_null() => {}
            None => changed.push(below(key)),
        }
    }
    changed
        .extend(new.keys().filter(|key| !old.contains_key(*key) && !absent(new, key)).map(|key| below(key)));
    // The first service that claims an object gets it, so their order matters.
    let same_keys =
        path.ends_with("services") && old.len() == new.len() && old.keys().all(|key| new.contains_key(key));
    if same_keys && old.keys().ne(new.keys()) {
        changed.push(path.to_owned());
    }
}

/// A file that cannot be read has its own fingerprint.
fn of_file(path: &Path) -> u64 {
    fingerprint(&read_file(path).ok())
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(old: Value, new: Value) -> Vec<String> {
        let snapshot = |tree| Snapshot { tree, ..Snapshot::default() };
        snapshot(old).changes(&snapshot(new)).keys
    }

    #[test]
    fn changes_are_named_by_their_path() {
        let old = json!({"a": {"b": 1, "c": [1, 2], "gone": true}, "same": {"x": null}});
        let new = json!({"a": {"b": 2, "c": [1, 3], "new": 1}, "same": {}});
        assert_eq!(changed(old, new), ["a.b", "a.c", "a.gone", "a.new"]);
    }

    #[test]
    fn debug_alone_is_told_from_everything_else() {
        let only = |keys: &[&str], certificates: &[&str]| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            Changes { keys, certificates: certificates.iter().map(PathBuf::from).collect() }
                .is_only_of_debug()
        };
        assert!(only(&["globals.debug"], &[]) && only(&["globals.debug", "global_overrides.debug"], &[]));
        assert!(!only(&[], &[]) && !only(&["globals.debug", "globals.id"], &[]));
        assert!(!only(&["globals.debug"], &["domain.crt"]));
    }

    #[test]
    fn the_order_of_services_is_a_change() {
        let (old, new) = (json!({"services": {"a": 1, "b": 2}}), json!({"services": {"b": 2, "a": 1}}));
        assert_eq!(changed(old, new), ["services"]);
        assert_eq!(changed(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_shown() {
        let snapshot = Snapshot { tree: json!({"secret": "never-shown"}), ..Snapshot::default() };
        assert!(!format!("{snapshot:?}").contains("never-shown"));
    }
}
