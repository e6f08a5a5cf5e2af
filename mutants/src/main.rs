//! Mutation testing in one build: every small fault of the chosen files is compiled into the tests at once, and switched on by
//! its number.
//!
//! `cargo mutants` compiles the tests again for each fault, which takes a minute. This program compiles them once. It runs each
//! test alone to see which faults it reaches, and tries a fault only with the tests that reach it, the quickest first.
//!
//! ```text
//! mutants ROOT OUT [--jobs N] [--patience SECONDS] [--tests PART]... [--seeds N] [--again] [--list] PATH...
//! mutants ROOT OUT --simulate [--jobs N] [--patience SECONDS] [--list] [PART]...
//! ```
//!
//! `PATH` is the beginning of a path below the collector's `src`: `ack/`, `stages/send/caution.rs`. The faults that no test notices are
//! printed, but for those that have a [reason](reasons), and all results are written to `OUT/results.tsv`. With `--seeds`, the first seeds of the simulation count as tests too. The
//! second form plants whole [`mechanisms`] that are missing, and asks the simulation alone.

mod mechanisms;
mod plant;
mod reasons;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use plant::{Mutant, plant};
use reasons::Reasons;
use serde_json::Value;

/// The tests that are run: those of the library, and those that compare whole objects with golden files.
const TESTS: [&str; 5] = ["--lib", "--test", "golden", "--test", "forms"];
/// The most memory of a test's process, in KiB.
const MEMORY_MAX: &str = "8000000";
/// The most that tests of one process take together, without a fault.
const BATCH_TIME: Duration = Duration::from_secs(3);
const BATCH_MAX: usize = 60;

struct Arguments {
    root: PathBuf,
    out: PathBuf,
    jobs: usize,
    /// Tests of a fault that take longer in sum are not run.
    patience: Duration,
    /// Only tests whose names contain one of these are run; all if there are none.
    tests: Vec<String>,
    /// Seeds of the simulation that are run besides the tests, from 1 on.
    seeds: u64,
    /// Faults that an earlier run has caught are not tried again.
    again: bool,
    only_list: bool,
    /// The simulation is asked about missing mechanisms, not the tests about small faults.
    simulate: bool,
    /// The beginnings of paths, or parts of the names of mechanisms.
    parts: Vec<String>,
}

/// A fault, in which file, and in what range of the planted file.
struct Place {
    file: String,
    /// The line that it is in.
    text: String,
    mutant: Mutant,
    range: std::ops::Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.mutant.line, self.mutant.what)
    }
}

struct Test {
    check: Check,
    takes: Duration,
    reaches: Vec<usize>,
}

/// A test of the library, or a seed of the simulation, with its program.
#[derive(Clone)]
enum Check {
    Test(PathBuf, String),
    Seed(PathBuf, u64),
}

impl Check {
    /// True if one process can run both.
    fn runs_with(&self, other: &Check) -> bool {
        matches!((self, other), (Check::Test(one, _), Check::Test(another, _)) if one == another)
    }

