//! Devo's query API: counts a collector's events in a table, by five minutes of arrival.
//!
//! Format: the vendor's pages on the Query API and on LINQ. In the mode `json/simple/compact` the answer has
//! a line with the columns, then a line per row; blank lines keep the connection alive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};

use crate::aws::{Http, Request};
use crate::base::limits::{DEVO_ANSWER_BYTES_MAX, DEVO_REFUSAL_BYTES_MAX, DEVO_TIME_LIMIT, LEDGER_SENT_SLOT};

/// A client of the API.
pub struct Api {
    http: Http,
    endpoint: String,
    path: String,
    token: String,
}

/// The reason why the events of a table are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "Devo has no table {0}: events sent there are in a parent table, or in none. Check the service's \
         routing_template"
    )]
    UnknownTable(String),
    /// It concerns only this table.
    #[error("Devo cannot query this table: {0}")]
    Table(String),
    /// It concerns all tables.
    #[error("{0}")]
    Refused(String),
    /// A retry may help.
    #[error("Devo's query API gave no usable answer: {0}. Try again; then check globals.devo_api")]
    Unavailable(String),
}

impl Problem {
    /// Returns true if queries of other tables would fail too.
    pub fn is_of_all(&self) -> bool {
        matches!(self, Problem::Refused(_) | Problem::Unavailable(_))
    }
}

impl Api {
    /// Creates a client. `url` is the address of the call; `token` has no surrounding white space.
    pub fn new(http: Http, url: &str, token: String) -> Api {
        let host = url.find("://").map_or(0, |at| at + 3);
        let path = url[host..].find('/').map_or(url.len(), |at| host + at);
        let (endpoint, path) = url.split_at(path);
        let path = if path.is_empty() { "/" } else { path };
        Api { http, endpoint: endpoint.to_owned(), path: path.to_owned(), token }
    }

    /// Counts the events of `host` that arrived in `table` from `from` until `to`, in seconds since 1970, by five minutes.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn count(&self, table: &str, host: &str, from: i64, to: i64) -> Result<BTreeMap<i64, u64>, Problem> {
        let request = Request {
            action: "search/query",
            resource: table.to_owned(),
            service: "devo",
            region: String::new(),
            method: "POST",
            endpoint: self.endpoint.clone(),
            path: self.path.clone(),
            query: String::new(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: question(table, host, from, to)?.into_bytes(),
            response_timeout: DEVO_TIME_LIMIT,
            time_limit: Some(DEVO_TIME_LIMIT),
        };
        let token = [("authorization", format!("Bearer {}", self.token))];
        let answer = self.http.send(&request, &token);
        let mut answer = answer.map_err(|fault| Problem::Unavailable(fault.message))?;
        if !answer.is_success() {
            let status = answer.status;
            return Err(refusal(status, &answer.read_some(DEVO_REFUSAL_BYTES_MAX), table));
        }
        rows(answer.reader(), table)
    }
}

/// Creates the body of the request.
///
/// # Errors
/// If no table can have this name.
pub fn question(table: &str, host: &str, from: i64, to: i64) -> Result<String, Problem> {
    let is_name = !table.is_empty()
        && table.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !is_name {
        return Err(Problem::Table(format!("{table:?} is not a table name")));
    }
    let host = host.replace('\\', "\\\\").replace('"', "\\\"");
    let query = format!(
        "from {table} where toktains(hostchain, \"{host}\") group every {}m select count() as events",
        LEDGER_SENT_SLOT / 60
    );
    Ok(json!({"query": query, "from": from, "to": to, "mode": {"type": "json/simple/compact"}}).to_string())
}

