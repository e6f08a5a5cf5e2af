//! Files that a configuration names.

use std::io::Read;
use std::path::Path;

use super::memory::format_size;
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
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Reads the file as text.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read_file(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))
}
