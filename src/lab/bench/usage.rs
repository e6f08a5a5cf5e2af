//! CPU and memory usage of processes and threads, from the kernel (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::telemetry::model::process::{cpu_seconds, resident_bytes};

/// CPU time of another process so far, in steps of 10 ms; zero if it has exited.
pub fn cpu_of_process(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    Duration::from_secs_f64(cpu_seconds(&stat).unwrap_or(0.0))
}

/// CPU time of all cores since the machine started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    busy: u64,
    all: u64,
}

impl Machine {
    pub fn now() -> Machine {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal; the remaining ones are part of the first two.
        let line = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
        let times: Vec<u64> = line.filter_map(|ticks| ticks.parse().ok()).collect();
        let idle: u64 = times.iter().skip(3).take(2).sum();
        let all = times.iter().sum::<u64>();
        Machine { busy: all - idle, all }
    }

    /// Busy share of all cores' time since `before`, with any process: 0 to 1.
    pub fn busy_since(self, before: Machine) -> f64 {
        let all = self.all.saturating_sub(before.all);
        self.busy.saturating_sub(before.busy) as f64 / all.max(1) as f64
    }
}

/// Resident memory of this process, in bytes.
pub fn rss_bytes() -> u64 {
    resident_bytes().unwrap_or(0)
}

/// Peak resident memory of this process so far, in bytes.
pub fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// CPU time of this process's threads. For threads that have exited, the last reading counts.
#[derive(Debug, Default)]
pub struct Threads {
    seen: BTreeMap<u64, (String, Duration)>,
}

/// The threads of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stage {
    pub threads: usize,
    pub cpu: Duration,
}

impl Threads {
    pub fn look(&mut self) {
        for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            // The first figure is the time on a CPU in nanoseconds. If the thread has exited meanwhile, keep the last
            // reading.
            let Some(nanoseconds) = read("schedstat").split(' ').next().and_then(|n| n.parse().ok()) else {
                continue;
            };
            // Read each time, because a new thread has its parent's name until it sets its own.
            self.seen.insert(id, (read("comm").trim_end().to_owned(), Duration::from_nanos(nanoseconds)));
        }
    }

    /// Groups threads by the part of their names before the first hyphen.
    pub fn by_stage(&self) -> BTreeMap<String, Stage> {
        let mut stages = BTreeMap::<String, Stage>::new();
        for (name, cpu) in self.seen.values() {
            let stage = stages.entry(name.split('-').next().unwrap_or_default().to_owned()).or_default();
            stage.threads += 1;
            stage.cpu += *cpu;
        }
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::model::process::{cpu, thread_cpu};

    #[test]
    fn work_is_seen_in_every_figure() {
        let (before, mut threads) = (cpu(), Threads::default());
        let busy = std::thread::Builder::new().name("busy-1".into()).spawn(|| {
            while thread_cpu() < Duration::from_millis(30) {}
            let mut threads = Threads::default();
            threads.look();
            threads.by_stage()
        });
        let stages = busy.unwrap().join().unwrap();
        threads.look();
        assert!(stages["busy"].cpu >= Duration::from_millis(25), "{stages:?}");
        assert_eq!(stages["busy"].threads, 1);
        assert!(cpu() - before >= Duration::from_millis(30));
        assert!(cpu_of_process(std::process::id()) >= Duration::from_millis(10));
        assert!(Machine::now().busy_since(Machine::default()) > 0.0);
        let now = rss_bytes();
        assert!(now > 1 << 20);
        assert!(peak_rss_bytes() >= now, "memory may grow between the two calls");
    }
}
