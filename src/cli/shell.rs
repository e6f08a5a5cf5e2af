//! The `completions`, `man` and `schema` commands, for shells, `man` and editors.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use rustix::fs::Mode;

use super::{examples, version};
use crate::base::out::Out;
use crate::config::schema;

/// The program's name in a shell.
const NAME: &str = "aws-to-devo";

/// The name in bash's script, whose functions and labels are made of it: clap_complete spells a hyphen in two ways there.
const NAME_IN_BASH: &str = "aws_to_devo";

/// Prints a shell's completion script.
pub fn completions(shell: Shell) -> ExitCode {
    print(script(shell).as_bytes())
}

fn script(shell: Shell) -> String {
    let name = if shell == Shell::Bash { NAME_IN_BASH } else { NAME };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(&examples::command()), name, &mut script);
    // The program's own name is the last word of the lines that register the function.
    String::from_utf8_lossy(&script)
        .replace(&format!("default {NAME_IN_BASH}\n"), &format!("default {NAME}\n"))
}

/// The command line without its hidden commands, which clap_complete would offer.
fn visible(command: &Command) -> Command {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    Command::new(NAME).version(version::line()).args(command.get_arguments()).subcommands(below)
}

/// Prints the manual page, or writes one for each command into a folder.
pub fn man(into: Option<&Path>) -> ExitCode {
    let Some(folder) = into else { return print(&page()) };
    // Manual pages are for all users, unlike the other files of this program.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let made =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(examples::command(), folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot write manual pages into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn page() -> Vec<u8> {
    let mut page = Vec::new();
    // `help` has no page of its own. Writing to memory does not fail.
    let _ = Man::new(examples::command().disable_help_subcommand(true)).render(&mut page);
    page
}

/// Prints the JSON Schema of a configuration.
pub fn schema() -> ExitCode {
    print(format!("{:#}\n", schema::schema()).as_bytes())
}

fn print(text: &[u8]) -> ExitCode {
    let _ = Out.write_all(text);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use clap::ValueEnum as _;

    use super::*;

    /// The words that bash offers for the last one.
    fn offered(words: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, script(Shell::Bash)).unwrap();
        // Bash does the same: the function that is registered for the program gets the program, the word and the one before it.
        let ask = r#"
            . "$1"; shift
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\) .*/\1/')
            "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" || exit 1
            printf '%s\n' "${COMPREPLY[@]}""#;
        let answer = Process::new("bash").args(["-c", ask, "bash"]).arg(&file).args(words).output().unwrap();
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(answer.status.success() && said.is_empty(), "{words:?}: {said}");
        String::from_utf8(answer.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_every_command() {
        fn each(command: &Command, words: &[&str]) {
            let options = offered(&[words, &["--"]].concat());
            for long in command.get_arguments().filter(|it| !it.is_hide_set()).filter_map(|it| it.get_long())
            {
                assert!(options.contains(&format!("--{long}")), "{words:?} --{long}: {options:?}");
            }
            let below = offered(&[words, &[""]].concat());
            for command in command.get_subcommands() {
                let name = command.get_name();
                assert_eq!(below.iter().any(|word| word == name), !command.is_hide_set(), "{words:?} {name}");
                if !command.is_hide_set() {
                    each(command, &[words, &[name]].concat());
                }
            }
        }
        each(&examples::command(), &[NAME]);
        assert_eq!(offered(&[NAME, "run", "--conf"]), ["--config"]);
        assert_eq!(offered(&[NAME, "ledger", "exp"]), ["export"]);
        assert!(offered(&[NAME, "--log-format", ""]).contains(&"json".to_owned()));
    }

    #[test]
    fn no_script_offers_hidden_commands() {
        let command = examples::command();
        let hidden = command.get_subcommands().filter(|below| below.is_hide_set());
        let hidden: Vec<&str> = hidden.map(Command::get_name).collect();
        for shell in Shell::value_variants() {
            let script = script(*shell);
            assert!(script.contains("iam-policy"), "{shell}");
            for name in &hidden {
                let word = regex::Regex::new(&format!(r"\b{name}\b")).unwrap();
                assert!(!word.is_match(&script), "{shell} offers {name}");
            }
        }
    }

    #[test]
    fn the_manual_names_only_pages_that_exist() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(man(Some(folder.path())), ExitCode::SUCCESS);
        let page = String::from_utf8(page()).unwrap().replace('\\', "");
        let names = regex::Regex::new(r"aws-to-devo[a-z-]*\(1\)").unwrap();
        let names: Vec<&str> = names.find_iter(&page).map(|found| found.as_str()).collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let file = folder.path().join(name.replace("(1)", ".1"));
            assert!(file.exists(), "{name} does not exist");
        }
    }
}
