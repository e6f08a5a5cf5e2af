//! The commands of [`crate::lab`], which are there only with the cargo feature `lab`.

use std::process::ExitCode;

use clap::Subcommand;

use super::exit::{REFUSED, UNDELIVERED, UNPRINTED};
use super::log::start;
use super::simulate;
use crate::base::out;
use crate::lab::{bench, demo, stages};

/// The commands' examples, by their words.
pub const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "demo",
        &[
            ("Run it", "aws-to-devo demo"),
            ("Print the configuration it runs with", "aws-to-devo demo --print-config"),
        ],
    ),
    (
        "bench",
        &[
            ("Measure speed and cost on this machine", "aws-to-devo bench"),
            (
                "VPC flow logs for a minute, with memory over time",
                "aws-to-devo bench --service aws_sqs_vpc --seconds 60",
            ),
            ("Your own objects", "aws-to-devo bench --service aws_sqs_waf --files samples/"),
        ],
    ),
    (
        "simulate",
        &[
            ("A hundred seeds with all faults", "aws-to-devo simulate --runs 100"),
            ("Tell the story of one", "aws-to-devo simulate --seed 7 --trace"),
        ],
    ),
];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline on this machine against an embedded S3 + SQS endpoint and TLS sink: exit code 0 only if
    /// every record arrived once
    Demo {
        /// Print the configuration file that the demo runs on
        #[arg(long)]
        print_config: bool,
    },
    /// Measure speed and cost on this machine, against stand-ins for AWS and Devo in separate processes: exit code 0
    /// only if the sink received exactly what was announced
    Bench(bench::Options),
    /// Run the pipeline in a simulated world, where time, the order of events and all faults follow from a seed: exit code
    /// 0 only if every invariant holds
    Simulate(simulate::Options),
    /// Run a stand-in in a separate process, for `bench`
    #[command(hide = true)]
    Testbed {
        #[command(subcommand)]
        part: bench::stand_in::Part,
    },
    /// Run one stage on fixed work, for `scripts/perf`
    #[command(hide = true)]
    Stage { name: Option<String> },
}

/// Runs one of the commands.
pub fn run(command: &Command) -> ExitCode {
    // The log of a simulation is part of its story.
    if !matches!(command, Command::Simulate(_)) {
        start(log::LevelFilter::Warn);
    }
    match command {
        Command::Demo { print_config } => exit_code("demo", demo::run(*print_config)),
        Command::Simulate(options) => simulate::run(options),
        Command::Bench(options) => exit_code("bench", bench::run(options)),
        Command::Testbed { part } => exit_code("testbed", bench::stand_in::run(part).map(|()| true)),
        Command::Stage { name } => exit_code("stage", stages::run(name.as_deref()).map(|()| true)),
    }
}

/// The exit code of a command that says whether all has arrived.
fn exit_code(name: &str, outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNDELIVERED),
        Err(error) if is_of_reader(&error) => ExitCode::from(UNDELIVERED),
        // It is told when the process ends.
        Err(error) if kind_of(&error).is_some() && kind_of(&error) == out::failure() => {
            ExitCode::from(UNPRINTED)
        }
        Err(error) => {
            log::error!("the {name} cannot run: {error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

/// True if the reader of standard output has exited, who needs no message.
fn is_of_reader(error: &anyhow::Error) -> bool {
    kind_of(error) == Some(std::io::ErrorKind::BrokenPipe)
}

fn kind_of(error: &anyhow::Error) -> Option<std::io::ErrorKind> {
    error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}
