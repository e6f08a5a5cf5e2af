//! Sources that are parts of others' log groups: what must be forgotten with one of them.

use std::collections::BTreeSet;

use crate::base::naming::is_under;
use crate::settings::Source;

/// The names, without their parts, of sources of which only some parts are chosen.
pub fn divided<'s>(sources: &'s [Source], chosen: &str) -> BTreeSet<&'s str> {
    let parts = sources.iter().filter(|source| is_under(&source.name, chosen));
    parts.filter_map(Source::undivided).filter(|base| !chosen.is_empty() && !is_under(base, chosen)).collect()
}

/// The sources whose checkpoints a chosen part would go on with: those of other divisions of the same log groups, which the
/// present one has replaced. They are no longer needed once all parts of the present one have checkpoints. `chosen` names an input or a
/// source; `known` are the sources with checkpoints.
///
/// # Errors
/// If another part of the present division may still need them.
pub fn replaced(
    sources: &[Source],
    chosen: &str,
    known: &BTreeSet<String>,
) -> Result<BTreeSet<String>, String> {
    let mut all = BTreeSet::new();
    for base in divided(sources, chosen) {
        let present: BTreeSet<&String> = sources
            .iter()
            .filter(|source| source.undivided() == Some(base))
            .map(|source| &source.name)
            .collect();
        let others: Vec<&String> =
            known.iter().filter(|name| is_under(name, base) && !present.contains(name)).collect();
        let waiting = present.iter().find(|name| !known.contains(**name) && !is_under(name, chosen));
        if let Some(waiting) = waiting.filter(|_| !others.is_empty()) {
            return Err(format!(
                "{chosen} cannot be forgotten yet: {waiting} has not started yet, and goes on where an earlier division of these log groups was. \
                 Start the collector once with this configuration, then forget it"
            ));
        }
        all.extend(others.into_iter().cloned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};

    fn sources(shards: usize) -> Vec<Source> {
        let text = format!(
            "{{\"outputs\": {{\"c\": {{\"type\": \"console\"}}}}, \"inputs\": {{\"aws\": {{\"id\": \"1\", \"services\": {{\"cwl\": {{\
             \"types\": [\"logs\"], \"log_group\": \"/\", \"regions\": [\"eu-west-1\"], \"shards\": {shards}}}}}}}}}}}"
        );
        config::parse(&text, Path::new(""), &Environment::here()).unwrap().config.sources
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn earlier_divisions_are_forgotten_with_a_part_once_nobody_needs_them() {
        let base = "1/cwl/logs/eu-west-1";
        let name = |shard: &str| format!("{base}/shard-{shard}");
        let all = |names: &[&str]| names.iter().map(|shard| name(shard)).collect::<BTreeSet<_>>();
        let known = all(&["1-of-2", "2-of-2", "1-of-3", "2-of-3", "3-of-3"]);
        let chosen = name("1-of-3");
        assert_eq!(replaced(&sources(3), &chosen, &known).unwrap(), all(&["1-of-2", "2-of-2"]));
        let early = all(&["1-of-2", "2-of-2", "1-of-3", "3-of-3"]);
        assert!(replaced(&sources(3), &chosen, &early).unwrap_err().contains("2-of-3 has not started yet"));
        assert!(
            replaced(&sources(3), &chosen, &all(&["1-of-3"])).unwrap().is_empty(),
            "nothing to go on with"
        );
        for whole in ["1", base, ""] {
            assert!(
                replaced(&sources(3), whole, &known).unwrap().is_empty(),
                "all of it is chosen: {whole:?}"
            );
        }
        assert!(replaced(&sources(1), base, &known).unwrap().is_empty());
        assert!(replaced(&sources(3), &name("9-of-9"), &set(&[])).unwrap().is_empty());
    }
}
