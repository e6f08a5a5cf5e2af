//! Faults that no test has to notice, each with its reason.
//!
//! `reasons.yaml` lists them by what they are and by the text of their line, which moves less than its number.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{Place, Verdict};

const LIST: &str = "mutants/reasons.yaml";

/// Faults of one line that have the same reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    file: String,
    /// A part of the line's text.
    line: String,
    /// Each as it is printed, after the line's number.
    faults: Vec<String>,
}

pub struct Reasons(Vec<Entry>);

impl Reasons {
    pub fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("{LIST} cannot be read"))?;
        Ok(Self(serde_saphyr::from_str(&text).with_context(|| LIST.to_owned())?))
    }

    /// The reason why this fault need not be noticed.
    pub fn of(&self, place: &Place) -> Option<&str> {
        let entry = self.0.iter().find(|entry| {
            entry.file == place.file
                && place.text.contains(&entry.line)
                && entry.faults.contains(&place.mutant.what)
        })?;
        Some(&entry.reason)
    }

    /// Faults that have a reason and are noticed all the same, or are not there any more.
    pub fn stale(&self, places: &[Place], verdicts: &[Verdict]) -> Vec<String> {
        let files: HashSet<_> = places.iter().map(|place| &place.file).collect();
        let is_needed = |entry: &Entry, fault: &String| {
            let is_it = |place: &Place| {
                place.file == entry.file && place.text.contains(&entry.line) && place.mutant.what == *fault
            };
            places.iter().zip(verdicts).any(|(place, verdict)| is_it(place) && !verdict.is_noticed())
        };
        let entries = self.0.iter().filter(|entry| files.contains(&entry.file));
        entries
            .flat_map(|entry| entry.faults.iter().map(move |fault| (entry, fault)))
            .filter(|(entry, fault)| !is_needed(entry, fault))
            .map(|(entry, fault)| format!("{}: {fault}", entry.file))
            .collect()
    }
}
