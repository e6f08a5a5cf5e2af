//! The commands: one small file each.

mod announced;
mod arguments;
mod audit;
mod backfill;
mod bench;
pub mod check;
mod check_online;
mod choice;
mod demo;
mod examples;
mod exit;
mod files;
mod heart;
mod init;
mod ledger;
mod level;
mod live;
mod log;
mod migrate;
mod notify;
mod open_files;
mod preview;
mod reload;
mod run;
mod s3_place;
mod sample;
mod sample_check;
mod screen;
mod services;
mod setup;
mod shell;
mod signals;
mod table;
mod testbed;
mod top;
mod trials;
mod version;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use rustix::fs::Mode;
use rustix::process::DumpableBehavior;

use arguments::{Arguments, Command};
use files::Files;

/// Parses the arguments and runs one command.
pub fn main() -> ExitCode {
    keep_secrets();
    let matches = examples::command().get_matches();
    let Arguments { log_format, command } = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    log::choose(log_format);
    let code = run_command(command);
    crate::aws::chain::process::end_all();
    code
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Run { config, output, drain, no_live } => {
            run::run(&Files { config, output }, drain, !no_live)
        }
        Command::Backfill(options) => backfill::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Demo { print_config } => demo::command(print_config),
        Command::IamPolicy { options, identity } => setup::iam_policy(&options, identity),
        Command::Cloudformation { options } => setup::cloudformation(&options),
        Command::Bench(options) => bench::command(&options),
        Command::Ledger(command) => ledger::run(&command),
        Command::Services { name, config, json } => services::run(name.as_deref(), json, config.as_deref()),
        Command::Init(options) => init::run(&options),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { into } => shell::man(into.as_deref()),
        Command::Schema => shell::schema(),
        Command::Preview(options) => preview::run(&options),
        Command::Top(options) => top::run(&options),
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
