//! `ledger export` and `ledger import`: what is delivered as JSON lines, from one ledger to another.

mod ledger;
mod lines;
mod local;
mod shared;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::fleet::{Known, Note};
use crate::ledger::covers;
use crate::pipeline;
use crate::settings::Config;
use ledger::{Added, Ledger};
use lines::Line;
use local::Local;
use shared::Shared;

/// The counts of an import.
#[derive(Default)]
struct Counts {
    objects: u64,
    known: u64,
    of_others: u64,
    nameless: u64,
    sources: Vec<String>,
    kept: Vec<String>,
}

/// Writes the ledger of a configuration to a file, which is replaced when everything is written. Returns the text for its
/// user.
pub fn export(config: &Config, file: &Path) -> Result<String, String> {
    let (ledger, _) = open(config)?;
    let failed = |error: io::Error| format!("{} cannot be written: {error}", file.display());
    let mut out = BufWriter::new(Target::open(file).map_err(failed)?);
    let lines = Cell::new(0_u64);
    let mut put = |line: &Line| {
        lines.set(lines.get() + 1);
        let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        writeln!(out, "{text}").map_err(failed)
    };
    let (mut objects, mut sources) = (0_u64, 0_u64);
    ledger.objects(&mut |entry| {
        objects += 1;
        put(&Line::Object(entry))
    })?;
    for source in &ledger.sources()? {
        let known = ledger.polled(source)?;
        if known.note == Some(Note::Importing) {
            return Err(format!(
                "an import of {source} into {} has not come to its end: run it again before an export. Nothing was exported",
                ledger.name()
            ));
        }
        let lines = Line::of_source(source, &known);
        sources += u64::from(!lines.is_empty());
        lines.iter().try_for_each(&mut put)?;
    }
    put(&Line::End { lines: lines.get() })?;
    out.into_inner().map_err(|error| failed(error.into_error()))?.finish(file).map_err(failed)?;
    Ok(format!(
        "{objects} objects and the checkpoints of {sources} sources were exported from {} to {}.",
        ledger.name(),
        file.display()
    ))
}

/// Adds the content of a file to the ledger of a configuration. Nothing is imported from a file that cannot be read to its
/// end. Returns the text for its user.
pub fn import(config: &Config, file: &Path) -> Result<String, String> {
    let sources = check(file).map_err(|error| format!("{error}. Nothing was imported"))?;
    let (mut ledger, destinations) = open(config)?;
    let counts = add(&mut *ledger, &destinations, file, sources);
    let again = "Run the import again: what is there already is left out, and the rest is added";
    Ok(counts.map_err(|error| format!("{error}. {again}"))?.text(&ledger.name(), config))
}

/// Adds the objects of a file, and the sources in it.
fn add(
    ledger: &mut dyn Ledger,
    destinations: &str,
    file: &Path,
    sources: BTreeMap<String, Known>,
) -> Result<Counts, String> {
    let mut counts = Counts::default();
    each_line(file, &mut |line, _| {
        let Line::Object(entry) = line else { return Ok(()) };
        if !covers(&entry.outputs, destinations) {
            counts.of_others += 1;
            return Ok(());
        }
        match ledger.add_object(entry)? {
            Added::New => counts.objects += 1,
            Added::Known => counts.known += 1,
            Added::Nameless => counts.nameless += 1,
        }
        Ok(())
    })?;
    for (source, known) in sources {
        let before = ledger.polled(&source)?;
        // An earlier import may have ended before all of its checkpoints were written.
        if before.polled.checkpoints.is_empty() || before.note == Some(Note::Importing) {
            let has_position = !known.polled.checkpoints.is_empty();
            ledger.set_source(&source, known)?;
            if has_position {
                counts.sources.push(source);
            }
        } else {
            counts.kept.push(source);
        }
    }
    Ok(counts)
}

/// Reads a whole file, and returns the sources in it.
///
/// # Errors
/// The place of a line that cannot be read, or what shows that the file was cut.
fn check(file: &Path) -> Result<BTreeMap<String, Known>, String> {
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(format!("{} is not a regular file, and an import reads it twice", file.display()));
    }
    let (mut sources, mut end, mut count) = (BTreeMap::new(), None, 0);
    each_line(file, &mut |line, number| {
        if let Some(end) = end {
            return Err(format!("{}, line {number}: line {end} was the last one", file.display()));
        }
        count = number;
        if let Line::End { lines } = line {
            end = Some(number);
            if lines + 1 != number {
                let before = number - 1;
                return Err(format!(
                    "{} was changed: {lines} lines were exported, and it has {before}",
                    file.display()
                ));
            }
        }
        line.add_to(&mut sources)
    })?;
    match end {
        Some(_) => Ok(sources),
        None => Err(format!(
            "{} ends after line {count} without an export's last line: it was cut, so export again",
            file.display()
        )),
    }
}

/// Passes on the lines of a file with their numbers.
fn each_line(file: &Path, take: &mut dyn FnMut(Line, u64) -> Result<(), String>) -> Result<(), String> {
    let failed = |error: io::Error| format!("{} cannot be read: {error}", file.display());
    let lines = BufReader::new(File::open(file).map_err(failed)?).split(b'\n');
    for (line, number) in lines.zip(1..) {
        let line = Line::read(&line.map_err(failed)?);
        take(line.map_err(|error| format!("{}, line {number}: {error}", file.display()))?, number)?;
    }
    Ok(())
}

/// The place of an export until it is complete.
enum Target {
    /// A file that takes the place of another one.
    File(NamedTempFile),
    /// A device or a pipe.
    Stream(File),
}

