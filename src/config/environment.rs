//! The environment that a configuration's defaults depend on, as a parameter so that tests can choose it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::runtime::clock;

/// Values of environment variables.
pub type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The machine and the process that a configuration is for.
pub struct Environment {
    /// Name of the machine, for the syslog HOST.
    pub host_name: String,
    pub cores: usize,
    /// Bytes of memory that this process may use: the machine's, or its control group's if lower.
    pub memory: u64,
    /// The current time, for judging certificates.
    pub now: SystemTime,
    /// Environment variables by name.
    pub variable: Variables,
}

impl Environment {
    /// Returns this machine's environment, now.
    pub fn here() -> Self {
        Environment {
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: machine_memory().min(control_group_memory().unwrap_or(u64::MAX)),
            now: clock::wall(),
            variable: Box::new(|name| std::env::var(name).ok()),
        }
    }
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "both fields have the width of the machine's words")]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

/// The lowest `memory.max` from this process's control group (version 2) up to the root.
fn control_group_memory() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = group_folder(&membership, Path::new("/sys/fs/cgroup"))?;
    group
        .ancestors()
        .take_while(|folder| folder.starts_with("/sys/fs/cgroup"))
        .filter_map(|folder| std::fs::read_to_string(folder.join("memory.max")).ok())
        .filter_map(|text| text.trim().parse().ok())
        .min()
}

/// The line for version 2 is `0::/path`.
fn group_folder(membership: &str, root: &Path) -> Option<PathBuf> {
    let group = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(root.join(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_folder_of_the_control_group() {
        let folder = |text| group_folder(text, Path::new("/cg"));
        assert_eq!(folder("0::/system.slice/a.service\n"), Some("/cg/system.slice/a.service".into()));
        assert_eq!(folder("4:memory:/x\n0::/\n"), Some("/cg/".into()));
        assert_eq!(folder("4:memory:/x\n"), None);
    }

    #[test]
    fn this_machine_has_a_name_memory_and_cores() {
        let here = Environment::here();
        assert!(!here.host_name.is_empty());
        assert!(here.cores >= 1);
        assert!(here.memory > 0 && here.memory < u64::MAX);
    }
}
