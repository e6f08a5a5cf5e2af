//! Who counted an object's confirmed records, and which outputs have them. Pure.

/// Separates the outputs from what comes before, and from each other. No name or address holds it.
const SEPARATOR: char = '\u{1f}';

/// Written beside a count of records: it holds only for the program and format that counted, and for outputs that
/// were there.
#[derive(Debug)]
pub struct Reader<'a> {
    way: String,
    outputs: &'a [String],
}

impl Reader<'_> {
    /// `format` names the way in which records are counted; `outputs` get them.
    pub fn new<'a>(format: &str, outputs: &'a [String]) -> Reader<'a> {
        Reader { way: format!("{} {format}", env!("CARGO_PKG_VERSION")), outputs }
    }

    /// What was confirmed there need not be sent again: each of these outputs has it.
    pub fn goes_on_after(&self, recorded: &str) -> bool {
        let mut parts = recorded.split(SEPARATOR);
        let same_way = parts.next() == Some(self.way.as_str());
        let had: Vec<&str> = parts.collect();
        same_way && self.outputs.iter().all(|output| had.contains(&output.as_str()))
    }

    pub fn into_text(self) -> String {
        let Reader { mut way, outputs } = self;
        for output in outputs {
            way.push(SEPARATOR);
            way.push_str(output);
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes_on_only_where_every_output_has_its_beginning() {
        let outputs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let goes_on = |format: &str, now: &[&str], recorded: &str| {
            Reader::new(format, &outputs(now)).goes_on_after(recorded)
        };
        let recorded = Reader::new("Lines", &outputs(&["a", "b"])).into_text();
        assert!(goes_on("Lines", &["a", "b"], &recorded));
        assert!(goes_on("Lines", &["b", "a"], &recorded));
        assert!(goes_on("Lines", &["b"], &recorded), "one that has gone misses nothing");
        assert!(!goes_on("Lines", &["a", "b", "c"], &recorded), "one that is new has none of it");
        assert!(!goes_on("Lines", &["a b"], &recorded));
        assert!(!goes_on("Json", &["a", "b"], &recorded));
    }
}
