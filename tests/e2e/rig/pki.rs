//! Throw-away certificates, made once per run by `pki.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The file NAME.crt or NAME.key of `pki.sh`.
pub fn file(name: &str) -> PathBuf {
    directory().join(name)
}

/// Makes one more client certificate, NAME.crt and NAME.key, that expires after this time.
pub fn make_short_lived(name: &str, seconds: u32) {
    script(directory(), &[name, &seconds.to_string()]);
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pki");
        let _ = std::fs::remove_dir_all(&directory);
        script(&directory, &[]);
        directory
    })
}

fn script(directory: &Path, more: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/rig/pki.sh");
    let status = Command::new(script).arg(directory).args(more).status().expect("pki.sh can be run");
    assert!(status.success(), "pki.sh failed: see {}/openssl.log", directory.display());
}
