//! The `init` command: writes a first configuration, with comments.

mod answers;

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::exit::REFUSED;
use crate::base::out::Out;
use crate::base::text::is_plain;
use crate::config::kind::Kind;
use crate::config::{self, Environment, Problem, Problems, Severity};
use answers::{Answers, Output, polled_services};

const STANDARD_OUTPUT: &str = "-";

#[derive(Debug, Args)]
pub struct Options {
    /// File to write; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "config.yaml")]
    file: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// The collector's id in Devo
    #[arg(long, default_value = "collector-01", value_parser = id)]
    id: String,
    /// URL of a queue that announces objects
    #[arg(long, value_name = "URL")]
    queue: Option<String>,
    /// Service of the queue's objects, as `services` lists them; may be repeated
    #[arg(long, value_name = "NAME", requires = "queue")]
    service: Vec<String>,
    /// API to poll: audit-events-all (CloudTrail), metrics-all (CloudWatch) or aws-guardduty; may be repeated
    #[arg(long, value_name = "NAME")]
    poll: Vec<String>,
    /// Region to poll; may be repeated
    #[arg(long, value_name = "REGION", requires = "poll")]
    region: Vec<String>,
    /// Send to Devo: us, eu, ca, ap or a host name
    #[arg(long, value_name = "CLOUD", group = "output")]
    devo: Option<String>,
    /// Send to a relay: HOST:PORT
    #[arg(long, value_name = "HOST:PORT", group = "output")]
    relay: Option<String>,
    /// Print records instead of sending them, and leave messages in their queue
    #[arg(long, group = "output")]
    console: bool,
}

/// Checks the id, which is written as it is: a variable would become another text when the file is read.
fn id(text: &str) -> Result<String, String> {
    let id = text.trim();
    let advice = "write letters, digits, _ and -, such as collector-01";
    match () {
        () if id.is_empty() => Err(format!("it is empty: {advice}")),
        () if id.contains("${") => Err(format!("variables are not replaced here: {advice}")),
        () if !is_plain(id) => Err(format!("it has characters that cannot be seen: {advice}")),
        () => Ok(id.to_owned()),
    }
}

/// Returns exit code 0, or 2 if nothing was written.
pub fn run(options: &Options) -> ExitCode {
    match write(options) {
        Ok(notes) => {
            let _ = writeln!(io::stderr(), "{notes}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(REFUSED)
        }
    }
}

fn write(options: &Options) -> Result<String, String> {
    let file = Some(&options.file).filter(|file| file.as_os_str() != STANDARD_OUTPUT);
    if let Some(file) = file.filter(|file| !options.force && file.exists()) {
        return Err(format!("{} exists already: choose another --file, or add --force", file.display()));
    }
    let folder = options.file.parent().unwrap_or(Path::new("")).to_owned();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let mut answers = options.answers();
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        Dialogue { input: io::stdin().lock(), output: io::stderr(), folder: &folder }
            .complete(&mut answers)
            .map_err(|error| format!("cannot ask: {error}"))?;
    }
    let missing = answers.missing();
    if !missing.is_empty() {
        return Err(format!("nothing was written: add {}", missing.join(" and ")));
    }
    let text = answers.text();
    let later = refusals(&text, &folder)?;
    match file {
        Some(file) => save(file, &text, options.force)?,
        None => drop(Out.write_all(text.as_bytes())),
    }
    Ok(next_steps(file.map(PathBuf::as_path), &later))
}

impl Options {
    fn answers(&self) -> Answers {
        let relay = self.relay.as_deref().map(|place| match place.rsplit_once(':') {
            Some((host, port)) => Output::Relay { host: host.to_owned(), port: port.to_owned() },
            None => Output::Relay { host: place.to_owned(), port: String::new() },
        });
        Answers {
            id: self.id.clone(),
            queue: self.queue.clone(),
            services: self.service.clone(),
            polled: self.poll.clone(),
            regions: self.region.clone(),
            output: self
                .devo
                .as_deref()
                .map(Output::devo)
                .or(relay)
                .or_else(|| self.console.then_some(Output::Console)),
        }
    }
}

/// The problems that `check` finds, as text; certificates that are still missing do not count.
fn refusals(text: &str, folder: &Path) -> Result<Vec<Problem>, String> {
    let problems = match config::parse(text, folder, &Environment::here()) {
        Ok(_) => return Ok(vec![]),
        Err(Problems(problems)) => problems,
    };
    let errors = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    let (later, now): (Vec<_>, Vec<_>) = errors.partition(|problem| problem.kind == Kind::TlsFile);
    if now.is_empty() { Ok(later) } else { Err(Problems(now).to_string()) }
}

