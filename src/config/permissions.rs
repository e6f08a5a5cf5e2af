//! Files with secrets that others can read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::problem::{Kind, Report};

/// Warns when a file's group or everybody may do anything with it. `key`: what names it.
pub(super) fn warn_if_open(path: &Path, key: &str, report: &Report) {
    if is_open(path) {
        let message = format!("{} can be read by other users", path.display());
        report.warning(Kind::Doubtful, key, message, format!("chmod 600 {}", path.display()));
    }
}

/// The file's group or everybody may do anything with it. False also when nothing is known about it.
pub(crate) fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}
