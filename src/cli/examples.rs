//! The examples at the end of every `--help`.

use clap::{Command, CommandFactory as _};

use super::arguments::Arguments;

/// What an example does, and its line.
type Example = (&'static str, &'static str);

/// A command by its words (`ledger show`), and its examples.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("See it work on this machine, without AWS and Devo", "aws-to-devo demo"),
            ("Write a first configuration", "aws-to-devo init"),
            ("Try everything out; nothing is received or sent", "aws-to-devo check --online config.yaml"),
            ("Collect", "aws-to-devo run --config config.yaml"),
        ],
    ),
    (
        "run",
        &[
            ("Collect until SIGTERM or Ctrl-C", "aws-to-devo run --config config.yaml"),
            ("Empty the queues, then end", "aws-to-devo run --config config.yaml --drain"),
            ("Log lines as JSON", "aws-to-devo --log-format json run --config config.yaml"),
        ],
    ),
    (
        "audit",
        &[
            ("Is anything missing of the last day?", "aws-to-devo audit --config config.yaml"),
            ("Send what is missing, then look again", "aws-to-devo audit --config config.yaml --fix"),
            (
                "One day of one input, for a script",
                "aws-to-devo audit --config config.yaml --input sqs_collector --from 2026-11-01 --to 2026-11-02 --json",
            ),
        ],
    ),
    (
        "backfill",
        &[
            (
                "What would be sent, and how much",
                "aws-to-devo backfill s3://logs/AWSLogs/ --config config.yaml --service aws_sqs_cloudtrail --dry-run",
            ),
            (
                "Send what was written in January",
                "aws-to-devo backfill s3://logs/AWSLogs/ --config config.yaml --service aws_sqs_cloudtrail \
                 --from 2026-01-01 --to 2026-02-01",
            ),
        ],
    ),
    (
        "check",
        &[
            ("Look at the file only", "aws-to-devo check config.yaml"),
            (
                "Try credentials, queues, objects, sources and outputs as well",
                "aws-to-devo check config.yaml --online",
            ),
            ("Show what would arrive", "aws-to-devo check config.yaml --sample"),
            ("What the vendor's file becomes", "aws-to-devo check config.json --migrate"),
            ("In a pipeline of changes", "aws-to-devo check config.yaml --strict --json"),
            (
                "A file of the vendor's cloud server, which has no outputs",
                "aws-to-devo check cloud.json --output outputs.yaml",
            ),
        ],
    ),
    ("demo", &[("Run it", "aws-to-devo demo"), ("See what it runs on", "aws-to-devo demo --print-config")]),
    (
        "init",
        &[
            ("Answer a few questions", "aws-to-devo init"),
            (
                "CloudTrail's objects, to Devo in the USA",
                "aws-to-devo init --queue https://sqs.us-east-1.amazonaws.com/111111111111/cloudtrail-logs \
                 --service aws_sqs_cloudtrail --devo us",
            ),
            (
                "GuardDuty's findings, to the terminal, as a try",
                "aws-to-devo init --poll aws-guardduty --region us-east-1 --console --file try.yaml",
            ),
        ],
    ),
    (
        "iam-policy",
        &[
            ("Who reads", "aws-to-devo iam-policy --config config.yaml --bucket logs"),
            (
                "The role before the last one",
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
                "For logs that are in a bucket already",
                "aws-to-devo cloudformation --config config.yaml --bucket logs > stack.json",
            ),
        ],
    ),
    (
        "bench",
        &[
            ("Speed and cost on this machine", "aws-to-devo bench"),
            (
                "VPC flow logs for a minute, with memory over time",
                "aws-to-devo bench --service aws_sqs_vpc --seconds 60",
            ),
            ("Your own objects", "aws-to-devo bench --service aws_sqs_waf --files samples/"),
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
        "ledger forget",
        &[(
            "Have the objects of one day sent again, when they are announced again",
            "aws-to-devo ledger forget --config config.yaml --match 2026/01/31 --input 10001",
        )],
    ),
    (
        "services",
        &[
            ("All of them", "aws-to-devo services"),
            ("What becomes of one service's objects", "aws-to-devo services aws_sqs_vpc"),
            ("For a program", "aws-to-devo services --json"),
        ],
    ),
    (
        "preview",
        &[
            ("A file, by a pre-built service", "aws-to-devo preview flows.log.gz --service aws_sqs_vpc"),
            (
                "An object in S3, by a service of the configuration",
                "aws-to-devo preview s3://logs/firewall/threat-log/x.gz --config config.yaml --service custom_firewall",
            ),
            (
                "Lines from another program, as if they stood under a key",
                "aws-to-devo preview - --service custom_firewall --config config.yaml --key firewall/traffic/x --json",
            ),
        ],
    ),
    (
        "top",
        &[
            ("The collector of this machine", "aws-to-devo top"),
            ("Another one, once, without colours", "aws-to-devo top logs-2:9600 --once --plain"),
        ],
    ),
    (
        "completions",
        &[
            (
                "For all users of bash",
                "aws-to-devo completions bash > /usr/share/bash-completion/completions/aws-to-devo",
            ),
            (
                "For yourself, with fish",
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

/// The command line, with examples.
pub fn command() -> Command {
    with_examples(Arguments::command(), "")
}

fn with_examples(command: Command, words: &str) -> Command {
    let own = EXAMPLES.iter().find(|(name, _)| *name == words).map_or(&[][..], |(_, examples)| *examples);
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
        assert_eq!(seen, EXAMPLES.len(), "an example is of no command");
        command().debug_assert();
    }

    /// What follows `>` and `|` is the shell's.
    #[test]
    fn every_example_is_understood() {
        for (words, examples) in EXAMPLES {
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
