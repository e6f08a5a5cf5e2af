//! The samples of `testdata`: see its README.

use std::fs;
use std::path::{Path, PathBuf};

/// One object of a service, and its expected frames.
pub struct Sample {
    pub path: PathBuf,
    pub key: String,
    /// Uncompressed.
    pub object: Vec<u8>,
    /// The bytes of the frames, with the host `host` at the beginning of 1970.
    pub expected: Vec<u8>,
}

/// The samples of a service.
pub fn of(service: &str) -> Vec<Sample> {
    let sample = |path: PathBuf| Sample {
        key: fs::read_to_string(path.join("key.txt")).unwrap().trim_end_matches('\n').to_owned(),
        object: fs::read(path.join("object")).unwrap(),
        expected: fs::read(path.join("expected.frames")).unwrap(),
        path,
    };
    folders(&root().join(service)).into_iter().map(sample).collect()
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The folders in a folder, in order of their names; none if it does not exist.
pub fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}
