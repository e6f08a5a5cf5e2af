//! Mechanisms that are taken out one at a time: whether the simulation notices that they are missing, and at which seed.
//!
//! `mechanisms.yaml` says for each of them what is written differently. All of them are built at once, each with a switch.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{Arguments, copy, in_parallel, wait, write_if_new, write_switches};

const LIST: &str = "mutants/mechanisms.yaml";
/// In the text of an edit, it stands for the condition that the mechanism is taken out.
const SWITCH: &str = "PLANTED";
/// The most faults of a seed, unless a mechanism says otherwise; `simulate` has the same default.
const FAULTS_MAX: u64 = 6;
/// The longest time for a seed, which usually takes one to ten seconds.
const SEED_TIMEOUT: Duration = Duration::from_secs(240);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mechanism {
    /// The mechanism, in a sentence without its end.
    taken_out: String,
    /// The kinds of faults that bring it out, as `simulate --faults` takes them, or "all".
    faults: String,
    #[serde(default = "faults_max")]
    faults_max: u64,
    /// The seeds that are tried; if there are none, all from 1 on.
    #[serde(default)]
    seeds: Vec<u64>,
    edits: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    /// A text that the file has once.
    from: String,
    to: String,
}

fn faults_max() -> u64 {
    FAULTS_MAX
}

/// The first seed that noticed, and what it said; or the number of seeds that did not.
enum Finding {
    Seed(u64, String),
    Nothing(usize),
}

/// Builds the collector with all mechanisms behind switches, and prints a row of a table for each that is tried.
pub fn run(arguments: &Arguments) -> Result<()> {
    let text =
        fs::read_to_string(arguments.root.join(LIST)).with_context(|| format!("{LIST} cannot be read"))?;
    let mechanisms: Vec<Mechanism> = serde_saphyr::from_str(&text).with_context(|| LIST.to_owned())?;
    let tree = arguments.out.join("mechanisms");
    plant(&arguments.root, &tree, &mechanisms)?;
    let is_chosen = |one: &Mechanism| {
        arguments.parts.is_empty() || arguments.parts.iter().any(|part| one.taken_out.contains(part))
    };
    let chosen: Vec<_> = mechanisms.iter().enumerate().filter(|(_, one)| is_chosen(one)).collect();
    if arguments.only_list {
        for (_, one) in &chosen {
            println!("{}", one.taken_out);
        }
        return Ok(());
    }
    let program = build(&tree, &arguments.out.join("simulate"))?;
    let findings = in_parallel(arguments.jobs, &chosen, |worker, &(number, one)| {
        let notes = arguments.out.join(format!("simulated-{worker}"));
        let finding = try_seeds(&program, number, one, arguments.patience, &notes);
        let faults = match one.faults_max {
            FAULTS_MAX => one.faults.clone(),
            most => format!("{}, up to {most}", one.faults),
        };
        match &finding {
            Ok(Finding::Seed(seed, why)) => println!("| {} | {faults} | {seed} | {why} |", one.taken_out),
            Ok(Finding::Nothing(seeds)) => println!("| {} | {faults} | none of {seeds} | |", one.taken_out),
            Err(error) => println!("| {} | {faults} | | {error:#} |", one.taken_out),
        }
        finding
    });
    let findings = findings.into_iter().collect::<Result<Vec<_>>>()?;
    let found = findings.iter().filter(|finding| matches!(finding, Finding::Seed(..))).count();
    println!("{found} of {} are noticed", findings.len());
    Ok(())
}

/// Writes the tree with every mechanism behind its switch.
fn plant(root: &Path, tree: &Path, mechanisms: &[Mechanism]) -> Result<()> {
    let edits = || {
        mechanisms
            .iter()
            .enumerate()
            .flat_map(|(number, one)| one.edits.iter().map(move |edit| (number, one, edit)))
    };
    let originals = copy(root, tree, |name| edits().any(|(.., edit)| edit.file == name))?;
    for (.., one, edit) in edits() {
        ensure!(
            originals.contains_key(&edit.file),
            "{LIST}: {}: there is no file {}",
            one.taken_out,
            edit.file
        );
    }
    for (file, original) in &originals {
        let mut text = original.clone();
        for (number, one, edit) in edits().filter(|(.., edit)| edit.file == *file) {
            let times = text.matches(&edit.from).count();
            ensure!(
                times == 1,
                "{LIST}: {}: {file} has the text that it replaces {times} times, not once: write it as it is there now",
                one.taken_out
            );
            text =
                text.replace(&edit.from, &edit.to.replace(SWITCH, &format!("crate::mutants::on({number})")));
        }
        write_if_new(&tree.join(file), text.as_bytes())?;
    }
    write_switches(tree, mechanisms.len())
}

/// Builds the collector as it is in this tree, and returns the program's path.
pub fn build(tree: &Path, target: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .current_dir(tree)
        .args(["build", "--locked", "--release", "--config", "profile.release.debug=false", "--target-dir"])
        .arg(target)
        .status()?;
    ensure!(status.success(), "the collector does not compile with these edits");
    Ok(target.join("release/aws-to-devo"))
}

fn try_seeds(
    program: &Path,
    number: usize,
    one: &Mechanism,
    patience: Duration,
    notes: &Path,
) -> Result<Finding> {
    let begin = Instant::now();
    let all = 1..;
    let seeds: &mut dyn Iterator<Item = u64> =
        if one.seeds.is_empty() { &mut all.into_iter() } else { &mut one.seeds.iter().copied() };
    let mut tried = 0;
    for seed in seeds {
        if begin.elapsed() > patience {
            break;
        }
        tried += 1;
        if let Some(why) = simulate(program, number, one, seed, notes)? {
            return Ok(Finding::Seed(seed, why));
        }
    }
    Ok(Finding::Nothing(tried))
}

/// Runs a seed, and returns the invariant that it breaks.
fn simulate(
    program: &Path,
    number: usize,
    one: &Mechanism,
    seed: u64,
    notes: &Path,
) -> Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(["simulate", "--seed", &seed.to_string(), "--faults-max", &one.faults_max.to_string()]);
    if one.faults != "all" {
        command.args(["--faults", &one.faults]);
    }
    let mut child = command
        .env("MUTANT", number.to_string())
        .stdin(Stdio::null())
        .stdout(File::create(notes)?)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let Some(status) = wait(&mut child, SEED_TIMEOUT) else {
        return Ok(Some("the seed does not end".to_owned()));
    };
    if status.success() {
        return Ok(None);
    }
    let said = fs::read_to_string(notes)?;
    let broken = said.lines().find(|line| line.starts_with("seed "));
    // "seed 7: after 12.3 s: the invariant: why"
    let invariant = broken.and_then(|line| line.split(": ").nth(2));
    invariant.map(|invariant| Some(invariant.to_owned())).with_context(|| format!("{status}: {said}"))
}