impl Target {
    fn open(file: &Path) -> io::Result<Target> {
        if file.metadata().is_ok_and(|found| !found.is_file()) {
            return Ok(Target::Stream(File::create(file)?));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Like any file that a program makes: the umask narrows it.
        let permissions = Permissions::from_mode(0o666);
        tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map(Target::File)
    }

    fn finish(self, file: &Path) -> io::Result<()> {
        match self {
            Target::File(written) => written.persist(file).map(drop).map_err(|error| error.error),
            Target::Stream(_) => Ok(()),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::File(file) => file.write(bytes),
            Target::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::File(file) => file.flush(),
            Target::Stream(file) => file.flush(),
        }
    }
}

/// The ledger of a configuration, and all its outputs.
fn open(config: &Config) -> Result<(Box<dyn Ledger>, String), String> {
    let destinations = pipeline::scope(config).destinations();
    let ledger: Box<dyn Ledger> = match &config.globals.shared {
        Some(table) => Box::new(Shared::open(table, config, &destinations)?),
        None => Box::new(Local::open(config)?),
    };
    Ok((ledger, destinations))
}

impl Counts {
    fn text(&self, ledger: &str, config: &Config) -> String {
        let Counts { objects, known, of_others, nameless, sources, kept } = self;
        let mut text = format!("{objects} objects were imported into {ledger}; it knew {known} already.");
        if *of_others > 0 {
            text.push_str(&format!(
                " {of_others} were left out, because they were not delivered to all outputs of this configuration."
            ));
        }
        if *nameless > 0 {
            text.push_str(&format!(
                " {nameless} were left out, because they have no ETag, or a key that is too long for the table."
            ));
        }
        if !sources.is_empty() {
            text.push_str(&format!(" These sources go on where the file says: {}.", sources.join(", ")));
        }
        let is_strange = |name: &&String| !config.sources.iter().any(|source| source.name == **name);
        let strange: Vec<_> = sources.iter().filter(is_strange).cloned().collect();
        if !strange.is_empty() {
            text.push_str(&format!(
                " This configuration does not have these, so its hosts do not poll them: {}.",
                strange.join(", ")
            ));
        }
        if !kept.is_empty() {
            text.push_str(&format!(" These had checkpoints already, which are kept: {}.", kept.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"checkpoint":{"source":"1/a/b","part":"p","value":"10"}}"#,
        "\n",
        r#"{"account":{"source":"1/a/b","account":"123456789012"}}"#,
        "\n",
        r#"{"end":{"lines":2}}"#,
        "\n"
    );

    fn checked(content: &[u8]) -> Result<BTreeMap<String, Known>, String> {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        check(file.path())
    }

    #[test]
    fn a_whole_file_has_its_sources() {
        let sources = checked(LINES.as_bytes()).unwrap();
        assert_eq!(sources["1/a/b"].polled.checkpoints["p"], "10");
    }

    /// Wherever a file was cut, and whatever stands in it, nothing of it is taken for an export.
    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        for cut in 0..LINES.len() - 2 {
            let error = checked(&LINES.as_bytes()[..cut]).unwrap_err();
            assert!(error.contains("line"), "{error}");
        }
        let refused = |content: &[u8], words: &str| {
            let error = checked(content).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        let lines: Vec<&str> = LINES.lines().collect();
        refused(lines[1..].join("\n").as_bytes(), "2 lines were exported, and it has 1");
        refused([lines[2], lines[0]].join("\n").as_bytes(), "it has 0");
        refused(format!("{LINES}{}\n", lines[0]).as_bytes(), "line 4: line 3 was the last one");
        refused(format!("{}\nrubbish\n", lines[0]).as_bytes(), "line 2: this is no line");
        refused(b"{\"end\":\xff}\n", "line 1");
    }

    /// A ledger with one source, which a command has left like this.
    struct Half {
        known: Known,
        is_set: bool,
    }

    impl Ledger for Half {
        fn name(&self) -> String {
            "the ledger".to_owned()
        }

        fn objects(&self, _: &mut dyn FnMut(lines::Entry) -> Result<(), String>) -> Result<(), String> {
            Ok(())
        }

        fn sources(&self) -> Result<Vec<String>, String> {
            Ok(vec!["1/a/b".to_owned()])
        }

        fn polled(&self, _: &str) -> Result<Known, String> {
            let (polled, account) = (self.known.polled.clone(), None);
            Ok(Known { polled, account, note: self.known.note })
        }

        fn add_object(&mut self, _: lines::Entry) -> Result<Added, String> {
            Ok(Added::Known)
        }

        fn set_source(&mut self, _: &str, _: Known) -> Result<(), String> {
            self.is_set = true;
            Ok(())
        }
    }

    #[test]
    fn an_import_completes_an_earlier_one_and_keeps_what_a_host_has_written() {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, LINES).unwrap();
        for (part, note, is_set) in [
            (None, None, true),
            (Some("p"), None, false),
            (Some("p"), Some(Note::Forgotten), false),
            (Some("p"), Some(Note::Importing), true),
        ] {
            let mut known = Known { note, ..Known::default() };
            known.polled.checkpoints.extend(part.map(|part| (part.to_owned(), "5".to_owned())));
            let mut ledger = Half { known, is_set: false };
            let sources = check(file.path()).unwrap();
            let counts = add(&mut ledger, "", file.path(), sources).unwrap();
            assert_eq!((ledger.is_set, counts.sources.len()), (is_set, usize::from(is_set)), "{note:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_when_it_is_complete() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ledger.jsonl");
        std::fs::write(&file, "before").unwrap();
        let mut target = Target::open(&file).unwrap();
        target.write_all(b"after").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"before");
        target.finish(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"after");
        assert!(matches!(Target::open(Path::new("/dev/null")).unwrap(), Target::Stream(_)));
    }
}
