//! The commands: one file each, thin.

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

/// Moves AWS-side logs (S3 announced through SQS) to Devo.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// What log lines look like
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collects until SIGTERM or SIGINT; a second signal stops at once. Exit code 2: the configuration is wrong; 75:
    /// something else keeps it from starting (its state directory is in use, its disk is full), so try again later
    Run {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Ends when the queues are empty and polled sources have caught up: exit code 0, or 1 when something
        /// could not be delivered, or when a signal came before the end
        #[arg(long)]
        drain: bool,
        /// On a terminal: no block of figures below the log
        #[arg(long)]
        no_live: bool,
    },
    /// Sends the objects of an S3 listing, which no queue announces: exit code 0, 1 when not everything is
    /// delivered, 2 when nothing was begun. What was delivered before is not sent again
    Backfill(backfill::Options),
    /// Lists everything that is wrong with a configuration: exit code 0 or 2. Pulls nothing
    Check {
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Tries credentials, queues and outputs as well
        #[arg(long)]
        online: bool,
    },
    /// Runs the whole job on this machine against an embedded S3 + SQS endpoint and TLS sink: exit
    /// code 0 only if every record arrived once
    Demo {
        /// Prints the configuration file that it runs on
        #[arg(long)]
        print_config: bool,
    },
    /// Prints the least IAM policy that a configuration needs, as JSON
    IamPolicy {
        #[command(flatten)]
        options: setup::Options,
        /// Whose policy
        #[arg(long, value_enum, default_value = "reader")]
        identity: setup::Whose,
    },
    /// Prints a CloudFormation template that makes what a configuration reads: queues with dead-letter
    /// queues, buckets or rules that announce objects, policies and roles
    Cloudformation {
        #[command(flatten)]
        options: setup::Options,
    },
    /// Measures speed and cost on this machine, against stand-ins for AWS and Devo in processes of their
    /// own: exit code 0 only if the sink received exactly what was announced
    Bench(bench::Options),
    /// What was delivered, kept so that it is not sent twice
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Lists the services: name, Devo table, format, object keys; as JSON with the key patterns
    Services {
        /// One service, with what becomes of its objects: what is a record, what holds none, what is refused
        name: Option<String>,
        /// A configuration, whose own services (`globals.definitions`) are listed too
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// A stand-in in a process of its own, for `bench`
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

/// Keeps what the collector writes, and what it holds in memory, for its user alone.
fn keep_secrets() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    forbid_dumps();
}

/// Keys and records are in this process's memory: no core file and no other process of the same user may have them.
/// Root can still attach a debugger.
fn forbid_dumps() {
    // Where the kernel does not know it there is nothing else to do.
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
