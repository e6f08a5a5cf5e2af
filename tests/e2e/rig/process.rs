//! Child processes that cannot outlive a test, free ports, and waiting with a limit.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Time limit for an expected event. Generous: it is reached only on failure.
pub const PATIENCE: Duration = Duration::from_secs(240);

const POLL: Duration = Duration::from_millis(25);

/// A child process; killed by its id when dropped.
pub struct Process {
    child: Child,
    peak_rss_kib: u64,
}

impl Process {
    pub fn start(program: &Path, arguments: &[&str], stdout: &Path, stderr: &Path) -> Process {
        Process::spawn(command(program, arguments, stdout, stderr))
    }

    pub fn spawn(mut command: Command) -> Process {
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Process { child, peak_rss_kib: 0 }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is our own child");
    }

    /// The exit status, once there is one. Notes the memory high-water mark in passing.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.peak_rss_kib = self.peak_rss_kib.max(high_water_kib(self.pid()));
        self.child.try_wait().expect("the process is our own child")
    }

    /// Waits for the end.
    pub fn wait(&mut self, what: &str, limit: Duration) -> ExitStatus {
        wait_for_value(&format!("the end of {what}"), limit, || self.ended())
    }

    /// Peak resident memory seen so far, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.peak_rss_kib * 1024
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `program` with its output in files. The kernel kills it should the calling thread end without unwinding.
pub fn command(program: &Path, arguments: &[&str], stdout: &Path, stderr: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).stdin(Stdio::null());
    command.stdout(output(stdout)).stderr(output(stderr));
    command
}

/// A new file, or the tests' own standard error: reopened, that would lose a log file's content.
fn output(path: &Path) -> Stdio {
    if path == Path::new("/dev/stderr") { Stdio::inherit() } else { File::create(path).unwrap().into() }
}

/// A free port of 127.0.0.1 that this process gives to nobody else.
///
/// It lies below the range from which the kernel takes ports for connections and for `bind` to port 0. A server may
/// therefore end and come back on its port, and two servers that start at the same time never get the same one.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Another process with the same tests begins elsewhere.
    let start = std::process::id().wrapping_mul(997);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < COUNT, "no port is free");
        let port = FIRST + (start.wrapping_add(given) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Polls until the answer is yes; panics after `limit`.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for_value(what, limit, || holds().then_some(()));
}

/// Polls until there is a value; panics after `limit`.
pub fn wait_for_value<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(POLL);
    }
}

fn high_water_kib(pid: Pid) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
