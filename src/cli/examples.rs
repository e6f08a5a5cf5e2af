//! The examples at the end of every `--help`.

use clap::{Command, CommandFactory as _};

use super::arguments::Arguments;

/// An example's purpose and its command line.
type Example = (&'static str, &'static str);

/// A command by its words (`ledger show`) and its examples.
const COLLECTING: &[(&str, &[Example])] = &[
    (
        "",
        &[
            #[cfg(feature = "lab")]
            ("See it work on this machine, without AWS or Devo", "aws-to-devo demo"),
            ("Write a first configuration", "aws-to-devo init"),
            ("Try everything out; nothing is sent or deleted", "aws-to-devo check --online config.yaml"),
            ("Collect", "aws-to-devo run --config config.yaml"),
        ],
    ),
    (
        "run",
        &[
            ("Collect until SIGTERM or Ctrl-C", "aws-to-devo run --config config.yaml"),
            ("Empty the queues, then exit", "aws-to-devo run --config config.yaml --drain"),
            ("Log lines as JSON", "aws-to-devo --log-format json run --config config.yaml"),
        ],
    ),
    (
        "audit",
        &[
            ("Is anything missing from the last day?", "aws-to-devo audit --config config.yaml"),
            ("Send what is missing, then audit again", "aws-to-devo audit --config config.yaml --fix"),
            (
                "One day of one input, for a script",
                "aws-to-devo audit --config config.yaml --input sqs_collector --from 2026-11-01 --to 2026-11-02 --json",
            ),
        ],
    ),
    (
        "fleet",
        &[
            ("Which host polls what?", "aws-to-devo fleet --config config.yaml"),
            ("The same for a script", "aws-to-devo fleet --config config.yaml --json"),
        ],
    ),
    (
        "backfill",
        &[
            (
                "List what would be sent, and its size",
                "aws-to-devo backfill s3://logs/AWSLogs/ --config config.yaml --service aws_sqs_cloudtrail --dry-run",
            ),
            (
                "Send what was written in January",
                "aws-to-devo backfill s3://logs/AWSLogs/ --config config.yaml --service aws_sqs_cloudtrail \
                 --from 2026-01-01 --to 2026-02-01",
            ),
            (
                "Send one object, and none whose key begins with its key",
                "aws-to-devo backfill --exact s3://logs/AWSLogs/a.json.gz --config config.yaml --service aws_sqs_cloudtrail",
            ),
        ],
    ),
    (
        "check",
        &[
            ("Check only the file", "aws-to-devo check config.yaml"),
            (
                "Also try credentials, queues, objects, sources and outputs",
                "aws-to-devo check config.yaml --online",
            ),
            ("Show records as they would arrive", "aws-to-devo check config.yaml --sample"),
            ("Show what the vendor's file becomes", "aws-to-devo check config.json --migrate"),
            ("Check a change in CI", "aws-to-devo check config.yaml --strict --json"),
            (
                "Check a file from the vendor's cloud server, which has no outputs",
                "aws-to-devo check cloud.json --output outputs.yaml",
            ),
        ],
    ),
    (
        "init",
        &[
            ("Answer a few questions", "aws-to-devo init"),
            (
                "Collect CloudTrail's objects, for Devo in the USA",
                "aws-to-devo init --queue https://sqs.us-east-1.amazonaws.com/111111111111/cloudtrail-logs \
                 --service aws_sqs_cloudtrail --devo us",
            ),
            (
                "Print GuardDuty's findings on the terminal",
                "aws-to-devo init --poll aws-guardduty --region us-east-1 --console --file try.yaml",
            ),
        ],
    ),
    (
        "iam-policy",
        &[
            ("Who reads", "aws-to-devo iam-policy --config config.yaml --bucket logs"),
            (
                "Print the policy of the role before the last one",
                "aws-to-devo iam-policy --config config.yaml --identity base-role",
            ),
        ],
    ),
    (
        "cloudformation",
        &[
            (
                "Queues, a bucket that announces its objects, and a policy",
                "aws-to-devo cloudformation --config config.yaml > stack.json",
            ),
            (
                "Use a bucket that exists already",
                "aws-to-devo cloudformation --config config.yaml --bucket logs > stack.json",
            ),
        ],
    ),
    ("ledger", &[("What was delivered lately", "aws-to-devo ledger show --config config.yaml")]),
    (
        "ledger show",
        &[(
            "Objects of one day",
            "aws-to-devo ledger show --config config.yaml --match 2026/01/31 --limit 500",
        )],
    ),
    (
        "ledger export",
        &[("Take a host's ledger along", "aws-to-devo ledger export --config config.yaml ledger.jsonl")],
    ),
    (
        "ledger import",
        &[(
            "Into the table that config.yaml names",
            "aws-to-devo ledger import --config config.yaml ledger.jsonl",
        )],
    ),
    (
        "ledger forget",
        &[(
            "Forget the objects of one day: they are sent again when announced again",
            "aws-to-devo ledger forget --config config.yaml --match 2026/01/31 --input 10001",
        )],
    ),
    (
        "services",
        &[
            ("All of them", "aws-to-devo services"),
            ("Show what one service's objects become", "aws-to-devo services aws_sqs_vpc"),
            ("For a program", "aws-to-devo services --json"),
        ],
    ),
    (
        "preview",
        &[
            (
                "Preview a file with a built-in service",
                "aws-to-devo preview flows.log.gz --service aws_sqs_vpc",
            ),
            (
                "Preview an object in S3 with a service of the configuration",
                "aws-to-devo preview s3://logs/firewall/threat-log/x.gz --config config.yaml --service custom_firewall",
            ),
            (
                "Preview another program's lines, as the object with this key",
                "aws-to-devo preview - --service custom_firewall --config config.yaml --key firewall/traffic/x --json",
            ),
        ],
    ),
    (
        "top",
        &[
            ("Show this machine's collector", "aws-to-devo top"),
            ("Show another host's, once, without colors", "aws-to-devo top logs-2:9600 --once --plain"),
        ],
    ),
    (
        "completions",
        &[
            (
                "Install for all users of bash",
                "aws-to-devo completions bash > /usr/share/bash-completion/completions/aws-to-devo",
            ),
            (
                "Install for yourself, with fish",
                "aws-to-devo completions fish > ~/.config/fish/completions/aws-to-devo.fish",
            ),
        ],
    ),
    (
        "man",
        &[
            ("Read it", "aws-to-devo man | man -l -"),
            ("Install a page for each command", "aws-to-devo man --into /usr/local/share/man/man1"),
        ],
    ),
    (
        "schema",
        &[(
            "For an editor: name the file in the configuration's first line, # yaml-language-server: $schema=schema.json",
            "aws-to-devo schema > schema.json",
        )],
    ),
];