/// Reads the lines of the answer.
///
/// # Errors
/// [`Problem`] if it is not an answer, or is cut off.
pub fn rows(answer: impl Read, table: &str) -> Result<BTreeMap<i64, u64>, Problem> {
    let cut = |why: &str| Problem::Unavailable(format!("the answer {why}"));
    let mut columns: Option<(usize, usize)> = None;
    let mut rows = BTreeMap::new();
    // One byte more shows that there is more.
    let mut reader = BufReader::new(answer.take(DEVO_ANSWER_BYTES_MAX + 1));
    let mut read = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length =
            reader.read_until(b'\n', &mut line).map_err(|error| cut(&format!("broke off: {error}")))?;
        if length == 0 {
            break;
        }
        read += length as u64;
        if read > DEVO_ANSWER_BYTES_MAX {
            return Err(cut("is longer than any answer to this query"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_slice(&line)
            .map_err(|_| cut("does not have the documented form, or is cut off"))?;
        if let Some(error) = value.get("e") {
            return Err(of_text(&error.to_string(), table));
        }
        if let Some(metadata) = value.get("metadata").or_else(|| value["m"].get("metadata")) {
            columns = Some(places(metadata).ok_or_else(|| cut("has other columns than requested"))?);
        } else if let Some(row) = value.get("d") {
            let (time, events) = columns.ok_or_else(|| cut("has rows before its columns"))?;
            let time = whole(&row[time]).ok_or_else(|| cut("has a row without a time"))?.div_euclid(1000);
            let events = whole(&row[events]).and_then(|events| u64::try_from(events).ok());
            let events = events.ok_or_else(|| cut("has a row without a count"))?;
            let slot: &mut u64 = rows.entry(time - time.rem_euclid(LEDGER_SENT_SLOT)).or_insert(0);
            *slot = slot.checked_add(events).ok_or_else(|| cut("has counts that no table has"))?;
        }
    }
    match columns {
        // An answer without rows has columns too.
        None => Err(cut("has no columns: it is not from Devo, or is cut off")),
        Some(_) => Ok(rows),
    }
}

/// A whole number, which may be written with a fraction of zero.
fn whole(value: &Value) -> Option<i64> {
    /// Beyond 2^53 a float does not tell a number from the next one.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT_MAX;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|number| number as i64))
}

/// The positions of the time and the count.
fn places(metadata: &Value) -> Option<(usize, usize)> {
    let names: Vec<&str> =
        metadata.as_array()?.iter().map(|column| column["name"].as_str().unwrap_or_default()).collect();
    let place = |name: &str| names.iter().position(|other| *other == name);
    Some((place("eventdate")?, place("events")?))
}

/// Interprets an error answer.
pub fn refusal(status: u16, body: &[u8], table: &str) -> Problem {
    let text = String::from_utf8_lossy(body);
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = [&said["msg"], &said["error"], &said["object"][1], &said["message"]]
        .into_iter()
        .find_map(|message| message.as_str())
        .map_or_else(|| text.trim().chars().take(200).collect(), str::to_owned);
    let message = if message.is_empty() { format!("HTTP {status}") } else { message };
    match status {
        401 => Problem::Refused(format!(
            "Devo does not accept the token ({message}): check globals.devo_api.token_file"
        )),
        403 if said["code"] == 5 || said.is_null() => Problem::Refused(format!(
            "Devo refuses the token ({message}): it is invalid, has expired, or belongs to another region than \
             globals.devo_api.region"
        )),
        429 => Problem::Unavailable(format!("too many requests ({message})")),
        _ if text.contains("Unknown table") => Problem::UnknownTable(table.to_owned()),
        400..=499 => Problem::Table(format!("HTTP {status}: {message}. May the token read it?")),
        _ if said.is_object() => of_text(&message, table),
        _ => Problem::Unavailable(format!("HTTP {status}: {message}")),
    }
}

fn of_text(message: &str, table: &str) -> Problem {
    match message.contains("Unknown table") {
        true => Problem::UnknownTable(table.to_owned()),
        false => Problem::Table(message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: &str =
        r#"{"m":{},"metadata":[{"name":"eventdate","type":"timestamp"},{"name":"events","type":"int8"}]}"#;

    #[test]
    fn the_question() {
        let question: Value =
            serde_json::from_str(&question("cloud.aws.vpc.flow", "collector-1-h\"x", 300, 900).unwrap())
                .unwrap();
        assert_eq!(
            question["query"],
            "from cloud.aws.vpc.flow where toktains(hostchain, \"collector-1-h\\\"x\") group every 5m select count() as events"
        );
        assert_eq!((&question["from"], &question["to"]), (&json!(300), &json!(900)));
        for bad in ["", "a b", "x where true", "é"] {
            assert!(super::question(bad, "h", 0, 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_between_blank_lines() {
        let text = format!(
            "{COLUMNS}\n\n \n{{\"d\":[600000,5]}}\n\n{{\"d\":[601000,2]}}\n{{\"p\":1}}\n{{\"d\":[900000,7.0]}}\n"
        );
        let found = rows(text.as_bytes(), "t").unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(600, 7), (900, 7)]);
        assert!(rows(format!("{COLUMNS}\n").as_bytes(), "t").unwrap().is_empty());
        let unknown = Problem::UnknownTable("t".to_owned());
        assert_eq!(rows(&b"{\"e\":[500,\"Unknown table `t`\"]}\n"[..], "t").unwrap_err(), unknown);
        for cut in [
            "",
            "\n\n",
            "<html></html>",
            "{\"d\":[1,2]}\n",
            &format!("{COLUMNS}\n{{\"d\":[6000"),
            "{\"metadata\":[]}\n",
            &format!("{COLUMNS}\n{{\"d\":[600000,-5]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":[600000,1.5]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":[600000,1e300]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":[600000,\"5\"]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":[\"2026-11-29\",5]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":[600000]}}\n"),
            &format!("{COLUMNS}\n{{\"d\":5}}\n"),
            &format!("{COLUMNS}\n{}", "{\"d\":[600000,9007199254740992]}\n".repeat(2050)),
            &format!("{COLUMNS}\n{}", "\n".repeat(DEVO_ANSWER_BYTES_MAX as usize)),
        ] {
            let problem = rows(cut.as_bytes(), "t").unwrap_err();
            assert!(matches!(problem, Problem::Unavailable(_)), "{}: {problem}", &cut[..cut.len().min(300)]);
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let told = |status, body: &str| refusal(status, body.as_bytes(), "t");
        let expired = told(403, r#"{"code":5,"msg":"Token invalid or expired"}"#);
        assert!(expired.is_of_all() && expired.to_string().contains("another region"), "{expired}");
        assert!(told(401, "").to_string().contains("token_file"));
        assert_eq!(
            told(500, r#"{"msg":"","object":[1,"Unknown table `t`"]}"#),
            Problem::UnknownTable("t".to_owned())
        );
        assert!(matches!(told(403, r#"{"code":12,"msg":"no rights on t"}"#), Problem::Table(_)));
        assert!(matches!(told(429, "slow down"), Problem::Unavailable(_)));
        assert!(matches!(told(502, "<html>bad gateway</html>"), Problem::Unavailable(_)));
    }

    #[test]
    fn addresses() {
        let api = |url| {
            let api = Api::new(Http::new(1).unwrap(), url, "t".to_owned());
            (api.endpoint, api.path)
        };
        let expected = ("https://apiv2-eu.devo.com".to_owned(), "/search/query".to_owned());
        assert_eq!(api("https://apiv2-eu.devo.com/search/query"), expected);
        assert_eq!(api("http://127.0.0.1:1"), ("http://127.0.0.1:1".to_owned(), "/".to_owned()));
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200), status in 300..600u16) {
            let _ = rows(bytes.as_slice(), "t");
            let _ = refusal(status, &bytes, "t").to_string();
            let _ = rows([COLUMNS.as_bytes(), b"\n", &bytes].concat().as_slice(), "t");
        }
    }
}
