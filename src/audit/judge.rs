//! The class of an object, according to the ledger and the rules.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::places::Place;
use super::walk::Timed;
use crate::ack::Ending;
use crate::ledger::{self, Identity, Look, OpenError, Row};
use crate::services::Definition;
use crate::settings::Input;
use crate::stages::resolve::is_marker;

/// The outcome of an object. The order matters: of several entries, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// All its records are acknowledged.
    Delivered,
    /// A rule skips it, or it contains no logs.
    Skipped,
    /// It is being sent, or only part of it was.
    InWork,
    /// It cannot be delivered; its message is left to the queue's redrive policy.
    Refused,
    /// It is unknown: it was never announced, or its message was lost.
    Missing,
}

impl Class {
    /// All classes, in the order of the report.
    pub const ALL: [Class; 5] =
        [Class::Delivered, Class::InWork, Class::Refused, Class::Skipped, Class::Missing];

    /// The name of the class, also in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Class::Delivered => "delivered",
            Class::InWork => "in_work",
            Class::Refused => "rejected",
            Class::Skipped => "skipped",
            Class::Missing => "missing",
        }
    }
}

/// A source of knowledge about objects.
pub trait Knowledge {
    /// The entries of a place.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    fn rows(&self, place: &ledger::Place) -> Result<Vec<Row>, OpenError>;

    /// Returns true if the object is in flight now.
    fn is_in_work(&self, place: &ledger::Place) -> bool;
}

/// Ledgers of collectors, on this machine or others. Objects in flight there are unknown.
#[derive(Debug, Default)]
pub struct Ledgers(pub Vec<Look>);

impl Knowledge for Ledgers {
    fn rows(&self, place: &ledger::Place) -> Result<Vec<Row>, OpenError> {
        let mut rows = Vec::new();
        for ledger in &self.0 {
            rows.extend(ledger.rows(place)?);
        }
        Ok(rows)
    }

    fn is_in_work(&self, _: &ledger::Place) -> bool {
        false
    }
}

/// Determines the class of objects.
pub struct Judge<'j> {
    /// The inputs, by their index.
    pub inputs: &'j [Input],
    pub knowledge: &'j dyn Knowledge,
}

/// The class of an object, and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The index of the input.
    pub input: usize,
    /// The name of the service.
    pub service: String,
    pub class: Class,
    /// The reason why it was refused or skipped; otherwise empty.
    pub reason: String,
}

impl Judge<'_> {
    /// Determines the class of an object. None if it belongs to no service of the place's inputs, and is unknown.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn judge(&self, place: &Place, timed: &Timed) -> Result<Option<Judged>, OpenError> {
        let key = timed.listed.key.as_str();
        let mut best: Option<Judged> = None;
        for index in &place.inputs {
            let Some(input) = self.inputs.get(*index) else { continue };
            let Some(service) = input.service_of(key) else { continue };
            let (class, reason) = self.class(input, service, &place.bucket, timed)?;
            // The only service of a queue gets everything that is announced, but not everything in the bucket.
            if class == Class::Missing && !service.claims(key) {
                continue;
            }
            if best.as_ref().is_none_or(|best| class < best.class) {
                best = Some(Judged { input: *index, service: service.name.clone(), class, reason });
            }
        }
        Ok(best)
    }

    fn class(
        &self,
        input: &Input,
        service: &Definition,
        bucket: &str,
        timed: &Timed,
    ) -> Result<(Class, String), OpenError> {
        let listed = &timed.listed;
        let (bucket, key) = (bucket.to_owned(), listed.key.clone());
        let place = ledger::Place { input: input.id.clone(), bucket, key };
        let rows = self.knowledge.rows(&place)?;
        let told = rows.iter().filter(|row| is_of(row, &listed.etag)).map(of_row).min();
        match told {
            Some(told @ (Class::Delivered | Class::Skipped, _)) => return Ok(told),
            _ => {
                if let Some(rule) = skips(input, service, timed) {
                    return Ok((Class::Skipped, rule));
                }
            }
        }
        // While it is in flight, a refusal is not final.
        let in_work = || self.knowledge.is_in_work(&place).then(|| (Class::InWork, String::new()));
        Ok(in_work().or(told).unwrap_or((Class::Missing, String::new())))
    }
}

/// Returns true if the entry describes this content. An entry without an ETag describes any content of the key.
fn is_of(row: &Row, etag: &str) -> bool {
    let asked = Identity { etag: etag.to_owned(), ..Identity::default() };
    row.was_announced_as(&asked) || etag.is_empty() || row.identity.etag.is_empty()
}

fn of_row(row: &Row) -> (Class, String) {
    let ending = Ending::ALL.iter().find(|ending| ending.reason() == row.reason && !row.reason.is_empty());
    let class = match ending.map(|ending| ending.name()) {
        None if row.delivered => Class::Delivered,
        None if row.reason.is_empty() => Class::InWork,
        Some("delivered") => Class::Delivered,
        Some("empty" | "left_out") if row.reason != Ending::Missing.reason() => Class::Skipped,
        // It was missing then, and exists now.
        Some("empty" | "left_out") => Class::Missing,
        // This includes reasons of newer versions.
        _ => Class::Refused,
    };
    (class, row.reason.clone())
}