/// Creates the file for its owner alone, since a key will be written into it.
fn save(file: &Path, text: &str, force: bool) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn next_steps(file: Option<&Path>, later: &[Problem]) -> String {
    let name = file.map_or("FILE".to_owned(), |file| file.display().to_string());
    let mut lines: Vec<String> = file.map(|_| format!("{name} is written.")).into_iter().collect();
    lines.push("Next:".to_owned());
    if !later.is_empty() {
        lines.push(
            "  put chain.crt, domain.crt and domain.key beside it \
             (Devo: Administration, Credentials, X.509 certificates)"
                .to_owned(),
        );
    }
    lines.push(format!("  aws-to-devo check {name} --online"));
    lines.push(format!("  aws-to-devo run --config {name}"));
    lines.join("\n")
}

/// Asks until every answer can be used.
struct Dialogue<'a, I, O> {
    input: I,
    output: O,
    /// The file to be written.
    folder: &'a Path,
}

impl<I: BufRead, O: Write> Dialogue<'_, I, O> {
    /// Asks for the answers that are missing.
    fn complete(&mut self, answers: &mut Answers) -> io::Result<()> {
        if answers.queue.is_none() && answers.polled.is_empty() {
            let question = "URL of the queue that announces objects (Enter: none)";
            self.ask(question, "", answers, |answers, text| answers.queue = non_empty(text))?;
        }
        if answers.queue.is_some() && answers.services.is_empty() {
            let question = "Services of its objects (aws-to-devo services lists them)";
            let set = |answers: &mut Answers, text: &str| answers.services = words(text);
            self.ask(question, "aws_sqs_cloudtrail", answers, set)?;
        }
        if answers.queue.is_none() && answers.polled.is_empty() {
            let question = format!("APIs to poll: {}", polled_services().join(", "));
            let set = |answers: &mut Answers, text: &str| answers.polled = words(text);
            self.ask(&question, "audit-events-all", answers, set)?;
        }
        if !answers.polled.is_empty() && answers.regions.is_empty() {
            let set = |answers: &mut Answers, text: &str| answers.regions = words(text);
            self.ask("In which regions", "us-east-1", answers, set)?;
        }
        if answers.output.is_none() {
            let question = "Where to send: us, eu, ca, ap or a Devo host, HOST:PORT of a relay, or console";
            let set = |answers: &mut Answers, text: &str| answers.output = Some(Output::of_text(text));
            self.ask(question, "us", answers, set)?;
        }
        Ok(())
    }

    /// Asks until `check` accepts the answer, or the input ends.
    fn ask(
        &mut self,
        question: &str,
        default: &str,
        answers: &mut Answers,
        set: impl Fn(&mut Answers, &str),
    ) -> io::Result<()> {
        loop {
            let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
            write!(self.output, "{question}{shown}: ")?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = if line.trim().is_empty() { default } else { line.trim() };
            let mut tried = answers.clone();
            set(&mut tried, text);
            match refusals(&tried.with_the_rest_invented().text(), self.folder) {
                Ok(_) => {
                    *answers = tried;
                    return Ok(());
                }
                Err(message) => writeln!(self.output, "{message}")?,
            }
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(typed: &str) -> (Answers, String) {
        let mut answers = Answers { id: "c".to_owned(), ..Answers::default() };
        let mut output = Vec::new();
        Dialogue { input: typed.as_bytes(), output: &mut output, folder: Path::new("/nowhere") }
            .complete(&mut answers)
            .unwrap();
        (answers, String::from_utf8(output).unwrap())
    }

    #[test]
    fn enter_takes_what_is_offered() {
        let (answers, _) = dialogue("\n\n\n\n");
        assert_eq!(answers.polled, ["audit-events-all"]);
        assert_eq!(answers.regions, ["us-east-1"]);
        assert_eq!(answers.output, Some(Output::devo("us")));
        assert_eq!(answers.missing(), Vec::<String>::new());
    }

    #[test]
    fn an_answer_that_check_refuses_is_asked_for_again() {
        let (answers, shown) = dialogue(
            "https://example\nhttps://sqs.us-east-1.amazonaws.com/111111111111/q\naws_sqs_vpcc\naws_sqs_vpc, aws_sqs_waf\n\
             a b\nrelay.local:13000\n",
        );
        assert_eq!(answers.services, ["aws_sqs_vpc", "aws_sqs_waf"]);
        let relay = Output::Relay { host: "relay.local".to_owned(), port: "13000".to_owned() };
        assert_eq!(answers.output, Some(relay));
        assert!(shown.contains("did you mean \"aws_sqs_vpc\"?"), "{shown}");
        assert_eq!(shown.matches("Where to").count(), 2, "{shown}");
    }

    #[test]
    fn the_file_has_the_id_that_was_given() {
        assert_eq!(id(" collector 2 ").unwrap(), "collector 2");
        for bad in ["", " ", "${HOME}", "a${B:-c}", "$${A}", "a\u{202e}b", "a\nb", "\u{7f}"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        save(&file, "one", false).unwrap();
        assert!(save(&file, "two", false).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        save(&file, "two", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
    }
}
