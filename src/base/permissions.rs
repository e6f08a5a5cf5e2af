//! Files with secrets that others can read.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::getegid;

/// The file's group or everybody may do anything with it. False also when nothing is known about it.
pub fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| {
        is_open_to_others(metadata.mode(), metadata.uid(), metadata.gid(), getegid().as_raw())
    })
}

/// A file of root's that the service's own group may read is how a service is given what it may not change.
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
