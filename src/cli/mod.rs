//! The commands: one small file each.

mod announced;
mod arguments;
mod audit;
mod backfill;
mod blank;
pub mod check;
mod check_online;
mod choice;
mod examples;
mod exit;
mod files;
mod fleet;
mod heart;
mod init;
#[cfg(feature = "lab")]
mod lab;
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
#[cfg(feature = "lab")]
mod simulate;
mod table;
mod top;
mod trials;
mod version;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::FromArgMatches as _;
use rustix::fs::Mode;
use rustix::process::DumpableBehavior;

use arguments::{Arguments, Command};
use files::Files;

use crate::base::out;

pub use examples::command;

/// Parses the arguments and runs one command.
pub fn main() -> ExitCode {
    keep_secrets();
    signals::outlive_file_limits();
    let code = match parsed() {
        Ok(Arguments { log_format, command }) => {
            log::choose(log_format);
            run_command(command)
        }
        Err(help) => show(&help),
    };
    crate::aws::chain::process::end_all();
    printed(code)
}

fn parsed() -> Result<Arguments, clap::Error> {
    let mut command = command();
    // Errors show the usage with the command's full name.
    command.build();
    let matches = command.clone().try_get_matches()?;
    blank::refuse(&command, &matches)?;
    Arguments::from_arg_matches(&matches)
}

/// Shows help, the version, or what is wrong with the arguments.
fn show(help: &clap::Error) -> ExitCode {
    let _ = out::noted(help.print());
    u8::try_from(help.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The exit code of a command, unless it succeeded and what it printed is lost. The loss is told in any case.
fn printed(code: ExitCode) -> ExitCode {
    let Some(kind) = out::failure() else { return code };
    let _ = writeln!(io::stderr(), "cannot write to standard output: {kind}");
    if code == ExitCode::SUCCESS { ExitCode::from(exit::UNPRINTED) } else { code }
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Run { config, output, drain, no_live } => {
            run::run(&Files { config, output }, drain, !no_live)
        }
        Command::Backfill(options) => backfill::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Check(options) => check::run(&options),
        Command::IamPolicy { options, identity } => setup::iam_policy(&options, identity),
        Command::Cloudformation { options, extras } => setup::cloudformation(&options, extras),
        Command::Ledger(command) => ledger::run(&command),
        Command::Fleet(options) => fleet::run(&options),
        Command::Services { name, config, json } => services::run(name.as_deref(), json, config.as_deref()),
        Command::Init(options) => init::run(&options),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { into } => shell::man(into.as_deref()),
        Command::Schema => shell::schema(),
        Command::Preview(options) => preview::run(&options),
        Command::Top(options) => top::run(&options),
        #[cfg(feature = "lab")]
        Command::Lab(command) => lab::run(&command),
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
