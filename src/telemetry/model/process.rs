//! The kernel's figures about this process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Fields are None if `/proc` does not have them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Process {
    /// Resident memory, in bytes.
    pub resident: Option<u64>,
    /// CPU time of all threads, in user and kernel mode.
    pub cpu_seconds: Option<f64>,
    pub open_files: Option<u64>,
}

pub fn read() -> Process {
    Process {
        resident: resident_bytes(),
        cpu_seconds: std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| cpu_seconds(&text)),
        // One of them is the folder being read.
        open_files: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| (files.count() as u64).saturating_sub(1)),
    }
}

/// Resident memory, in bytes.
pub fn resident_bytes() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| resident(&text))
}

/// CPU time of this thread so far. A system call of about 200 ns.
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// CPU time of this process so far, including exited threads.
pub fn cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// proc(5): the second number of `statm` is resident pages.
fn resident(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// proc(5): `utime` and `stime` are fields 14 and 15 of `stat`; the second field, the name in parentheses, may contain
/// anything.
pub fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let total = ticks()? + ticks()?;
    Some(total as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_files() {
        let process = read();
        assert!(process.resident.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.cpu_seconds.is_some() && process.open_files.is_some_and(|n| n >= 3), "{process:?}");
    }

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 {ticks} {ticks} 0 0");
        assert_eq!(cpu_seconds(&stat), Some(2.0));
        assert_eq!((cpu_seconds("7 (a"), resident("12")), (None, None));
    }
}
