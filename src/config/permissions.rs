//! A warning about files with secrets that others can read.

use std::path::Path;

use super::kind::Kind;
use super::problem::Report;
use crate::base::permissions::is_open;

/// Warns if a file's group or others have any permission on it. `key` is the key that names it.
pub(super) fn warn_if_open(path: &Path, key: &str, report: &Report) {
    if is_open(path) {
        let message = format!("{} can be read by other users", path.display());
        let path = path.display();
        let advice = format!(
            "chmod 600 {path}; if root owns it and a service reads it: chmod 640 {path}, and chgrp it to the service's group"
        );
        report.warning(Kind::Doubtful, key, message, advice);
    }
}