    fn command(checks: &[&Check]) -> Command {
        // Where a fault makes it take memory without end, it dies.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY_MAX}; exec \"$@\""), "sh"]);
        match checks[0] {
            Check::Test(binary, _) => command.arg(binary).args(["--exact", "--test-threads", "4"]),
            Check::Seed(program, _) => command.arg(program).args(["simulate", "--seed"]),
        };
        command.args(checks.iter().map(|check| match check {
            Check::Test(_, name) => name.clone(),
            Check::Seed(_, seed) => seed.to_string(),
        }));
        command
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Test(_, name) => f.write_str(name),
            Check::Seed(_, seed) => write!(f, "seed {seed}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Caught,
    /// The tests did not end.
    Hung,
    Missed,
    /// No test comes to its place.
    NotReached,
}

impl Verdict {
    const ALL: [Verdict; 4] = [Verdict::Caught, Verdict::Hung, Verdict::Missed, Verdict::NotReached];

    fn is_noticed(self) -> bool {
        matches!(self, Verdict::Caught | Verdict::Hung)
    }
}

/// The verdicts of this run and of earlier ones, by fault: a line each in a file.
struct Results {
    path: PathBuf,
    verdicts: BTreeMap<String, Verdict>,
}

impl Results {
    fn read(out: &Path) -> Result<Self> {
        let path = out.join("results.tsv");
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let line = |line: &str| {
            let (fault, name) = line.rsplit_once('\t')?;
            let verdict = Verdict::ALL.into_iter().find(|verdict| format!("{verdict:?}") == name)?;
            Some((fault.to_owned(), verdict))
        };
        let verdicts = text.lines().filter_map(line).collect();
        Ok(Self { path, verdicts })
    }

    fn of(&self, place: &Place) -> Option<Verdict> {
        self.verdicts.get(&place.to_string()).copied()
    }

    fn add(&mut self, places: &[Place], verdicts: &[Verdict]) -> Result<()> {
        self.verdicts.extend(places.iter().map(Place::to_string).zip(verdicts.iter().copied()));
        let lines: String =
            self.verdicts.iter().map(|(fault, verdict)| format!("{fault}\t{verdict:?}\n")).collect();
        Ok(fs::write(&self.path, lines)?)
    }
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    if arguments.simulate {
        return mechanisms::run(&arguments);
    }
    let reasons = Reasons::read(&arguments.root)?;
    let mut tree = Tree::new(&arguments)?;
    if arguments.only_list {
        for place in tree.plant()? {
            println!("{place}");
        }
        return Ok(());
    }
    let (places, binaries) = tree.build()?;
    println!("{} faults in one build; {} more do not compile", places.len(), tree.refused.len());
    let mut checks = tests(&arguments, &binaries)?;
    if arguments.seeds > 0 {
        let program = mechanisms::build(&tree.path, &arguments.out.join("simulate"))?;
        checks.extend((1..=arguments.seeds).map(|seed| Check::Seed(program.clone(), seed)));
    }
    let tests = reached(&arguments, &checks, places.len())?;
    let mut results = Results::read(&arguments.out)?;
    let verdicts = try_all(&arguments, &places, &tests, &results, &reasons);
    results.add(&places, &verdicts)?;
    report(&arguments, &places, &verdicts, &reasons);
    println!("all results: {}", results.path.display());
    Ok(())
}

fn arguments() -> Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let (mut positional, mut tests) = (Vec::new(), Vec::new());
    let (mut jobs, mut patience, mut seeds) = (thread::available_parallelism()?.get(), 60, 0);
    let (mut again, mut only_list, mut simulate) = (false, false, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--jobs" => jobs = words.next().context("--jobs needs a number")?.parse()?,
            "--patience" => patience = words.next().context("--patience needs seconds")?.parse()?,
            "--tests" => tests.push(words.next().context("--tests needs a part of a name")?),
            "--seeds" => seeds = words.next().context("--seeds needs a number")?.parse()?,
            "--again" => again = true,
            "--list" => only_list = true,
            "--simulate" => simulate = true,
            _ => positional.push(word),
        }
    }
    ensure!(
        positional.len() > if simulate { 1 } else { 2 },
        "usage: mutants ROOT OUT [--jobs N] [--patience SECONDS] [--tests PART]... [--seeds N] [--again] [--list] PATH...\n\
         or: mutants ROOT OUT --simulate [--jobs N] [--patience SECONDS] [--list] [PART]..."
    );
    let parts = positional.split_off(2);
    fs::create_dir_all(&positional[1])?;
    // The tests run in another folder.
    let (root, out) = (PathBuf::from(&positional[0]), fs::canonicalize(&positional[1])?);
    let patience = Duration::from_secs(patience);
    Ok(Arguments { root, out, jobs, patience, tests, seeds, again, only_list, simulate, parts })
}

/// A copy of the collector's files, in which the faults are planted.
struct Tree {
    path: PathBuf,
    target: PathBuf,
    /// The chosen files with their content.
    originals: BTreeMap<String, String>,
    /// Faults that do not compile: a file, a place in it, and a sentence.
    refused: HashSet<(String, usize, String)>,
    /// The file that keeps them for the next run.
    memory: PathBuf,
}

