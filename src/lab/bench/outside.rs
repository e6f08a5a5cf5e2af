//! The stand-ins in separate processes (see [`super::stand_in`]).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::options::{Amount, Options};
use super::usage;
use crate::base::limits::BENCH_OBJECTS_MAX;

/// Both stand-ins. They exit when this is dropped.
pub struct Outside {
    pub aws: Process,
    pub sink: Process,
    pub s3: S3,
    pub peer: Peer,
    /// The certificate of the authority of HTTPS. None: HTTP.
    pub authority: Option<PathBuf>,
}

/// The address of the embedded S3 and SQS, and their contents.
#[derive(Debug, Deserialize)]
pub struct S3 {
    pub url: String,
    pub queue_url: String,
    pub objects: Vec<Described>,
}

/// An object that is announced repeatedly, in turn with the others.
#[derive(Debug, Deserialize)]
pub struct Described {
    pub bytes: u64,
    pub log_bytes: Option<u64>,
    pub events: Option<u64>,
    pub path: Option<PathBuf>,
}

/// The address of the sink.
#[derive(Debug, Deserialize)]
pub struct Peer {
    pub address: String,
    pub port: u16,
}

/// The sink's counts.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Received {
    pub events: u64,
    pub failures: Vec<String>,
}

/// A child process that answers commands.
pub struct Process {
    child: Child,
    /// Standard input of the child; None once it has been told to exit.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Outside {
    /// Starts both and creates the objects. `directory` gets the certificates and, with `--floor`, the objects.
    pub fn start(options: &Options, directory: &Path) -> anyhow::Result<Outside> {
        let (mut sink, mut aws) = (command("sink"), command("aws"));
        sink.arg("--directory").arg(directory);
        let add = |command: &mut Command, name: &str, value: Option<u64>| {
            if let Some(value) = value {
                command.args([name, &value.to_string()]);
            }
        };
        add(&mut sink, "--rtt-ms", options.rtt_ms);
        add(&mut sink, "--mb", options.sink_mb);
        let objects = match options.amount() {
            Amount::Objects(objects) => objects,
            Amount::For(_) => BENCH_OBJECTS_MAX,
        };
        aws.args(["--service", &options.service]);
        aws.args(["--objects", &objects.to_string(), "--object-bytes", &options.object_bytes().to_string()]);
        if let Some(folder) = &options.files {
            aws.arg("--files").arg(folder);
        }
        if options.floor {
            aws.arg("--save").arg(directory);
        }
        add(&mut aws, "--rtt-ms", options.aws_rtt_ms);
        let authority = options.tls.then(|| directory.join("aws"));
        if let Some(folder) = &authority {
            aws.arg("--tls").arg(folder);
        }
        let (mut sink, mut aws) = (Process::start(sink)?, Process::start(aws)?);
        let authority = authority.map(|folder| folder.join("chain.crt"));
        Ok(Outside { peer: sink.answer()?, s3: aws.answer()?, authority, aws, sink })
    }

    pub fn announce(&mut self, objects: u64) -> anyhow::Result<()> {
        self.aws.ask::<serde_json::Value>(&format!("announce {objects}")).map(drop)
    }

    pub fn received(&mut self) -> anyhow::Result<Received> {
        self.sink.ask("counts")
    }

    /// CPU time of both processes so far.
    pub fn cpu(&self) -> Duration {
        [&self.aws, &self.sink].map(|process| usage::cpu_of_process(process.child.id())).iter().sum()
    }
}

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Process> {
        let mut child = command.spawn().context("cannot start this program a second time")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (commands, answers) = pipes.context("a process without pipes")?;
        Ok(Process { child, commands: Some(commands), answers: BufReader::new(answers) })
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> anyhow::Result<T> {
        let commands = self.commands.as_mut().context("the process was told to exit")?;
        writeln!(commands, "{command}").context("a part of the test bed has exited")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        let length = self.answers.read_line(&mut line)?;
        anyhow::ensure!(length > 0, "a part of the test bed has exited; its reason is above");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child exits when its standard input closes.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

fn command(part: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| env!("CARGO_PKG_NAME").into());
    let mut command = Command::new(program);
    command.args(["testbed", part]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}
