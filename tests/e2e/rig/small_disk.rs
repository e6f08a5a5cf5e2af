//! The test's own disk that can be filled without harm to the machine: a tmpfs in a mount namespace.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::rig::process::{PATIENCE, Process, wait_for};

/// A directory with little room. It and its content are deleted when this is dropped.
pub struct SmallDisk {
    /// What `nsenter` wants.
    namespace: String,
    /// The directory seen from outside the namespace.
    seen: PathBuf,
    _keeper: Process,
}

impl SmallDisk {
    /// Room for `mebibytes` in `directory`, which is created; it must not exist yet.
    pub fn mount(directory: &Path, mebibytes: u32) -> SmallDisk {
        fs::create_dir(directory).unwrap();
        let script =
            format!(r#"mount -t tmpfs -o size={mebibytes}m,mode=700 small "$0" && exec sleep infinity"#);
        let arguments = ["--mount", "sh", "-c", &script, directory.to_str().unwrap()];
        let keeper =
            Process::start("unshare".as_ref(), &arguments, "/dev/null".as_ref(), "/dev/stderr".as_ref());
        let process = PathBuf::from(format!("/proc/{}", keeper.pid().as_raw_nonzero()));
        let mounts = process.join("mounts");
        let line = format!("small {} tmpfs", directory.display());
        wait_for("the small disk", PATIENCE, || {
            fs::read_to_string(&mounts).is_ok_and(|text| text.contains(&line))
        });
        SmallDisk {
            namespace: format!("--mount={}", process.join("ns/mnt").display()),
            seen: process.join("root").join(directory.strip_prefix("/").unwrap()),
            _keeper: keeper,
        }
    }

    /// For a command that should see the disk.
    pub fn wrapper(&self) -> [&str; 2] {
        ["nsenter", &self.namespace]
    }

    /// Fills the remaining room.
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees the room.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.seen.join("ballast")
    }
}
