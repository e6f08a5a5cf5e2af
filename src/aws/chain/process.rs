//! The setting `credential_process`: a command that writes credentials as JSON to its standard output.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::document;
use crate::aws::credentials::Credentials;
use crate::base::limits::{CREDENTIAL_PROCESS_TIMEOUT, CREDENTIALS_DOCUMENT_BYTES_MAX, STOP_CHECK_INTERVAL};
use crate::base::locks::lock;

/// Runs `command` with `sh -c`, as AWS's tools do.
///
/// # Errors
/// The reason of the failure; never the command's arguments or output, which may contain a secret.
pub fn run(command: &str) -> Result<Credentials, String> {
    run_for(command, CREDENTIAL_PROCESS_TIMEOUT)
}

fn run_for(command: &str, timeout: Duration) -> Result<Credentials, String> {
    let name = program_name(command);
    let Finished { status, output, complaint } =
        finish(command, timeout).map_err(|why| format!("credential_process {name}: {why}"))?;
    let complaint = match complaint {
        0 => String::new(),
        bytes => format!("; it wrote {bytes} bytes to standard error: run it by hand to see them"),
    };
    if !status.success() {
        return Err(format!("credential_process {name}: {status}{complaint}"));
    }
    document::of_process(&output)
        .map_err(|why| format!("credential_process {name}: its output is unusable: {why}{complaint}"))
}

struct Finished {
    status: ExitStatus,
    output: Vec<u8>,
    /// Number of bytes on its standard error.
    complaint: u64,
}

fn finish(command: &str, timeout: Duration) -> Result<Finished, String> {
    let deadline = Instant::now() + timeout;
    let mut running = Running::start(command).map_err(|error| error.to_string())?;
    let output = read_aside(running.0.stdout.take());
    let complaint = read_aside(running.0.stderr.take());
    let late = || format!("did not finish within {} s", timeout.as_secs());
    let (output, _) = wait_for(&output, deadline).ok_or_else(late)?;
    let (_, complaint) = wait_for(&complaint, deadline).ok_or_else(late)?;
    let status = running.wait(deadline).ok_or_else(late)?;
    Ok(Finished { status, output, complaint })
}

/// The running process groups.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills every running command, with everything that it has started. Call it when this process exits, because its
/// threads then have no time left to do it.
pub fn end_all() {
    for group in running().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    lock(&RUNNING)
}

/// A separate process group, so that everything that the shell has started ends with it.
struct Running(Child);

impl Running {
    fn start(command: &str) -> std::io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).process_group(0);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut groups = running();
        let shell = shell.spawn()?;
        groups.push(Pid::from_child(&shell));
        Ok(Self(shell))
    }

    /// The exit status, if it has exited. Its id may belong to another process from then on.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let mut groups = running();
        let group = Pid::from_child(&self.0);
        let status = self.0.try_wait()?;
        if status.is_some() {
            groups.retain(|other| *other != group);
        }
        Ok(status)
    }

    fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.ended().ok()? {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(STOP_CHECK_INTERVAL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until it has been waited for, its id cannot belong to another process.
        if let Ok(None) = self.ended() {
            let group = Pid::from_child(&self.0);
            let mut groups = running();
            let _ = kill_process_group(group, Signal::KILL);
            groups.retain(|other| *other != group);
            // The lock must not be held while waiting for a process that cannot end.
            drop(groups);
            let _ = self.0.wait();
        }
    }
}

/// The start of a pipe's output, and the number of all its bytes.
type Piped = (Vec<u8>, u64);

/// Reads a pipe on its own thread: both pipes must be drained at once, and the wait must be bounded.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> Receiver<Piped> {
    let (done, read) = channel();
    std::thread::spawn(move || {
        let (mut bytes, mut rest) = (Vec::new(), 0);
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(CREDENTIALS_DOCUMENT_BYTES_MAX as u64).read_to_end(&mut bytes);
            // The rest is discarded, so that its writer can finish.
            rest = std::io::copy(&mut pipe, &mut std::io::sink()).unwrap_or(0);
        }
        let total = bytes.len() as u64 + rest;
        let _ = done.send((bytes, total));
    });
    read
}

fn wait_for(pipe: &Receiver<Piped>, deadline: Instant) -> Option<Piped> {
    match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(piped) => Some(piped),
        Err(RecvTimeoutError::Disconnected) => Some(Piped::default()),
        Err(RecvTimeoutError::Timeout) => None,
    }
}

/// The command's first word, without folders, since its arguments may contain secrets.
fn program_name(command: &str) -> &str {
    let first = command.split_whitespace().next().unwrap_or_default();
    let first = first.trim_matches(['"', '\'']);
    // `PASSWORD=x helper`: not the name of a program.
    if first.contains('=') { "(command)" } else { first.rsplit('/').next().unwrap_or(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "hush"}"#;

    fn failed(command: &str) -> String {
        run_for(command, Duration::from_secs(20)).unwrap_err()
    }

    #[test]
    fn its_output_is_read_whatever_it_says_besides() {
        let command = format!("head -c 1000000 /dev/zero >&2; printf '%s' '{DOCUMENT}'");
        assert_eq!(run(&command).unwrap().access_key_id, "ASIA1");
    }

    #[test]
    fn a_failure_shows_how_it_ended_and_nothing_of_what_was_said() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let error = failed(&format!("echo '{DOCUMENT}'; echo \"no vault: key='{secret}'\" >&2; exit 3"));
        for part in ["credential_process echo", "exit status: 3", "wrote 57 bytes to standard error"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        for part in ["hush", "vault", "key="] {
            assert!(!error.contains(part), "{part} in {error}");
        }
        let short = failed("echo pin=4711 >&2; exit 1");
        assert!(!short.contains("4711"), "a secret need not look like a key: {short}");
        let error = failed("printf '%s' '{\"Version\": 1}' # hush");
        assert!(error.contains("AccessKeyId") && !error.contains("hush"), "{error}");
        assert!(failed("/nonexistent/helper --token hush").starts_with("credential_process helper: exit"));
        assert!(failed("TOKEN=hush false").starts_with("credential_process (command): exit"));
    }

    #[test]
    fn what_runs_is_known_until_it_has_ended() {
        let mut shell = Running::start("read line; true").unwrap();
        let group = Pid::from_child(&shell.0);
        let status = shell.wait(Instant::now() + Duration::from_secs(60));
        assert!(status.is_some() && !running().contains(&group));
        let shell = Running::start("sleep 600").unwrap();
        let group = Pid::from_child(&shell.0);
        assert!(running().contains(&group));
        drop(shell);
        assert!(!running().contains(&group));
    }

    #[test]
    fn one_that_does_not_end_is_ended_with_all_it_has_started() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let command = format!("sleep 600 & echo $! > {path}; wait");
        let error = run_for(&command, Duration::from_secs(1)).unwrap_err();
        assert!(error.contains("within 1 s"), "{error}");
        let pid = std::fs::read_to_string(file.path()).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // Nothing is left to run it; it may remain as a zombie until it is reaped.
        while !(state().is_empty() || state().contains(") Z")) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
