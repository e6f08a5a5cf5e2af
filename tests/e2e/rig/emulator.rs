//! One MiniStack for all tests of a run: S3, SQS, SNS, IAM and STS with signature checks on.

use std::path::PathBuf;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use crate::rig::process::{Process, free_port, wait_for};

/// The endpoint of the emulator, started at the first call.
///
/// It ends with the test process: its parent is a thread that lives exactly as long.
pub fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(start)
}

pub fn port() -> u16 {
    endpoint().rsplit(':').next().unwrap().parse().unwrap()
}

fn start() -> String {
    let (started, port) = mpsc::channel();
    std::thread::spawn(move || {
        let port = free_port();
        let _process = spawn(port);
        started.send(port).unwrap();
        loop {
            std::thread::park();
        }
    });
    let endpoint = format!("http://127.0.0.1:{}", port.recv().unwrap());
    let health = format!("{endpoint}/_ministack/health");
    wait_for("the AWS emulator", Duration::from_secs(60), || ureq::get(&health).call().is_ok());
    endpoint
}

fn spawn(port: u16) -> Process {
    let port = format!("GATEWAY_PORT={port}");
    let program = venv().join("bin/ministack");
    Process::start(
        "env".as_ref(),
        &[
            &port,
            "BIND_HOST=127.0.0.1",
            "MINISTACK_HOST=127.0.0.1",
            "AUTH=true",
            "IOT_MTLS_ENABLED=0",
            "SFTP_ENABLED=0",
            "LOG_LEVEL=WARNING",
            program.to_str().unwrap(),
        ],
        "/dev/null".as_ref(),
        "/dev/stderr".as_ref(),
    )
}

/// The Python environment of the third-party programs.
pub fn venv() -> PathBuf {
    match std::env::var_os("A2D_TEST_VENV") {
        Some(path) => path.into(),
        None => panic!(
            "A2D_TEST_VENV is not set: run scripts/test, which installs the third-party servers these tests need"
        ),
    }
}
