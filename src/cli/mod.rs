//! The commands: one small file each.

mod audit;
mod backfill;
mod bench;
pub mod check;
mod check_online;
mod demo;
mod exit;
mod heart;
mod ledger;
mod level;
mod live;
mod log;
mod notify;
mod open_files;
mod reload;
mod run;
mod screen;
mod services;
mod setup;
mod signals;
mod testbed;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::fs::Mode;
use rustix::process::DumpableBehavior;

/// Move AWS-side logs (S3 objects announced through SQS, and AWS APIs) to Devo
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Format of log lines
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect until SIGTERM or SIGINT; a second signal stops at once. Exit code 2: the configuration is wrong; 75: a
    /// temporary condition prevents the start (its state directory is in use, its disk is full), so try again later
    Run {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Exit when the queues are empty and polled sources have caught up: with code 0, or 1 if something could not
        /// be delivered or a signal came earlier
        #[arg(long)]
        drain: bool,
        /// Hide the block of figures below the log on a terminal
        #[arg(long)]
        no_live: bool,
    },
    /// Send the objects of an S3 listing, which no queue announces. Exit code 0; 1 if not everything is delivered; 2 if
    /// nothing was started. Objects that were delivered before are not sent again
    Backfill(backfill::Options),
    /// Compare the objects in the buckets with those that were delivered: exit code 0 if nothing is missing; 1 if
    /// something is missing or was rejected; 2 if the audit could not be finished
    Audit(audit::Options),
    /// List all problems of a configuration: exit code 0 or 2. Receives nothing
    Check {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Also try credentials, queues and outputs
        #[arg(long)]
        online: bool,
    },
    /// Run the whole pipeline on this machine against an embedded S3 + SQS endpoint and TLS sink: exit code 0 only if
    /// every record arrived once
    Demo {
        /// Print the configuration file that the demo runs on
        #[arg(long)]
        print_config: bool,
    },
    /// Print the least IAM policy that a configuration needs, as JSON
    IamPolicy {
        #[command(flatten)]
        options: setup::Options,
        /// The identity that the policy is for
        #[arg(long, value_enum, default_value = "reader")]
        identity: setup::Whose,
    },
    /// Print a CloudFormation template that creates what a configuration reads: queues with dead-letter queues, buckets
    /// or rules that announce objects, policies and roles
    Cloudformation {
        #[command(flatten)]
        options: setup::Options,
    },
    /// Measure speed and cost on this machine, against stand-ins for AWS and Devo in separate processes: exit code 0
    /// only if the sink received exactly what was announced
    Bench(bench::Options),
    /// Show or forget the record of delivered objects, which prevents sending them twice
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// List the services: name, Devo table, format, object keys; as JSON with the key patterns
    Services {
        /// Show one service, with its objects' endings: what is a record, what has no records, what is refused
        name: Option<String>,
        /// A configuration whose own services (`globals.definitions`) are listed too
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Run a stand-in in a separate process, for `bench`
    #[command(hide = true)]
    Testbed {
        #[command(subcommand)]
        part: testbed::Part,
    },
}

/// Parses the arguments and runs one command.
pub fn main() -> ExitCode {
    keep_secrets();
    let Arguments { log_format, command } = Arguments::parse();
    log::choose(log_format);
    let code = run_command(command);
    crate::aws::chain::process::end_all();
    code
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Run { config, drain, no_live } => run::run(&config, drain, !no_live),
        Command::Backfill(options) => backfill::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Check { config, online } => check::run(&config, online),
        Command::Demo { print_config } => demo::command(print_config),
        Command::IamPolicy { options, identity } => setup::iam_policy(&options, identity),
        Command::Cloudformation { options } => setup::cloudformation(&options),
        Command::Bench(options) => bench::command(&options),
        Command::Ledger(command) => ledger::run(&command),
        Command::Services { name, config, json } => services::run(name.as_deref(), json, config.as_deref()),
        Command::Testbed { part } => testbed::run(&part),
    }
}

/// Restricts the collector's files and memory to its own user.
fn keep_secrets() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    forbid_dumps();
}

/// Makes the process undumpable: keys and records are in its memory, and no core file and no other process of the same
/// user may get them. Root can still attach a debugger.
fn forbid_dumps() {
    // If the kernel does not support it, nothing else can be done.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_not_dumped_and_still_knows_its_own_figures() {
        forbid_dumps();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let figures = crate::telemetry::testing::telemetry().snapshot(jiff::Timestamp::now()).process;
        assert!(figures.open_files.is_some() && figures.resident.is_some() && figures.cpu_seconds.is_some());
    }
}
