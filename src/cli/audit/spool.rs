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
}

impl Spool {
    /// Creates the file.
    ///
    /// # Errors
    /// If no temporary file can be created.
    pub fn new() -> io::Result<Spool> {
        Ok(Spool { file: BufWriter::new(NamedTempFile::new()?), places: BTreeSet::new() })
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
        self.file.write_all(b"\n")
    }

    /// Iterates over inputs with the buckets of their objects.
    pub fn places(&self) -> impl Iterator<Item = &(usize, String)> {
        self.places.iter()
    }

    /// Reads all objects, in the order in which they were added.
    ///
    /// # Errors
    /// If the last objects cannot be written, or the file cannot be opened again.
    pub fn objects(&mut self) -> io::Result<impl Iterator<Item = Missing> + Send + use<>> {
        self.file.flush()?;
        let lines = BufReader::new(self.file.get_ref().reopen()?).lines();
        Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Class;

    #[test]
    fn what_is_added_comes_back() {
        let missing = |input, key: &str| Missing {
            class: Class::Missing,
            input,
            service: "s".into(),
            bucket: format!("b{input}"),
            key: key.into(),
            bytes: 1,
            etag: String::new(),
            modified: 5,
            archived: false,
        };
        let all = [missing(0, "a\n\"b"), missing(1, "é"), missing(0, "c")];
        let mut spool = Spool::new().unwrap();
        all.iter().for_each(|missing| spool.add(missing).unwrap());
        for _ in 0..2 {
            assert_eq!(spool.objects().unwrap().collect::<Vec<_>>(), all);
        }
        assert_eq!(spool.places().count(), 2);
    }
}
