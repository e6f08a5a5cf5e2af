//! Tells the program which commit it is built from: `--version` says so. A release only: other builds are not made
//! again for every commit.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let profile = env::var("PROFILE").unwrap_or_default();
    let commit = if profile == "release" { of_git().or_else(of_archive) } else { None };
    println!("cargo:rustc-env=A2D_COMMIT={}", commit.unwrap_or_default());
    println!("cargo:rustc-env=A2D_PROFILE={profile}");
    println!("cargo:rustc-env=A2D_TARGET={}", env::var("TARGET").unwrap_or_default());
}

/// The commit and its date, where this folder is a repository of its own.
fn of_git() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // Another commit, and a change that is in none.
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=src");
    let commit = git(&["show", "--no-patch", "--format=%h %cs", "--abbrev=12", "HEAD"])?;
    let (hash, date) = commit.split_once(' ')?;
    let changed = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|text| !text.is_empty());
    Some(format!("{hash}{} of {date}", if changed { " with changes" } else { "" }))
}

/// What `git archive` wrote into a tarball.
fn of_archive() -> Option<String> {
    println!("cargo:rerun-if-changed=.commit");
    let text = std::fs::read_to_string(".commit").ok()?;
    let text = text.trim();
    (!text.is_empty() && !text.contains('$')).then(|| text.to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