impl Tree {
    fn new(arguments: &Arguments) -> Result<Self> {
        let path = arguments.out.join("tree");
        let is_chosen = |name: &str| {
            let in_source = name.strip_prefix("src/").filter(|_| name.ends_with(".rs") && !is_of_tests(name));
            in_source.is_some_and(|below| arguments.parts.iter().any(|prefix| below.starts_with(prefix)))
        };
        let originals = copy(&arguments.root, &path, is_chosen)?;
        ensure!(!originals.is_empty(), "no source file begins with {:?}", arguments.parts);
        let mut tree = Self {
            path,
            target: arguments.out.join("build"),
            originals,
            refused: HashSet::new(),
            memory: arguments.out.join("refused.tsv"),
        };
        tree.recall();
        Ok(tree)
    }

    /// An earlier run has found most of what does not compile, in files that have not changed since.
    fn recall(&mut self) {
        let known = fs::read_to_string(&self.memory).unwrap_or_default();
        for line in known.lines() {
            if let [file, length, at, what] = line.split('\t').collect::<Vec<_>>()[..]
                && self.originals.get(file).is_some_and(|text| text.len().to_string() == length)
                && let Ok(at) = at.parse()
            {
                self.refused.insert((file.to_owned(), at, what.to_owned()));
            }
        }
    }

    fn remember(&self) -> Result<()> {
        let lines: String = self
            .refused
            .iter()
            .map(|(file, at, what)| format!("{file}\t{}\t{at}\t{what}\n", self.originals[file].len()))
            .collect();
        Ok(fs::write(&self.memory, lines)?)
    }

    fn plant(&self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for (file, original) in &self.originals {
            let keep = |mutant: &Mutant| {
                !self.refused.contains(&(file.clone(), mutant.at.start, mutant.what.clone()))
            };
            let planted =
                plant(original, places.len(), keep).with_context(|| format!("{file} cannot be parsed"))?;
            let lines: Vec<_> = original.lines().collect();
            places.extend(planted.mutants.into_iter().zip(planted.ranges).map(|(mutant, range)| Place {
                file: file.clone(),
                text: lines[mutant.line - 1].to_owned(),
                mutant,
                range,
            }));
            write_if_new(&self.path.join(file), planted.text.as_bytes())?;
        }
        write_switches(&self.path, places.len())?;
        Ok(places)
    }

    /// Builds the tests with all faults that compile.
    fn build(&mut self) -> Result<(Vec<Place>, Vec<PathBuf>)> {
        loop {
            let places = self.plant()?;
            let messages = self.compile()?;
            let before = self.refused.len();
            let errors: Vec<_> = messages
                .iter()
                .map(|line| &line["message"])
                .filter(|message| message["level"] == "error")
                .collect();
            for error in &errors {
                self.refuse(&places, error);
            }
            let is_built = messages
                .iter()
                .any(|message| message["reason"] == "build-finished" && message["success"] == true);
            if is_built {
                let binaries = messages
                    .iter()
                    .filter(|message| message["profile"]["test"] == true)
                    .filter_map(|message| message["executable"].as_str());
                return Ok((places, binaries.map(PathBuf::from).collect()));
            }
            eprintln!("{} of {} faults do not compile", self.refused.len() - before, places.len());
            self.remember()?;
            if self.refused.len() == before {
                let error = errors.first().and_then(|error| error["rendered"].as_str());
                bail!("the tests don't compile, and no fault explains it: {}", error.unwrap_or_default());
            }
        }
    }

