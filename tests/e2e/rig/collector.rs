//! The program under test, run as a user would run it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use rustix::process::Signal;

use crate::rig::process::{self, PATIENCE, Process, wait_for};

/// A running `aws-to-devo`.
pub struct Collector {
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A program that has exited.
pub struct Ended {
    /// The exit code; None: killed by a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub log: String,
    /// Peak resident memory, in bytes.
    pub peak_rss: u64,
}

impl Collector {
    /// Starts the program in `directory`, with its outputs in files there.
    pub fn start(directory: &Path, arguments: &[&str]) -> Collector {
        Collector::start_with(&[], &[], directory, arguments)
    }

    /// The same with more environment variables, as the last argument of `wrapper`, a command that becomes
    /// it. The variables of the tester's own AWS set-up are removed.
    pub fn start_with(
        wrapper: &[&str],
        environment: &[(&str, &str)],
        directory: &Path,
        arguments: &[&str],
    ) -> Collector {
        let number = std::fs::read_dir(directory).unwrap().count();
        let stdout = directory.join(format!("collector.{number}.out"));
        let stderr = directory.join(format!("collector.{number}.log"));
        let program = program();
        let whole = [wrapper, &[program.to_str().unwrap()], arguments].concat();
        let mut command = process::command(whole[0].as_ref(), &whole[1..], &stdout, &stderr);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_foreign(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied()).current_dir(directory);
        Collector { process: Process::spawn(command), stdout, stderr }
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until the log matches `pattern`, whether or not the program continues after it.
    pub fn wait_for_log(&mut self, pattern: &str) {
        let regex = Regex::new(pattern).unwrap();
        let mut ended = false;
        wait_for(&format!("the log line {pattern:?}"), PATIENCE, || {
            let found = regex.is_match(&self.log());
            assert!(found || !ended, "the program ended without the log line {pattern:?}");
            ended = self.is_ended();
            found
        });
    }

    /// Waits until a condition holds that the program should bring about while it runs.
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let mut ended = false;
        wait_for(what, PATIENCE, || {
            let reached = holds();
            assert!(reached || !ended, "the program ended before {what}");
            ended = self.is_ended();
            reached
        });
    }

    pub fn is_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Peak resident memory so far, in bytes.
    pub fn peak_rss(&mut self) -> u64 {
        self.process.ended();
        self.process.peak_rss()
    }

    /// Waits for its end.
    pub fn end(mut self, limit: Duration) -> Ended {
        let status = self.process.wait("aws-to-devo", limit);
        Ended {
            code: status.code(),
            stdout: std::fs::read(&self.stdout).unwrap(),
            log: self.log(),
            peak_rss: self.process.peak_rss(),
        }
    }

    /// Stops it, and waits for its end.
    pub fn stop(mut self) -> Ended {
        if !self.is_ended() {
            self.signal(Signal::TERM);
        }
        self.end(PATIENCE)
    }

    pub fn kill(self) {
        drop(self);
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }
}

impl Drop for Collector {
    /// A failed test shows the program's log.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(40);
            eprintln!("---- the program's log, {last} lines left out ----\n{}", lines[last..].join("\n"));
        }
    }
}

/// The program that is tested.
pub fn program() -> PathBuf {
    std::env::var_os("A2D_PROGRAM").map_or(env!("CARGO_BIN_EXE_aws-to-devo").into(), PathBuf::from)
}

fn is_foreign(variable: &str) -> bool {
    variable.starts_with("AWS_")
        || variable == "RUST_LOG"
        || variable.to_ascii_lowercase().ends_with("_proxy")
}
