//! Tables that Devo knows: records with another tag are hard to find.

use std::sync::LazyLock;

use super::template::UNKNOWN;

/// The names, one family per line.
const TEXT: &str = include_str!("tables.txt");

/// Levels of each table; [`ANY`] stands for any.
static TABLES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| TEXT.lines().flat_map(expanded).collect());

const ANY: &str = "*";

/// Two names are similar if fewer than one character in five differs.
const ALIKE_ENOUGH: f64 = 0.8;

/// The verdict on a template's table, from its fixed levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    Yes,
    /// With the table that was probably meant.
    No(Option<String>),
}

/// Judges a template by the levels before its first field.
pub fn judge(template: &str) -> Known {
    let (fixed, is_open) = match template.split_once('[') {
        // The level with the field is not fixed.
        Some((fixed, _)) => (fixed.rsplit_once('.').map_or("", |(whole, _)| whole), true),
        None => (template, false),
    };
    let levels: Vec<&str> = fixed.split('.').filter(|level| !level.is_empty()).collect();
    if TABLES.iter().any(|table| fits(table, &levels, is_open)) {
        return Known::Yes;
    }
    Known::No(nearest(&levels, is_open))
}

/// True for a table, with any further levels; or for its prefix, if fields follow or its level is unknown.
fn fits(table: &[String], levels: &[&str], is_open: bool) -> bool {
    let is_same = |(known, level): (&String, &&str)| known == ANY || known == level;
    let same = table.iter().zip(levels).take_while(|pair| is_same(*pair)).count();
    same == table.len()
        || (same == levels.len() && is_open)
        || (same > 1 && levels.get(same) == Some(&UNKNOWN))
}

fn nearest(levels: &[&str], is_open: bool) -> Option<String> {
    let likeness = |table: &'static Vec<String>| {
        let length = if is_open { table.len().min(levels.len()) } else { table.len() };
        let candidate = table[..length].join(".");
        let written = levels[..levels.len().min(length)].join(".");
        (
            strsim::normalized_damerau_levenshtein(&written.to_lowercase(), &candidate.to_lowercase()),
            candidate,
        )
    };
    let is_concrete = |table: &&Vec<String>| !table.iter().any(|level| level == ANY);
    let alike =
        TABLES.iter().filter(is_concrete).map(likeness).filter(|(likeness, _)| *likeness > ALIKE_ENOUGH);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, table)| table)
}

/// The tables in a line of the text.
fn expanded(line: &str) -> Vec<Vec<String>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Vec::new();
    }
    let names = match line.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (words, after))) => {
            words.split(',').map(|word| format!("{before}{}{after}", word.trim())).collect()
        }
        None => vec![line.to_owned()],
    };
    names.iter().map(|name| name.split('.').map(str::to_owned).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(template: &str) -> String {
        match judge(template) {
            Known::Yes => "known".to_owned(),
            Known::No(meant) => meant.unwrap_or_default(),
        }
    }

    #[test]
    fn the_text_can_be_read() {
        let plain =
            |level: &String| level == ANY || level.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(TABLES.len() > 100 && TABLES.iter().flatten().all(plain), "{:?}", *TABLES);
    }

    #[test]
    fn tables_and_what_may_follow_them() {
        for known in [
            "edr.crowdstrike.cannon",
            "edr.crowdstrike.cannon.eu.prod",
            "cloud.aws.vpc.flow.[file-account_id].us-east-1.1",
            "cloud.aws.cloudtrail.[record-event_source]",
            "cloud.aws.cloudtrail.anything",
            "firewall.paloalto.[file-log_type].json",
            "firewall.paloalto.unknown",
            "cloud.aws.[record-x]",
            "cloud.aws.cloudwatch.x_[record-y]",
            "my.app.a.b",
            "my.app.[record-a]",
            "my.synthesis.x",
            "test.drop.free",
            "[record-table]",
        ] {
            assert_eq!(judge(known), Known::Yes, "{known}");
        }
    }

    #[test]
    fn what_was_probably_meant() {
        for (written, table) in [
            ("edr.crowdstike.cannon", "edr.crowdstrike.cannon"),
            ("edr.crowdstike.cannon.eu.prod", "edr.crowdstrike.cannon"),
            ("cloud.aws.guardduty.finding", "cloud.aws.guardduty.findings"),
            ("Cloud.AWS.vpc.flow", "cloud.aws.vpc.flow"),
            ("firewal.paloalto.[file-log_type]", "firewall.paloalto"),
            ("monitor.lacework.agent.connections", "monitor.lacework.agent.connnections"),
            ("my.ap.shop", "my.app"),
            ("cloud.aws.cloudwatch", ""),
            ("edr.crowdstrike", ""),
            ("firewall.fortinet.traffic.forward", ""),
            ("unknown", ""),
            ("x.[record-y]", ""),
        ] {
            assert_eq!(meant(written), table, "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_makes_it_panic(template in r"[a-z.\[\]|-]{0,30}") {
            judge(&template);
        }
    }
}
