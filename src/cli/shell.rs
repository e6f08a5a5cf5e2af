//! What shells, `man` and editors are given: `completions`, `man`, `schema`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;
use rustix::fs::Mode;

use super::examples;
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
        // Memory takes all of it.
        let _ = Man::new(examples::command()).render(&mut page);
        return print(&page);
    };
    // Manual pages are for everybody, unlike what else this program writes.
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
    match io::stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
