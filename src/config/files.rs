//! Files that a configuration names.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::memory::format_size;
use super::users;
use crate::base::{limits, permissions};

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

/// Names the path that was tried. If permissions are missing, it names the user and the first thing on the way that this user may not
/// enter or read.
fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if error.kind() != ErrorKind::PermissionDenied {
        return format!("cannot read {}: {error}", shown.display());
    }
    // A closed folder hides what is in it.
    let seen = shown.ancestors().find_map(|place| Some((place, std::fs::metadata(place).ok()?)));
    let whose = seen.map_or_else(String::new, |(place, metadata)| {
        format!("; {} has {}", place.display(), permissions::described(&metadata))
    });
    format!("cannot read {} by {}: {error}{whose}", shown.display(), users::me())
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_keeps_a_user_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("domain.key");
        std::fs::write(&key, "").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let message = cannot_read(&key, &ErrorKind::PermissionDenied.into());
        assert!(message.contains("domain.key by the user "), "{message}");
        assert!(message.contains("domain.key has owner ") && message.ends_with(", mode 640"), "{message}");
        // A folder that is closed is named in place of a file that cannot be seen.
        let message =
            cannot_read(&folder.path().join("closed/domain.key"), &ErrorKind::PermissionDenied.into());
        let its = format!("; {} has owner ", folder.path().display());
        assert!(message.contains(&its), "{message}");
    }
}
