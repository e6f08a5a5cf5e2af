//! Files with secrets that others can read.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::getegid;

/// True if the file's group or others have any permission on it. False also if that is unknown.
pub fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| {
        is_open_to_others(metadata.mode(), metadata.uid(), metadata.gid(), getegid().as_raw())
    })
}

/// Root's file that the service's own group may only read is the usual way to give a service a file that it cannot
/// change.
fn is_open_to_others(mode: u32, owner: u32, group: u32, own_group: u32) -> bool {
    let given_to_us = owner == 0 && group == own_group && group != 0 && mode & 0o037 == 0;
    mode & 0o077 != 0 && !given_to_us
}

#[cfg(test)]
mod tests {
    use super::is_open_to_others;

    #[test]
    fn others_are_whoever_is_neither_the_owner_nor_the_service() {
        for (mode, owner, group, open) in [
            (0o600, 5, 5, false),
            (0o640, 5, 5, true),
            (0o604, 0, 7, true),
            // Root's, for the service's group.
            (0o640, 0, 7, false),
            (0o660, 0, 7, true),
            (0o644, 0, 7, true),
            (0o640, 0, 8, true),
        ] {
            assert_eq!(is_open_to_others(mode, owner, group, 7), open, "{mode:o} {owner} {group}");
        }
        assert!(is_open_to_others(0o640, 0, 0, 0), "root's group is everybody that is in it");
    }
}
