//! Files with secrets that others can read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The advice how to close a file that others can read; None if it is closed, or if that is unknown.
pub fn advice(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let is_open = is_open_to_others(metadata.mode(), metadata.uid(), metadata.gid());
    is_open.then(|| how_to_close(path))
}

/// Root's file that a group may only read is the usual way to give a service a file that it cannot change. The group need not be
/// this process's: root may look at a service's file, too.
fn is_open_to_others(mode: u32, owner: u32, group: u32) -> bool {
    let is_given_to_a_service = owner == 0 && group != 0 && mode & 0o037 == 0;
    mode & 0o077 != 0 && !is_given_to_a_service
}

/// The advice how to close a file. It names both owners, because the one who looks at the file may be another user than the service.
fn how_to_close(path: &Path) -> String {
    let path = path.display();
    format!(
        "chmod 640 {path} if root owns it and a service reads it, whose group it then needs (chgrp); chmod 600 {path} if the service's own user owns it"
    )
}

/// The owner and mode of a file, for the message that it cannot be read.
pub fn described(metadata: &Metadata) -> String {
    format!("owner {}, group {}, mode {:o}", metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_whoever_is_neither_the_owner_nor_the_service() {
        for (mode, owner, group, open) in [
            (0o600, 5, 5, false),
            (0o640, 5, 5, true),
            (0o604, 0, 7, true),
            // Root's, for a service's group.
            (0o640, 0, 7, false),
            (0o440, 0, 7, false),
            (0o660, 0, 7, true),
            (0o644, 0, 7, true),
            // Everybody may be in root's group.
            (0o640, 0, 0, true),
        ] {
            assert_eq!(is_open_to_others(mode, owner, group), open, "{mode:o} {owner} {group}");
        }
    }
}
