//! `credential_process`: a command that writes credentials as JSON to its standard output.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::document;
use crate::aws::credentials::Credentials;
use crate::limits::{
    COMPLAINT_CHARS_MAX, CREDENTIAL_PROCESS_TIMEOUT, CREDENTIALS_DOCUMENT_BYTES_MAX, STOP_CHECK_INTERVAL,
};

/// Runs `command` by `sh -c`, as AWS's tools do.
///
/// # Errors
/// What went wrong, with what the command said about it; never its standard output nor its arguments.
pub fn run(command: &str) -> Result<Credentials, String> {
    run_for(command, CREDENTIAL_PROCESS_TIMEOUT)
}

fn run_for(command: &str, timeout: Duration) -> Result<Credentials, String> {
    let name = program_name(command);
    let Finished { status, output, complaint } =
        finish(command, timeout).map_err(|why| format!("credential_process {name}: {why}"))?;
    let complaint = shown(&complaint);
    if !status.success() {
        return Err(format!("credential_process {name}: {status}{complaint}"));
    }
    document::of_process(&output)
        .map_err(|why| format!("credential_process {name}: its output cannot be used: {why}{complaint}"))
}

struct Finished {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

fn finish(command: &str, timeout: Duration) -> Result<Finished, String> {
    let deadline = Instant::now() + timeout;
    let mut running = Running::start(command).map_err(|error| error.to_string())?;
    let output = read_aside(running.0.stdout.take());
    let complaint = read_aside(running.0.stderr.take());
    let late = || format!("was not done within {} s", timeout.as_secs());
    let output = wait_for(&output, deadline).ok_or_else(late)?;
    let complaint = wait_for(&complaint, deadline).ok_or_else(late)?;
    let status = running.wait(deadline).ok_or_else(late)?;
    Ok(Finished { status, output, complaint })
}

/// A process group of its own: what the shell has started ends with it.
struct Running(Child);

impl Running {
    fn start(command: &str) -> std::io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).process_group(0);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.spawn().map(Self)
    }

    fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait().ok()? {
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
        // As long as it has not been waited for, its id cannot belong to another.
        if let Ok(None) = self.0.try_wait() {
            let group = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Reads a pipe on a thread of its own: both pipes have to be emptied at once, and a wait must have an end.
fn read_aside(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (done, read) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(CREDENTIALS_DOCUMENT_BYTES_MAX as u64).read_to_end(&mut bytes);
            // The rest is thrown away, so that its writer can finish.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        let _ = done.send(bytes);
    });
    read
}

fn wait_for(pipe: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(bytes) => Some(bytes),
        Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
        Err(RecvTimeoutError::Timeout) => None,
    }
}

/// The command's first word, without folders: its arguments may hold secrets.
fn program_name(command: &str) -> &str {
    let first = command.split_whitespace().next().unwrap_or_default();
    let first = first.trim_matches(['"', '\'']);
    // `PASSWORD=x helper`: not the name of a program.
    if first.contains('=') { "(command)" } else { first.rsplit('/').next().unwrap_or(first) }
}

/// The end of what the command said, on one line and without what may be a secret.
fn shown(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let words = text.split_whitespace().map(redacted).collect::<Vec<_>>().join(" ");
    let surplus = words.chars().count().saturating_sub(COMPLAINT_CHARS_MAX);
    let words = words.chars().skip(surplus).collect::<String>();
    if words.is_empty() { String::new() } else { format!("; it says: {words}") }
}

/// A word in which every run of characters that looks like a key or a token is left out.
fn redacted(word: &str) -> String {
    let of_key = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
    let mut shown = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(of_key) {
        let run = rest[start..].split(|c| !of_key(c)).next().unwrap_or_default();
        shown.push_str(&rest[..start]);
        shown.push_str(if looks_secret(run) { "…" } else { run });
        rest = &rest[start + run.len()..];
    }
    shown + rest
}

/// Secret keys have 40 characters, tokens hundreds, and both mix capitals, small letters and digits.
fn looks_secret(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    run.len() >= 30 && has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
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
    fn a_failure_shows_what_was_said_and_no_secret() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let error = failed(&format!("echo '{DOCUMENT}'; echo \"no vault: key='{secret}'\" >&2; exit 3"));
        for part in ["credential_process echo", "3", "no vault", "key='…'"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("hush") && !error.contains(secret), "{error}");
        let error = failed("printf '%s' '{\"Version\": 1}' # hush");
        assert!(error.contains("AccessKeyId") && !error.contains("hush"), "{error}");
        assert!(failed("/nonexistent/helper --token hush").starts_with("credential_process helper: exit"));
        assert!(failed("TOKEN=hush false").starts_with("credential_process (command): exit"));
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
        // Nobody is left to run it; it may remain as a dead entry until it is collected.
        while !(state().is_empty() || state().contains(") Z")) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn paths_and_words_stay_and_keys_do_not() {
        for plain in ["/usr/local/bin/helper", "arn:aws:iam::123456789012:role/x", "AKIAIOSFODNN7EXAMPLE"] {
            assert_eq!(redacted(plain), plain);
        }
        assert_eq!(redacted("token=IQoJb3JpZ2luX2VjEJ3aCXVzLWVhc3QtMSJ,next"), "…,next");
    }
}