/// The rule that skips the object, by the same decision as in the receiver.
fn skips(input: &Input, service: &Definition, timed: &Timed) -> Option<String> {
    let listed = &timed.listed;
    let is_old = || {
        let start = input.start_time?;
        Some(Timestamp::try_from(listed.modified).ok()? < start)
    };
    match () {
        () if is_marker(&listed.key) => Some(Ending::Marker.reason().to_owned()),
        () if service.skips(&listed.key) => Some(match service.skipping_rule(&listed.key) {
            Some(rule) => format!("{}: {rule}", Ending::SkipRule.reason()),
            None => Ending::SkipRule.reason().to_owned(),
        }),
        () if listed.size == 0 => Some(Ending::NoBytes.reason().to_owned()),
        () if is_old() == Some(true) => Some(Ending::StartTime.reason().to_owned()),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::aws::Listed;
    use crate::config;

    const CONFIG: &str = r#"
          sqs_collector:
            id: "1"
            base_url: https://sqs.us-east-1.amazonaws.com/111111111111/q
            services: {aws_sqs_cloudtrail: {}, aws_sqs_vpc: {}}
          sqs_collector_2:
            id: "2"
            base_url: https://sqs.us-east-1.amazonaws.com/111111111111/r
            services: {aws_sqs_vpc: {}}"#;

    #[derive(Default)]
    struct Known(Vec<Row>);

    impl Knowledge for Known {
        fn rows(&self, place: &ledger::Place) -> Result<Vec<Row>, OpenError> {
            Ok(self.0.iter().filter(|row| row.place == *place).cloned().collect())
        }

        fn is_in_work(&self, place: &ledger::Place) -> bool {
            place.key.contains("in-work")
        }
    }

    fn row(input: &str, key: &str, etag: &str, delivered: bool, reason: &str) -> Row {
        let place = ledger::Place { input: input.into(), bucket: "b".into(), key: key.into() };
        let identity = Identity { etag: etag.into(), ..Identity::default() };
        Row { delivered, reason: reason.into(), ..Row::ended(place, identity, 1, Ending::Sent) }
    }

    fn judged(rows: Vec<Row>, key: &str, size: u64) -> Option<(usize, String, Class, String)> {
        let inputs = config::testing::of_inputs(CONFIG).inputs;
        let knowledge = Known(rows);
        let judge = Judge { inputs: &inputs, knowledge: &knowledge };
        let place = Place { bucket: "b".into(), prefix: String::new(), inputs: vec![0, 1] };
        let (key, etag) = (key.to_owned(), "e".to_owned());
        let listed = Listed { key, size, etag, modified: SystemTime::UNIX_EPOCH, archived: false };
        let judged = judge.judge(&place, &Timed { listed, time: Timestamp::UNIX_EPOCH }).unwrap()?;
        Some((judged.input, judged.service, judged.class, judged.reason))
    }

    #[test]
    fn every_class() {
        let trail = "AWSLogs/1/CloudTrail/us-east-1/2026/11/29/x.json.gz";
        let of_trail =
            |class, reason: &str| Some((0, "aws_sqs_cloudtrail".to_owned(), class, reason.to_owned()));
        for (row, class, reason) in [
            (row("1", trail, "e", true, ""), Class::Delivered, ""),
            (row("1", trail, "e", true, "filter_rules"), Class::Skipped, "filter_rules"),
            (row("1", trail, "e", true, "no_record"), Class::Skipped, "no_record"),
            (row("1", trail, "e", false, ""), Class::InWork, ""),
            (row("1", trail, "e", false, "damaged"), Class::Refused, "damaged"),
            (row("1", trail, "", false, "no_service"), Class::Refused, "no_service"),
            (row("1", trail, "e", false, "of a newer version"), Class::Refused, "of a newer version"),
            (row("1", trail, "e", false, "start_time"), Class::Skipped, "start_time"),
            (row("1", trail, "e", false, "missing"), Class::Missing, "missing"),
            (row("1", trail, "of what was there before", true, ""), Class::Missing, ""),
            (row("2", trail, "e", true, ""), Class::Delivered, ""),
        ] {
            let found = judged(vec![row.clone()], trail, 9);
            let expected = match row.place.input.as_str() {
                // The other input has it, whatever its services are.
                "2" => Some((1, "aws_sqs_vpc".to_owned(), class, reason.to_owned())),
                _ => of_trail(class, reason),
            };
            assert_eq!(found, expected, "{row:?}");
        }
        assert_eq!(judged(vec![], trail, 9), of_trail(Class::Missing, ""));
        assert_eq!(judged(vec![], trail, 0), of_trail(Class::Skipped, "no_bytes"));
        assert_eq!(judged(vec![], &format!("{trail}in-work"), 9), of_trail(Class::InWork, ""));
        let both = vec![row("1", trail, "e", false, "damaged"), row("1", trail, "e", true, "")];
        assert_eq!(judged(both, trail, 9), of_trail(Class::Delivered, ""));
        let digest = "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/11/29/x.json.gz";
        assert_eq!(judged(vec![], digest, 9), of_trail(Class::Skipped, "skip_rule: CloudTrail-Digest"));
    }

    #[test]
    fn what_is_of_no_service_and_unknown_is_nobodys() {
        assert_eq!(
            judged(vec![], "elsewhere/x.gz", 9),
            None,
            "the second input has one service, which is not its"
        );
        let vpc = "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/29/x.log.gz";
        assert_eq!(
            judged(vec![], vpc, 9),
            Some((0, "aws_sqs_vpc".to_owned(), Class::Missing, String::new()))
        );
    }
}
