//! Files that a configuration names.

use std::io::Read;
use std::path::Path;

use super::memory::format_size;
use super::users;
use crate::base::limits;

/// Reads at most `CONFIGURATION_FILE_BYTES_MAX` bytes; errors name the file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = limits::CONFIGURATION_FILE_BYTES_MAX;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > limit => {
            Err(format!("{} is larger than {}", path.display(), format_size(limit)))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(cannot_read(path, &error)),
    }
}

/// Names the path that was tried, and the user if permissions are missing.
fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let who = match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!(" by {}", users::me()),
        _ => String::new(),
    };
    format!("cannot read {}{who}: {error}", shown.display())
}

/// Reads the file as text.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_file(path)?;
    let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    String::from_utf8(bytes).map_err(|_| {
        let encoding = if is_utf16 { "is UTF-16, and must be UTF-8" } else { "is not UTF-8" };
        format!("{} {encoding}", path.display())
    })
}