#[cfg(feature = "lab")]
const LAB: &[(&str, &[Example])] = super::lab::EXAMPLES;
#[cfg(not(feature = "lab"))]
const LAB: &[(&str, &[Example])] = &[];

fn all() -> impl Iterator<Item = &'static (&'static str, &'static [Example])> {
    COLLECTING.iter().chain(LAB)
}

/// The command line, with examples.
pub fn command() -> Command {
    with_examples(Arguments::command(), "")
}

fn with_examples(command: Command, words: &str) -> Command {
    let own = all().find(|(name, _)| *name == words).map_or(&[][..], |(_, examples)| *examples);
    let command = if own.is_empty() { command } else { command.after_help(text(own)) };
    command.mut_subcommands(|below| {
        let words = format!("{words} {}", below.get_name());
        with_examples(below, words.trim_start())
    })
}

fn text(examples: &[Example]) -> String {
    let lines = examples.iter().map(|(what, line)| format!("\n  {what}:\n    {line}"));
    format!("Examples:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn each(command: &Command, words: &str, see: &mut impl FnMut(&str, &Command)) {
        see(words, command);
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            each(below, format!("{words} {}", below.get_name()).trim_start(), see);
        }
    }

    #[test]
    fn every_help_ends_with_examples() {
        let mut seen = 0;
        each(&command(), "", &mut |words, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "{words:?} has no examples");
            seen += 1;
        });
        assert_eq!(seen, all().count(), "an example is of no command");
        command().debug_assert();
    }

    /// What follows `>` and `|` is the shell's.
    #[test]
    fn every_example_is_understood() {
        for (words, examples) in all() {
            for (_, line) in *examples {
                let own = line.split(['>', '|']).next().unwrap();
                let arguments: Vec<&str> = own.split_whitespace().collect();
                let understood = Arguments::try_parse_from(&arguments);
                assert!(understood.is_ok(), "{line}: {}", understood.unwrap_err());
                let mut rest = arguments.iter();
                assert!(
                    words.split_whitespace().all(|word| rest.any(|it| *it == word)),
                    "{line} is not of {words}"
                );
            }
        }
    }
}
