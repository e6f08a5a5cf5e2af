//! The `iam-policy` and `cloudformation` commands: what a configuration needs in AWS.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::exit::REFUSED;
use crate::base::limits::EXPIRE_DAYS_MAX;
use crate::base::out::Out;
use crate::config::{self, Environment};
use crate::settings::Bucket;
use crate::setup::{self, Document, Identity, Needs, Wishes, arn};

/// The options of both commands.
#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file, YAML or JSON; outputs and certificates need not be complete
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: PathBuf,
    /// Only this input; may be repeated
    #[arg(long, value_name = "INPUT")]
    input: Vec<String>,
    /// Only resources in this region; may be repeated
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Bucket of the objects: [INPUT=]NAME[/FOLDER] or an ARN; may be repeated. For keys that only begin alike, end with
    /// a star: NAME/PREFIX*
    #[arg(long, value_name = "BUCKET")]
    bucket: Vec<Bucket>,
    /// ARN of your KMS key that encrypts a bucket or queue; may be repeated
    #[arg(long, value_name = "ARN", value_parser = arn::kms_key)]
    kms_key: Vec<String>,
    /// ARN of a dead-letter queue, only to be counted; may be repeated. The template knows its own
    #[arg(long = "dead-letter-queue", value_name = "ARN", value_parser = arn::queue)]
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

/// Parts of a template that not everybody wants.
#[derive(Debug, Args)]
pub struct Extras {
    /// New buckets delete their objects after this many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=EXPIRE_DAYS_MAX))]
    expire_days: Option<u32>,
    /// Create a trail that writes to the new bucket of CloudTrail's service
    #[arg(long)]
    trail: bool,
    /// ARN of the SNS topic that the alarms on dead letters notify
    #[arg(long, value_name = "ARN", value_parser = arn::topic)]
    alarm_topic: Option<String>,
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
pub fn cloudformation(options: &Options, extras: Extras) -> ExitCode {
    let Extras { expire_days, trail, alarm_topic } = extras;
    let extras = setup::Extras { expire_days, trail, alarm_topic };
    let document = needs(options).and_then(|(mut needs, audits)| {
        if options.input.is_empty() {
            omit_crowdstrikes(&mut needs)?;
        }
        let wishes = Wishes { extras, ..wishes(options, audits) };
        setup::template(&needs, &wishes).map_err(|error| error.to_string())
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
    let needs = needs.in_regions(&options.region).map_err(|error| error.to_string())?;
    Ok((needs, config.globals.audit.is_some()))
}

/// Removes the queues that CrowdStrike has created. The error says that there was nothing else.
fn omit_crowdstrikes(needs: &mut Needs) -> Result<(), String> {
    let count = needs.queues.len();
    needs.queues.retain(|queue| !queue.is_crowdstrikes());
    let is_nothing = needs.queues.is_empty() && needs.calls.is_empty();
    if count > 0 && is_nothing {
        return Err("there is nothing to create: CrowdStrike's own queues are omitted unless --input names them, for \
                    a queue of yours"
            .to_owned());
    }
    Ok(())
}

fn wishes(options: &Options, audits: bool) -> Wishes {
    Wishes {
        buckets: once(&options.bucket),
        kms_keys: once(&options.kms_key),
        dead_letters: once(&options.dead_letters),
        versioned: options.versioned,
        list: options.list,
        audit: options.audit || audits,
        extras: setup::Extras::default(),
    }
}

/// Each value once.
fn once<T: Clone + PartialEq>(values: &[T]) -> Vec<T> {
    let mut known = Vec::new();
    for value in values {
        if !known.contains(value) {
            known.push(value.clone());
        }
    }
    known
}

fn print(document: Result<Document, String>) -> ExitCode {
    match document {
        Ok(Document { json, notes }) => {
            for note in notes {
                let _ = writeln!(io::stderr(), "note: {note}");
            }
            let _ = writeln!(Out, "{json:#}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}
