//! Makes the ledger's directory and files private to this user.
//!
//! Others with write access could delete entries, which repeats logs, add some, which loses logs, or replace a file by
//! a link and have another file overwritten. So that is refused. Read access of others is removed.

use std::fs::{self, DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::open_error::OpenError;

/// SQLite's suffixes for its companion files; the first is the file itself.
const COMPANIONS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

const OF_DIRECTORY: u32 = 0o700;
const OF_FILE: u32 = 0o600;
/// Write permission of group and others.
const WRITABLE: u32 = 0o022;
const ANYTHING: u32 = 0o077;

/// Creates the directory if it is missing, refuses unsafe ones, and removes read permissions of others.
///
/// # Errors
/// [`OpenError::Directory`], [`OpenError::Kind`], [`OpenError::Open`] or [`OpenError::Link`].
pub fn prepare(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    let make = || DirBuilder::new().recursive(true).mode(OF_DIRECTORY).create(directory);
    let made = make().map_err(|cause| OpenError::Directory { path: directory.to_owned(), cause });
    // Something else may be in its place.
    examine(path).and(made)?;
    warn_of_other_owners(path);
    close(directory, OF_DIRECTORY);
    close_files(path);
    Ok(())
}

/// Refuses unsafe files.
///
/// # Errors
/// [`OpenError::Kind`], [`OpenError::Open`] or [`OpenError::Link`].
pub fn examine(path: &Path) -> Result<(), OpenError> {
    examine_one(directory_of(path), FileType::is_dir, "a directory")?;
    files(path).try_for_each(|file| examine_one(&file, FileType::is_file, "a file"))
}

/// Removes others' read permissions on the files.
pub fn close_files(path: &Path) {
    files(path).for_each(|file| close(&file, OF_FILE));
}

/// Opens a file beside the ledger's for reading and writing, and creates it if it is missing.
///
/// # Errors
/// If it cannot be opened, is a symbolic link, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a FIFO would block.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(OF_FILE).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file: move it away"));
    }
    Ok(file)
}

/// Warns of a directory or files that belong to another user except root, who can change their content. In a container
/// that is common, and not a mistake.
fn warn_of_other_owners(path: &Path) {
    let own = [0, geteuid().as_raw()];
    let directory = std::iter::once(directory_of(path).to_owned());
    let owner = |path: PathBuf| Some((fs::symlink_metadata(&path).ok()?.uid(), path));
    if let Some((owner, path)) =
        directory.chain(files(path)).filter_map(owner).find(|(uid, _)| !own.contains(uid))
    {
        log::warn!(
            "{} belongs to user {owner}, who can change the ledger; this process runs as user {}. Run the collector as that user, or change the owner (chown -R)",
            path.display(),
            own[1]
        );
    }
}

fn examine_one(path: &Path, is_wanted: fn(&FileType) -> bool, wanted: &'static str) -> Result<(), OpenError> {
    // Opening reports a missing or inaccessible file.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if metadata.is_symlink() {
        return Err(OpenError::Link { path: path.to_owned() });
    }
    if !is_wanted(&metadata.file_type()) {
        return Err(OpenError::Kind { path: path.to_owned(), wanted });
    }
    if metadata.mode() & WRITABLE != 0 {
        return Err(OpenError::Open { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

/// Only our own files can be restricted.
fn close(path: &Path, mode: u32) {
    let is_open = |metadata: &Metadata| {
        metadata.mode() & ANYTHING != 0 && metadata.uid() == geteuid().as_raw() && !metadata.is_symlink()
    };
    if fs::symlink_metadata(path).is_ok_and(|metadata| is_open(&metadata)) {
        // A file system without permissions has nothing to restrict.
        let _: io::Result<()> = fs::set_permissions(path, Permissions::from_mode(mode));
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS.into_iter().map(move |companion| {
        let mut name = path.as_os_str().to_owned();
        name.push(companion);
        PathBuf::from(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Store;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_link_is_not_followed_to_be_closed() {
        let directory = tempfile::TempDir::new().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "").unwrap();
        set(&file, 0o644);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        close(&link, OF_FILE);
        assert_eq!(mode(&file), 0o644);
        close(&file, OF_FILE);
        assert_eq!(mode(&file), OF_FILE);
    }

    #[test]
    fn a_name_alone_is_in_the_current_directory() {
        assert_eq!(directory_of(Path::new("ledger")), Path::new("."));
        assert_eq!(directory_of(Path::new("state/ledger")), Path::new("state"));
    }

    #[test]
    fn directory_and_files_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/ledger.sqlite3");
        let store = Store::open(&path).unwrap();
        let all = |path: &Path| {
            files(path).filter(|file| file.exists()).map(|file| mode(&file)).collect::<Vec<_>>()
        };
        assert_eq!((mode(directory_of(&path)), all(&path)), (0o700, vec![0o600; 3]));
        // As an earlier version left them.
        set(directory_of(&path), 0o755);
        files(&path).filter(|file| file.exists()).for_each(|file| set(&file, 0o644));
        drop(store);
        let _store = Store::open(&path).unwrap();
        assert_eq!((mode(directory_of(&path)), all(&path)), (0o700, vec![0o600; 3]));
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/ledger.sqlite3");
        drop(Store::open(&path).unwrap());
        for (place, bad, good) in
            [(directory_of(&path), 0o777, 0o700), (directory_of(&path), 0o720, 0o700), (&path, 0o602, 0o600)]
        {
            set(place, bad);
            for opened in [Store::open(&path).map(drop), Store::open_existing(&path).map(drop)] {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("chmod") && error.contains(&format!("{bad:o}")), "{error}");
            }
            assert_eq!(mode(place), bad, "it is left as it was found");
            set(place, good);
        }
        assert!(Store::open(&path).is_ok());
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for companion in COMPANIONS {
            let path = folder.path().join(format!("state{companion}/ledger.sqlite3"));
            fs::create_dir(directory_of(&path)).unwrap();
            let link = folder.path().join(format!("state{companion}/ledger.sqlite3{companion}"));
            set(directory_of(&path), 0o700);
            std::os::unix::fs::symlink(&victim, link).unwrap();
            let error = Store::open(&path).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
        }
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(Store::open(&link.join("ledger.sqlite3")).is_err());
        std::os::unix::fs::symlink(&victim, folder.path().join("note")).unwrap();
        assert!(open(&folder.path().join("note")).is_err());
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
        assert_eq!(fs::read_dir(real).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_directory_or_no_file_is_refused_without_waiting_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"x").unwrap();
        let is_refused = |result| matches!(result, Err(OpenError::Kind { .. }));
        assert!(is_refused(prepare(&file.join("ledger.sqlite3"))));
        assert!(is_refused(examine(&file.join("ledger.sqlite3"))));
        let fifo = directory.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(is_refused(examine(&fifo)));
        assert!(open(&fifo).is_err());
    }
}
