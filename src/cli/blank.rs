//! Empty values on the command line, as an unset variable of a shell leaves them: an empty filter would select everything.

use std::ffi::OsStr;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error};

/// The option that says what an empty one must not mean.
const ALL: &str = "all";

/// Refuses arguments without a visible character, of every command. `command` has been built.
///
/// # Errors
/// The first of them, as an error of usage.
pub fn refuse(command: &Command, matches: &ArgMatches) -> Result<(), Error> {
    match command.get_arguments().find(|argument| is_blank(argument, matches)) {
        Some(argument) => Err(command.clone().error(ErrorKind::InvalidValue, message(command, argument))),
        None => match matches.subcommand() {
            Some((name, own)) => command.find_subcommand(name).map_or(Ok(()), |below| refuse(below, own)),
            None => Ok(()),
        },
    }
}

fn is_blank(argument: &Arg, matches: &ArgMatches) -> bool {
    let id = argument.get_id().as_str();
    let takes_values = argument.get_action().takes_values();
    takes_values
        && matches.value_source(id) == Some(ValueSource::CommandLine)
        && matches.get_raw(id).is_some_and(|mut values| values.any(is_empty))
}

fn is_empty(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

fn message(command: &Command, argument: &Arg) -> String {
    let can_be_absent = !argument.is_required_set() && !argument.is_positional();
    let absent = if can_be_absent { ", or leave the option out" } else { "" };
    let has_all = command.get_arguments().any(|other| other.get_long() == Some(ALL));
    let all = if has_all { format!("; for everything, write --{ALL}") } else { String::new() };
    format!(
        "the value of '{argument}' is empty (is a variable of the shell not set?): write one{absent}{all}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn refusal(words: &[&str]) -> String {
        let mut command = cli::command();
        command.build();
        let words = [&["aws-to-devo"], words].concat();
        match command.clone().try_get_matches_from(&words) {
            Ok(matches) => {
                refuse(&command, &matches).err().map(|error| error.to_string()).unwrap_or_default()
            }
            Err(error) => error.to_string(),
        }
    }

    /// Every option with a value.
    fn options(command: &Command, found: &mut Vec<Arg>) {
        let own = command.get_arguments().filter(|argument| argument.get_action().takes_values());
        found.extend(own.filter(|argument| argument.get_long().is_some()).cloned());
        command.get_subcommands().for_each(|below| options(below, found));
    }

    #[test]
    fn nothing_is_chosen_by_an_empty_text() {
        for blank in ["", " ", "\t\n"] {
            for option in ["--match", "--input"] {
                let error = refusal(&["ledger", "forget", "--config", "c", option, blank]);
                assert!(error.contains(option) && error.contains("write --all"), "{error}");
                let error = refusal(&["ledger", "show", "--config", "c", option, blank]);
                assert!(error.contains(option) && error.contains("is empty"), "{error}");
            }
        }
        assert_eq!(refusal(&["ledger", "forget", "--config", "c", "--match", "a"]), "");
        assert_eq!(refusal(&["backfill", "s3://b/", "--config", "c", "--service", "s"]), "");
    }

    #[test]
    fn no_option_of_any_command_may_be_empty() {
        let mut command = cli::command();
        command.build();
        let mut found = Vec::new();
        options(&command, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for option in found {
            let long = option.get_long().unwrap().to_owned();
            // Alone, since its command may need others.
            let reader = option.get_value_parser().clone();
            let alone = Arg::new("option").long("option").value_parser(reader);
            let mut command = Command::new("x").arg(alone.action(option.get_action().clone()));
            command.build();
            match command.clone().try_get_matches_from(["x", "--option="]) {
                Ok(matches) => assert!(refuse(&command, &matches).is_err(), "--{long}"),
                // Its own reader refuses it.
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn forgetting_names_all_of_its_choices() {
        let error = refusal(&["ledger", "forget", "--config", "c"]);
        for choice in ["--match", "--input", "--all"] {
            assert!(error.contains(choice), "{error}");
        }
        assert!(refusal(&["ledger", "forget", "--config", "c", "--all", "--input", "1"]).contains("--all"));
        assert_eq!(refusal(&["ledger", "forget", "--config", "c", "--all"]), "");
        assert_eq!(refusal(&["ledger", "forget", "--config", "c", "--input", "1", "--match", "a"]), "");
    }
}
