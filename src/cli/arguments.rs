//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::{audit, backfill, bench, check, init, ledger, log, preview, setup, testbed, top, version};

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
        /// Configuration file, YAML or JSON
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// File whose outputs are used instead of the configuration's: a file of the vendor's cloud server has none
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
    /// List all problems of a configuration: exit code 0 or 2. Receives nothing
    Check(check::Options),
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
    /// Writes a first configuration, with comments: asks on a terminal what the options do not say
    Init(init::Options),
    /// Shows what becomes of an object: records and tables, what is dropped, the first frames. Sends nothing: exit code 0, 1
    /// when the object is refused, or 2
    Preview(preview::Options),
    /// Shows the figures of a collector that runs, from its status page, until Ctrl-C: exit code 1 when nobody answers
    Top(top::Options),
    /// Prints the completion script of a shell
    Completions { shell: Shell },
    /// Prints the manual page
    Man {
        /// Writes a page for each command into this folder instead
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Prints the JSON Schema of the configuration, by which editors complete and check it
    Schema,
    /// Run a stand-in in a separate process, for `bench`
    #[command(hide = true)]
    Testbed {
        #[command(subcommand)]
        part: testbed::Part,
    },
}
