//! The key `known_by`: the signature of a service's log, and those of the others.

use std::sync::Arc;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::fields;
use super::pattern::pattern;
use crate::config::node::Mapping;
use crate::config::node::Node;
use crate::config::problem::Report;
use crate::config::tree;
use crate::decode::{Bare, Format, Sign, Signs};
use crate::services::REGISTRY;

/// The value of the key.
pub struct KnownBy {
    pub sign: Sign,
    /// Sets of members, one of which the first JSON document must have.
    must_have: Vec<Vec<String>>,
}

/// Reads the key.
pub fn read(keys: &Mapping<'_>) -> Option<KnownBy> {
    let keys = keys.mapping("known_by")?;
    let sets = |key| keys.list(key).iter().filter_map(fields::path).collect();
    let (members, must_have) = (sets("members"), sets("must_have"));
    let line = keys.node("line").and_then(|node| pattern(&node));
    keys.finish();
    // A pattern for text is also one for bytes.
    let line = line.and_then(|line| Regex::new(line.as_str()).ok());
    Some(KnownBy { sign: Sign { members, line }, must_have })
}

/// The format of a service whose own log has this signature.
pub fn told_apart(format: Format, known_by: KnownBy) -> Format {
    let KnownBy { sign: own, must_have } = known_by;
    let takes_any = matches!(&format, Format::Or { others, .. } if others.bare == Bare::Any);
    let only_parquet = format.reads_documents() && !takes_any;
    let of_rows = signs().iter().filter(|(_, sign)| *sign != own);
    let others = of_rows.map(|(name, sign)| (format!("the log of {name}"), sign.clone())).collect();
    let envelopes = ENVELOPES.iter().filter(|_| !format.reads_documents());
    let no_logs = FOREIGN.iter().chain(envelopes).map(|known| known.sign()).collect();
    let signs = Signs { own, others, no_logs, must_have, text_only: !format.may_be_json(), only_parquet };
    Format::Known { format: Box::new(format), signs: Arc::new(signs) }
}

/// Data that is no service's log.
struct Known {
    name: &'static str,
    members: &'static [&'static str],
    line: Option<&'static str>,
}

const FOREIGN: [Known; 5] = [
    Known {
        name: "data that Firehose failed to process, whose records are encoded in rawData",
        members: &["attemptsMade", "errorCode", "rawData"],
        line: None,
    },
    Known { name: "an EventBridge event", members: &["detail-type", "source", "detail"], line: None },
    Known { name: "a Jamf webhook", members: &["webhook", "event"], line: None },
    Known {
        name: "a CloudWatch metric stream",
        members: &["metric_stream_name", "namespace", "metric_name"],
        line: None,
    },
    Known { name: "an XML or HTML page", members: &[], line: Some(r"(?i)^<(\?xml|!doctype|html|error)\b") },
];

/// The shapes in which other services find their records.
const ENVELOPES: [Known; 1] = [Known {
    name: "a CloudWatch Logs envelope",
    members: &["messageType", "logGroup", "logEvents"],
    line: None,
}];

impl Known {
    fn sign(&self) -> (String, Sign) {
        let members = self.members.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let members = if members.is_empty() { Vec::new() } else { vec![members] };
        (self.name.to_owned(), Sign { members, line: self.line.and_then(|line| Regex::new(line).ok()) })
    }
}

/// The signatures of the built-in services' logs, with the services' names.
fn signs() -> &'static [(String, Sign)] {
    &SIGNS
}

/// Parsed separately, because a row is also compared with those below it.
static SIGNS: LazyLock<Vec<(String, Sign)>> = LazyLock::new(|| {
    let report = Report::default();
    let Some(tree) = tree::read(REGISTRY, &report) else { return Vec::new() };
    let Some(rows) = Node::new("", &tree, &report).mapping() else { return Vec::new() };
    let signs = rows.entries().filter_map(|(name, row)| Some((name.to_owned(), read(&row.mapping()?)?.sign)));
    signs.filter(|(_, sign)| *sign != Sign::default()).collect()
});
