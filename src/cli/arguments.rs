//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::{audit, backfill, check, fleet, init, ledger, log, preview, setup, top, version};

/// Move AWS-side logs (S3 objects announced through SQS, and AWS APIs) to Devo
#[derive(Debug, Parser)]
#[command(name = "aws-to-devo", version = version::line(), about)]
pub struct Arguments {
    /// Format of log lines
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: log::Format,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect until SIGTERM or SIGINT; a second signal stops at once. Exit code 2: the configuration is wrong; 75: a
    /// temporary condition prevents the start (its state directory is in use, its disk is full), so try again later
    Run {
        /// Configuration file, YAML or JSON; or the folder of config.yaml or config.json
        #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
        config: PathBuf,
        /// File whose outputs replace the configuration's; a file from the vendor's cloud server has none
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
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
    /// List all problems of a configuration: exit code 0 or 2. Asks nobody, except with `--online` and `--sample`
    Check(check::Options),
    #[cfg(feature = "lab")]
    #[command(flatten)]
    Lab(super::lab::Command),
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
        #[command(flatten)]
        extras: setup::Extras,
    },
    /// Show or forget the record of delivered objects, which prevents sending them twice
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Show the hosts that share polled sources through a DynamoDB table, and which of them polls what: exit code 1 if
    /// nobody polls a source of the configuration; 2 if there is no table, or it cannot be read
    Fleet(fleet::Options),
    /// List the services: name, Devo table, format, object keys; as JSON with the key patterns
    Services {
        /// Show one service, with its objects' endings: what is a record, what has no records, what is refused
        name: Option<String>,
        /// A configuration whose own services (`globals.definitions`) are listed too
        #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
        config: Option<PathBuf>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Write a first configuration, with comments. On a terminal, it asks for what the options do not say
    Init(init::Options),
    /// Show what an object becomes: records per table, what is dropped, the first frames. Sends nothing. Exit code 0; 1
    /// if the object is refused; 2 if it could not be read
    Preview(preview::Options),
    /// Show the figures of a running collector, from its status page, until Ctrl-C. Exit code 1 if no collector answers
    Top(top::Options),
    /// Print a shell's completion script
    Completions { shell: Shell },
    /// Print the manual page
    Man {
        /// Write a page for each command into this folder instead
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Print the JSON Schema of the configuration, with which editors complete and check it
    Schema,
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use clap::error::ErrorKind;
    use clap::{Arg, Command};

    use crate::cli::command;

    /// Every option that is a number, with the words before it; hidden commands too.
    fn numbers(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, String)>) {
        let is_number = |argument: &&Arg| {
            let own = argument.get_value_parser().type_id();
            let types = [
                TypeId::of::<u8>(),
                TypeId::of::<u16>(),
                TypeId::of::<u32>(),
                TypeId::of::<u64>(),
                TypeId::of::<usize>(),
                TypeId::of::<i32>(),
                TypeId::of::<i64>(),
                TypeId::of::<f64>(),
            ];
            types.iter().any(|it| own == *it)
        };
        let own = command.get_arguments().filter(is_number);
        found
            .extend(own.filter_map(|argument| Some((words.to_vec(), format!("--{}", argument.get_long()?)))));
        for below in command.get_subcommands() {
            numbers(below, &[words, &[below.get_name().to_owned()]].concat(), found);
        }
    }

    fn refusal(words: &[String], option: &str, value: &str) -> Option<ErrorKind> {
        let arguments = words.iter().cloned().chain([format!("{option}={value}")]);
        command().try_get_matches_from(arguments).err().map(|error| error.kind())
    }

    /// A number without an upper bound is a loop without an end, or memory without one.
    #[test]
    fn every_number_has_bounds() {
        let mut found = Vec::new();
        numbers(&command(), &["aws-to-devo".to_owned()], &mut found);
        assert!(found.len() >= 3, "{found:?}");
        for (words, option) in &found {
            for bad in ["-1", "NaN", "1e3", "", "18446744073709551615", "18446744073709551616"] {
                let kind = refusal(words, option, bad);
                let is_refused = matches!(kind, Some(ErrorKind::ValueValidation | ErrorKind::InvalidValue));
                assert!(is_refused, "{words:?} {option}={bad}: {kind:?}");
            }
            let is_a_choice = ["--seed", "--frames"].contains(&option.as_str());
            let kind = refusal(words, option, "0");
            assert!(
                is_a_choice || kind == Some(ErrorKind::ValueValidation),
                "{words:?} {option}=0: {kind:?}"
            );
        }
    }
}
