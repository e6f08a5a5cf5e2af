//! A temporary file of missing and rejected objects, since a million of them must not fill the memory.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

use tempfile::NamedTempFile;

use crate::audit::Missing;

/// The file, with a line of JSON per object. It is deleted with this value.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<NamedTempFile>,
    /// Indices of inputs, with the buckets of their objects.
    places: BTreeSet<(usize, String)>,
    /// The number of objects.
    count: u64,
}

impl Spool {
    /// Creates the file.
    ///
    /// # Errors
    /// If no temporary file can be created.
    pub fn new() -> io::Result<Spool> {
        Ok(Spool { file: BufWriter::new(NamedTempFile::new()?), places: BTreeSet::new(), count: 0 })
    }

    /// Appends an object.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, missing: &Missing) -> io::Result<()> {
        let place = (missing.input, missing.bucket.clone());
        if !self.places.contains(&place) {
            self.places.insert(place);
        }
        serde_json::to_writer(&mut self.file, missing)?;
        self.file.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }

    /// Iterates over inputs with the buckets of their objects.
    pub fn places(&self) -> impl Iterator<Item = &(usize, String)> {
        self.places.iter()
    }

    /// Reads all objects, in the order in which they were added. An item is an error, which names the file and the line,
    /// if a line cannot be read, or if there are fewer lines than objects.
    ///
    /// # Errors
    /// If the last objects cannot be written, or the file cannot be opened again.
    pub fn objects(&mut self) -> io::Result<impl Iterator<Item = Result<Missing, String>> + Send + use<>> {
        self.file.flush()?;
        let (path, count) = (self.file.get_ref().path().display().to_string(), self.count);
        let mut lines = BufReader::new(self.file.get_ref().reopen()?).lines();
        Ok((1..=count).map(move |number| {
            let line = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
            let object = line.and_then(|line| serde_json::from_str(&line).map_err(io::Error::from));
            object.map_err(|error| {
                format!(
                    "the temporary file {path} of missing objects cannot be read at line {number}: {error}. Another \
                     program may have changed it: run the audit again"
                )
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Class;

    fn missing(input: usize, key: &str) -> Missing {
        Missing {
            class: Class::Missing,
            input,
            service: "s".into(),
            bucket: format!("b{input}"),
            key: key.into(),
            bytes: 1,
            etag: String::new(),
            modified: 5,
            archived: false,
        }
    }

    /// Whatever happens to the file, no object is left out without an error.
    #[test]
    fn a_line_that_cannot_be_read_is_an_error_with_its_place() {
        let mut spool = Spool::new().unwrap();
        (0..3).for_each(|number| spool.add(&missing(0, &number.to_string())).unwrap());
        spool.file.flush().unwrap();
        let path = spool.file.get_ref().path().to_owned();
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        for (damaged, at) in [
            ([lines[0], &lines[1][1..], lines[2]].join("\n"), 2),
            (lines[..2].join("\n"), 3),
            (whole[..whole.len() - 9].to_owned(), 3),
            (String::new(), 1),
            (whole.replace("\"bucket\"", "\"b\""), 1),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            let read: Vec<_> = spool.objects().unwrap().collect();
            assert_eq!(read.len(), 3);
            let first = read.into_iter().find_map(Result::err).unwrap();
            assert!(first.contains(&format!("{} ", path.display())), "{first}");
            assert!(first.contains(&format!("line {at}:")), "{first}");
        }
    }

    #[test]
    fn what_is_added_comes_back() {
        let all = [missing(0, "a\n\"b"), missing(1, "é"), missing(0, "c")];
        let mut spool = Spool::new().unwrap();
        all.iter().for_each(|missing| spool.add(missing).unwrap());
        for _ in 0..2 {
            assert_eq!(spool.objects().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), all);
        }
        assert_eq!(spool.places().count(), 2);
    }
}