    fn compile(&self) -> Result<Vec<Value>> {
        let output = Command::new("cargo")
            .current_dir(&self.path)
            .args([
                "test",
                "--locked",
                "--no-run",
                "--message-format=json",
                "--config",
                "profile.dev.debug=0",
                "--config",
                "profile.dev.opt-level=1",
            ])
            .args(TESTS)
            .arg("--target-dir")
            .arg(&self.target)
            .stderr(Stdio::inherit())
            .output()?;
        Ok(output
            .stdout
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// Leaves out the faults that an error of the compiler is about.
    fn refuse(&mut self, places: &[Place], error: &Value) {
        let spans = error["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let found: Vec<_> = spans.iter().flat_map(|span| about(places, span)).collect();
        // A type that two alternatives disagree on can be reported at the later one.
        let found = if found.is_empty() {
            spans.iter().filter_map(|span| last_before(places, span)).collect()
        } else {
            found
        };
        for place in found {
            self.refused.insert((place.file.clone(), place.mutant.at.start, place.mutant.what.clone()));
        }
    }
}

/// Copies the files that are in version control, and returns those that something is going to be planted in, which are not copied.
fn copy(root: &Path, to: &Path, is_planted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, String>> {
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output()?;
    let mut originals = BTreeMap::new();
    for name in str::from_utf8(&listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        let Ok(content) = fs::read(root.join(name)) else { continue };
        if is_planted(name) {
            originals.insert(name.to_owned(), String::from_utf8(content)?);
            continue;
        }
        let more: &[u8] = if name == "src/lib.rs" { b"\npub(crate) mod mutants;\n" } else { b"" };
        write_if_new(&to.join(name), &[&content, more].concat())?;
    }
    Ok(originals)
}

/// Adds the module that says which of `count` faults is on.
fn write_switches(tree: &Path, count: usize) -> Result<()> {
    let module = include_str!("planted.rs").replace("COUNT", &count.to_string());
    write_if_new(&tree.join("src/mutants.rs"), module.as_bytes())
}

fn about<'a>(places: &'a [Place], span: &'a Value) -> impl Iterator<Item = &'a Place> {
    let at = span["byte_start"].as_u64().unwrap_or(0) as usize;
    places.iter().filter(move |place| span["file_name"] == place.file.as_str() && place.range.contains(&at))
}

fn last_before<'a>(places: &'a [Place], span: &Value) -> Option<&'a Place> {
    let at = span["byte_start"].as_u64()? as usize;
    places
        .iter()
        .filter(|place| span["file_name"] == place.file.as_str() && place.range.start <= at)
        .max_by_key(|place| place.range.start)
}

fn is_of_tests(name: &str) -> bool {
    name.contains("/tests/")
        || name.ends_with("/tests.rs")
        || name.ends_with("testing.rs")
        || name.contains("/testing/")
}

/// An unchanged file keeps its date, so that it is not compiled again.
fn write_if_new(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("{} cannot be written", path.display()))
}

/// The wanted tests of these programs.
fn tests(arguments: &Arguments, binaries: &[PathBuf]) -> Result<Vec<Check>> {
    let mut tests = Vec::new();
    for binary in binaries {
        let listed = Command::new(binary)
            .args(["--list", "--format", "terse"])
            .current_dir(arguments.out.join("tree"))
            .output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let is_wanted = |name: &&str| {
            arguments.tests.is_empty() || arguments.tests.iter().any(|part| name.contains(part.as_str()))
        };
        let listed = listed.lines().filter_map(|line| line.strip_suffix(": test")).filter(is_wanted);
        tests.extend(listed.map(|name| Check::Test(binary.clone(), name.to_owned())));
    }
    Ok(tests)
}

/// Runs each test alone, and notes the faults whose places it comes to.
fn reached(arguments: &Arguments, checks: &[Check], count: usize) -> Result<Vec<Test>> {
    let tests = in_parallel(arguments.jobs, checks, |worker, check| {
        let notes = arguments.out.join(format!("reached-{worker}"));
        fs::write(&notes, vec![0; count]).ok()?;
        let begin = Instant::now();
        let ended = run(arguments, &[check], &[("MUTANTS_REACHED", &notes)], Duration::from_secs(600));
        let takes = begin.elapsed();
        if ended != Some(true) {
            eprintln!("{check} fails by itself, without a fault; it is left out");
            return None;
        }
        let notes = fs::read(&notes).ok()?;
        let reaches = notes.iter().enumerate().filter(|&(_, &note)| note != 0).map(|(number, _)| number);
        Some(Test { check: check.clone(), takes, reaches: reaches.collect() })
    });
    let mut tests: Vec<_> = tests.into_iter().flatten().collect();
    tests.sort_by_key(|test| test.takes);
    println!(
        "{} tests, {:.0} s in sum",
        tests.len(),
        tests.iter().map(|test| test.takes.as_secs_f64()).sum::<f64>()
    );
    Ok(tests)
}

fn try_all(
    arguments: &Arguments,
    places: &[Place],
    tests: &[Test],
    results: &Results,
    reasons: &Reasons,
) -> Vec<Verdict> {
    let mut covering = vec![Vec::new(); places.len()];
    for test in tests {
        for &number in &test.reaches {
            covering[number].push(test);
        }
    }
    let done = AtomicUsize::new(0);
    let numbers: Vec<_> = (0..places.len()).collect();
    in_parallel(arguments.jobs, &numbers, |_, &number| {
        let known = results.of(&places[number]).filter(|verdict| arguments.again && verdict.is_noticed());
        let verdict = known.unwrap_or_else(|| try_one(arguments, number, &covering[number]));
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !verdict.is_noticed() && reasons.of(&places[number]).is_none() {
            println!("[{done}/{}] {verdict:?}: {}", places.len(), places[number]);
        }
        verdict
    })
}

fn try_one(arguments: &Arguments, number: usize, tests: &[&Test]) -> Verdict {
    if tests.is_empty() {
        return Verdict::NotReached;
    }
    let mutant = PathBuf::from(number.to_string());
    let mut spent = Duration::ZERO;
    let mut rest = tests;
    while !rest.is_empty() && spent < arguments.patience {
        let (batch, takes) = next_batch(rest);
        let checks: Vec<_> = batch.iter().map(|test| &test.check).collect();
        match run(arguments, &checks, &[("MUTANT", &mutant)], Duration::from_secs(20) + takes * 5) {
            Some(true) => {}
            Some(false) => return Verdict::Caught,
            None => return Verdict::Hung,
        }
        spent += takes;
        rest = &rest[batch.len()..];
    }
    Verdict::Missed
}

/// The first tests that one process can run and that take little time together.
fn next_batch<'a, 'b>(tests: &'b [&'a Test]) -> (&'b [&'a Test], Duration) {
    let mut takes = Duration::ZERO;
    let mut count = 0;
    for test in tests.iter().take(BATCH_MAX) {
        if count > 0 && (!tests[0].check.runs_with(&test.check) || takes + test.takes > BATCH_TIME) {
            break;
        }
        takes += test.takes;
        count += 1;
    }
    (&tests[..count], takes)
}

