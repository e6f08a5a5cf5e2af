//! A warning about files with secrets that others can read.

use std::path::Path;

use super::kind::Kind;
use super::problem::Report;
use crate::base::permissions;

/// Warns if others can read a file. `key` is the key that names it.
pub(super) fn warn_if_open(path: &Path, key: &str, report: &Report) {
    if let Some(advice) = permissions::advice(path) {
        let message = format!("{} can be read by other users", path.display());
        report.warning(Kind::Doubtful, key, message, advice);
    }
}
