//! The `completions`, `man` and `schema` commands, for shells, `man` and editors.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;
use rustix::fs::Mode;

use super::examples;
use crate::base::out::Out;
use crate::config::schema;

/// The program's name in a shell.
const NAME: &str = "aws-to-devo";

/// Prints a shell's completion script.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut examples::command(), NAME, &mut script);
    print(&script)
}

/// Prints the manual page, or writes one for each command into a folder.
pub fn man(into: Option<&Path>) -> ExitCode {
    let Some(folder) = into else {
        let mut page = Vec::new();
        // Writing to memory does not fail.
        let _ = Man::new(examples::command()).render(&mut page);
        return print(&page);
    };
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

/// Prints the JSON Schema of a configuration.
pub fn schema() -> ExitCode {
    print(format!("{:#}\n", schema::schema()).as_bytes())
}

fn print(text: &[u8]) -> ExitCode {
    let _ = Out.write_all(text);
    ExitCode::SUCCESS
}