/// Runs tests in one process, and says whether they pass; `None` if they don't end in time.
fn run(
    arguments: &Arguments,
    checks: &[&Check],
    environment: &[(&str, &PathBuf)],
    timeout: Duration,
) -> Option<bool> {
    let mut child = Check::command(checks)
        .envs(environment.iter().copied())
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_FAILURE_PERSISTENCE", "off")
        .env("INSTA_UPDATE", "no")
        .current_dir(arguments.out.join("tree"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .ok()?;
    Some(wait(&mut child, timeout)?.success())
}

/// Waits for the end of a process, or ends its group when it takes too long.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        if begin.elapsed() > timeout {
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for worker in 0..jobs {
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(worker, item);
                    results.lock().expect("no worker panics").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panics");
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn report(arguments: &Arguments, places: &[Place], verdicts: &[Verdict], reasons: &Reasons) {
    let mut sums: BTreeMap<String, [usize; 5]> = BTreeMap::new();
    for (place, verdict) in places.iter().zip(verdicts) {
        let below = &place.file["src/".len()..];
        let folder = arguments.parts.iter().find(|prefix| below.starts_with(*prefix)).expect("a chosen file");
        let explained = !verdict.is_noticed() && reasons.of(place).is_some();
        let column = if explained { 4 } else { *verdict as usize };
        sums.entry(folder.clone()).or_default()[column] += 1;
    }
    for (folder, columns) in sums {
        let [caught, hung, missed, not_reached, explained] = columns;
        println!(
            "{folder}: {} faults, {caught} caught, {hung} without an end, {missed} missed, {not_reached} not reached, \
             {explained} with a reason",
            columns.iter().sum::<usize>()
        );
    }
    for fault in reasons.stale(places, verdicts) {
        println!("needs no reason: {fault}");
    }
}
