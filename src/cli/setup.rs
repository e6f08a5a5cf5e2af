//! The `iam-policy` and `cloudformation` commands: what a configuration needs in AWS.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::{self, Environment};
use crate::settings::Bucket;
use crate::setup::{self, Document, Identity, Needs, Wishes};

/// Exit code if the configuration or an option cannot be used.
const REFUSED: u8 = 2;

/// The options of both commands.
#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file, YAML or JSON; outputs and certificates need not be complete
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Only this input; may be repeated
    #[arg(long, value_name = "INPUT")]
    input: Vec<String>,
    /// Only resources in this region; may be repeated
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Bucket of the objects: [INPUT=]NAME[/PREFIX] or an ARN; may be repeated
    #[arg(long, value_name = "BUCKET")]
    bucket: Vec<Bucket>,
    /// ARN of your KMS key that encrypts a bucket or queue; may be repeated
    #[arg(long, value_name = "ARN")]
    kms_key: Vec<String>,
    /// ARN of a dead-letter queue, only to be counted; may be repeated. The template knows its own
    #[arg(long = "dead-letter-queue", value_name = "ARN")]
    dead_letters: Vec<String>,
    /// The buckets are versioned
    #[arg(long)]
    versioned: bool,
    /// Allow listing the buckets: for backfill, and to distinguish a missing object from a forbidden one
    #[arg(long)]
    list: bool,
    /// Allow what `audit` needs: listing the buckets, and reading their notification configuration. `globals.audit`
    /// implies it
    #[arg(long)]
    audit: bool,
}

/// The identity whose policy `iam-policy` prints.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Whose {
    /// The identity that reads: the last configured role, else the key or machine itself
    Reader,
    /// aws_base_account_role, if there is an aws_cross_account_role
    BaseRole,
    /// The key or machine before the first role
    Start,
}

/// Prints the policy on standard output, and notes about it on standard error.
pub fn iam_policy(options: &Options, whose: Whose) -> ExitCode {
    let identity = match whose {
        Whose::Reader => Identity::Reader,
        Whose::BaseRole => Identity::BaseRole,
        Whose::Start => Identity::Start,
    };
    print(needs(options).map(|(needs, audits)| setup::policy(&needs, &wishes(options, audits), identity)))
}

/// Prints the template on standard output, and notes about it on standard error.
pub fn cloudformation(options: &Options) -> ExitCode {
    let document = needs(options).and_then(|(mut needs, audits)| {
        if options.input.is_empty() {
            needs.queues.retain(|queue| !queue.is_crowdstrikes());
        }
        setup::template(&needs, &wishes(options, audits)).map_err(|error| error.to_string())
    });
    print(document)
}

/// The needs of the configuration, and whether it has audits.
fn needs(options: &Options) -> Result<(Needs, bool), String> {
    let config = config::load_inputs(Path::new(&options.config), &Environment::here());
    let config = config.map_err(|problems| problems.to_string())?;
    for bucket in options.bucket.iter().filter_map(|bucket| bucket.input.as_ref()) {
        Needs::of(&config, std::slice::from_ref(bucket)).map_err(|error| error.to_string())?;
    }
    let needs = Needs::of(&config, &options.input).map_err(|error| error.to_string())?;
    Ok((needs.in_regions(&options.region), config.globals.audit.is_some()))
}

fn wishes(options: &Options, audits: bool) -> Wishes {
    Wishes {
        buckets: options.bucket.clone(),
        kms_keys: options.kms_key.clone(),
        dead_letters: options.dead_letters.clone(),
        versioned: options.versioned,
        list: options.list,
        audit: options.audit || audits,
    }
}

fn print(document: Result<Document, String>) -> ExitCode {
    match document {
        Ok(Document { json, notes }) => {
            for note in notes {
                let _ = writeln!(io::stderr(), "note: {note}");
            }
            match writeln!(io::stdout(), "{json:#}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}
