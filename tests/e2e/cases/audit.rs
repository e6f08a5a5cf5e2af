//! Is anything missing, what, and send it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cases::status::{status, try_ask, with_page};
use crate::rig::answerer::Answerer;
use crate::rig::aws;
use crate::rig::collector::Ended;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;

/// The day that the feeds' keys have.
const DAY: [&str; 4] = ["--from", "2026-11-21", "--to", "2026-11-22"];

#[test]
fn a_lost_notification_is_found_and_sent() {
    let lab = Lab::new("audit-lost");
    let objects: Vec<Object> = (0..30).map(|i| feeds::vpc(&format!("{i:02}"), 10)).collect();
    lab.put(&objects);
    // Another day's, which nobody asks about.
    let other = feeds::vpc("other", 10);
    aws::put_object(&lab.bucket, &other.key.replace("2026/11/21", "2026/11/20"), &other.bytes);
    aws::put_object(&lab.bucket, "elsewhere/x", b"no log of ours");
    let is_lost = |i: usize| i.is_multiple_of(10);
    let announced = objects.iter().enumerate().filter(|(i, _)| !is_lost(*i)).map(|(_, o)| o.key.as_str());
    lab.announce(announced);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.drain_all(&config);

    let found = audit(&lab, &config, &["--json"]);
    assert_eq!(found.code, Some(1), "log:\n{}", found.log);
    let report = read(&found);
    assert_eq!(report["total"]["delivered"]["objects"], 27);
    let missing: Vec<&str> =
        report["missing"].as_array().unwrap().iter().map(|m| m["key"].as_str().unwrap()).collect();
    let lost: Vec<&str> = objects.iter().step_by(10).map(|o| o.key.as_str()).collect();
    assert_eq!(missing, lost);
    assert_eq!(report["complete"], false);

    let told = audit(&lab, &config, &[]);
    assert_eq!(told.code, Some(1), "log:\n{}", told.log);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    for word in [
        "aws_sqs_vpc",
        "2026-11-21T",
        &format!("s3://{}/{}", lab.bucket, lost[1]),
        "NOT complete",
        "3 missing",
        "announces nothing",
    ] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }

    let fixed = audit(&lab, &config, &["--fix"]);
    assert_eq!(fixed.code, Some(0), "log:\n{}", fixed.log);
    lab.expect_delivered(&all_frames(&objects));
    let again = audit(&lab, &config, &[]);
    assert_eq!(again.code, Some(0), "log:\n{}", again.log);
    assert!(
        String::from_utf8_lossy(&again.stdout).contains("Complete from"),
        "{again:?}",
        again = again.stdout
    );

    // The lost messages come after all: nothing is sent twice.
    lab.announce(lost);
    lab.drain_all(&config);
    lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn what_was_rejected_or_skipped_is_named_with_its_reason() {
    let lab = Lab::with_few_receives("audit-reasons");
    let good = feeds::cloudtrail("good", 10);
    let mut damaged = feeds::cloudtrail("damaged", 10);
    let whole = std::mem::take(&mut damaged.bytes);
    damaged.bytes = whole[..whole.len() / 2].to_vec();
    let digest = Object {
        key: good.key.replace("CloudTrail/", "CloudTrail-Digest/"),
        bytes: good.bytes.clone(),
        frames: vec![],
    };
    let foreign =
        Object { key: "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/x.log.gz".into(), ..feeds::vpc("x", 3) };
    lab.put_and_announce(&[good, damaged, digest, foreign]);
    let config = lab.config(json!({"aws_sqs_cloudtrail": {}, "aws_sqs_waf": {}}));
    lab.drain_but(2, &config);

    let found = audit(&lab, &config, &["--json"]);
    assert_eq!(found.code, Some(1), "log:\n{}", found.log);
    let report = read(&found);
    let total = |class: &str| report["total"][class]["objects"].as_u64().unwrap();
    assert_eq!(["delivered", "rejected", "skipped", "missing"].map(total), [1, 1, 1, 0], "{report:#}");
    assert_eq!(report["rejected"][0]["reason"], "damaged");
    assert_eq!(report["skipped"][0]["reason"], "skip_rule: CloudTrail-Digest");
    assert_eq!(report["of_no_service"]["objects"], 1);
    let text = String::from_utf8_lossy(&audit(&lab, &config, &[]).stdout).into_owned();
    for words in [
        "rejected: sqs_collector/aws_sqs_cloudtrail: 1 objects",
        "damaged (it is truncated or corrupt)",
        "CloudTrail-Digest",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }

    // It was mended in its place: another ETag is another object, which nobody announced.
    lab.put(&[Object { bytes: whole, ..feeds::cloudtrail("damaged", 10) }]);
    let fixed = audit(&lab, &config, &["--fix", "--json"]);
    assert_eq!(fixed.code, Some(0), "log:\n{}", fixed.log);
    assert_eq!(read(&fixed)["total"]["delivered"]["objects"], 2);
}

#[test]
fn what_cannot_be_answered_is_no_answer() {
    let lab = Lab::new("audit-mistakes");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let refused = |more: &[&str], says: &str| {
        let ended = audit(&lab, &config, more);
        assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
        assert!(ended.log.contains(says), "{says} is not in\n{}", ended.log);
    };
    refused(&[], "name the bucket with --bucket");
    refused(&["--bucket", "no-such-bucket"], "NoSuchBucket");
    refused(&["--bucket", &format!("other={}", lab.bucket)], "\"other\" is not an enabled input");
    refused(&["--input", "sqs_colector"], "did you mean \"sqs_collector\"?");
    refused(&["--ledger", "/nowhere/ledger.sqlite3"], "there is no ledger /nowhere");
    let refused_window = |from: &str, to: &str, says: &str| {
        let ended = lab.command(&config, &["audit", "--bucket", &lab.bucket, "--from", from, "--to", to]);
        assert_eq!(ended.code, Some(2), "log:\n{}", ended.log);
        assert!(ended.log.contains(says), "{says} is not in\n{}", ended.log);
    };
    refused_window("2026-11-22", "2026-11-21", "is empty");
    // Nothing can be complete that has not been yet.
    refused_window("2199-11-21", "2199-11-22", "--to is in the future");
    let empty = audit(&lab, &config, &["--bucket", &lab.bucket]);
    assert_eq!(empty.code, Some(0), "log:\n{}", empty.log);
    let text = String::from_utf8_lossy(&empty.stdout).into_owned();
    assert!(text.starts_with("No object of the audited services is dated"), "{text}");
}

/// The second audit after `--fix` reads the ledger that the first did not find.
#[test]
fn the_first_run_may_be_an_audit_that_sends() {
    let lab = Lab::new("audit-first");
    let objects: Vec<Object> = (0..3).map(|i| feeds::vpc(&format!("{i}"), 5)).collect();
    lab.put(&objects);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let fixed = audit(&lab, &config, &["--bucket", &lab.bucket, "--fix", "--json"]);
    assert_eq!(fixed.code, Some(0), "log:\n{}", fixed.log);
    assert_eq!(read(&fixed)["total"]["delivered"]["objects"], 3);
    lab.expect_delivered(&all_frames(&objects));
}

/// Two collectors on one queue have a ledger each.
#[test]
fn what_another_collector_delivered_is_in_its_ledger() {
    let lab = Lab::new("audit-two");
    let objects: Vec<Object> = (0..4).map(|i| feeds::vpc(&format!("{i}"), 5)).collect();
    let config = |state: &str| {
        let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
        let directory = lab.directory().join(state);
        config["globals"]["persistence"]["config"]["directory_name"] = json!(directory);
        config
    };
    lab.put_and_announce(&objects[..2]);
    lab.drain_all(&config("one"));
    lab.put_and_announce(&objects[2..]);
    lab.drain_all(&config("two"));
    let alone = audit(&lab, &config("one"), &["--json"]);
    assert_eq!((alone.code, &read(&alone)["total"]["missing"]["objects"]), (Some(1), &json!(2)));
    let copy = lab.directory().join("two/ledger.sqlite3");
    let both = audit(&lab, &config("one"), &["--ledger", copy.to_str().unwrap()]);
    assert_eq!(both.code, Some(0), "log:\n{}", both.log);
}

#[test]
fn a_running_collector_finds_what_was_lost_and_sends_it() {
    let lab = Lab::new("audit-running");
    let today = jiff::Timestamp::now().strftime("%Y/%m/%d").to_string();
    let of_today = |object: Object| Object { key: object.key.replace("2026/11/21", &today), ..object };
    let objects: Vec<Object> = (0..4).map(|i| of_today(feeds::vpc(&format!("{i}"), 10))).collect();
    // The first is what the bucket is known by, the others were written before somebody set up the notification.
    lab.put_and_announce(&objects[..1]);
    let (mut config, port) = with_page(lab.config(json!({"aws_sqs_vpc": {"quiet_after": "6h"}})));
    config["globals"]["audit"] = json!({"every": "10s", "window": "24h", "delay": "0s", "fix": false});
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the announced object", || lab.sink.received_bytes() > 0);
    lab.put(&objects[1..]);
    // Of another day, which is not in the collector's own audit.
    let lost = feeds::vpc("beside", 10);
    lab.put(std::slice::from_ref(&lost));
    aws::notify(&lab.bucket, &lab.queue);
    collector.wait_until("an audit", || metric(port, "audit_missing_objects") == Some(3.0));
    let warning = status(port)["warnings"][0].as_str().unwrap().to_owned();
    for words in ["audit: 3 objects are missing, such as s3://", "the queue is empty: their messages"] {
        assert!(warning.contains(words), "{words} is not in {warning}");
    }
    // A ledger that cannot be read is named.
    let odd = lab.directory().join("odd.sqlite3");
    std::fs::write(&odd, "no ledger").unwrap();
    let refused = audit(&lab, &config, &["--ledger", odd.to_str().unwrap()]);
    assert_eq!(refused.code, Some(2), "log:\n{}", refused.log);
    assert!(refused.log.contains(odd.to_str().unwrap()), "log:\n{}", refused.log);
    // The command beside it sends as well, and leaves its page alone.
    let beside = audit(&lab, &config, &["--bucket", &lab.bucket, "--fix"]);
    assert_eq!(beside.code, Some(0), "log:\n{}", beside.log);
    assert!(!beside.log.contains("status page"), "log:\n{}", beside.log);
    collector.stop();

    config["globals"]["audit"]["fix"] = json!(true);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("an audit that sends", || metric(port, "audit_objects_sent_total") == Some(3.0));
    collector.wait_until("its end", || metric(port, "audit_missing_objects") == Some(0.0));
    assert_eq!(metric(port, "audit_objects_found_total"), Some(3.0));
    assert_eq!(status(port)["warnings"], json!([]));
    let labels = "{input=\"sqs_collector\",service=\"aws_sqs_vpc\"}";
    let last = metric(port, &format!("last_delivery_timestamp_seconds{labels}")).unwrap();
    assert!((jiff::Timestamp::now().as_second() as f64 - last) < 300.0, "{last}");
    let ended = collector.stop();
    assert!(ended.log.contains("3 objects had not been announced"), "log:\n{}", ended.log);
    lab.expect_delivered(&[all_frames(&objects), lost.frames].concat());
}

/// As S3 writes it: a manifest, and a file of CSV.
#[test]
fn an_inventory_stands_for_a_listing() {
    let lab = Lab::new("audit-inventory");
    let objects: Vec<Object> = (0..4).map(|i| feeds::vpc(&format!("{i}"), 5)).collect();
    lab.put_and_announce(&objects[..3]);
    lab.put(&objects[3..]);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    lab.drain_all(&config);
    let line = |object: &Object| {
        let (key, size) = (object.key.replace('/', "%2F"), object.bytes.len());
        let etag = aws::etag(&lab.bucket, &object.key);
        format!("\"{}\",\"{key}\",\"{size}\",\"2026-11-21T10:00:00.000Z\",\"{etag}\"\n", lab.bucket)
    };
    let lines: String = objects.iter().map(line).collect();
    let file = feeds::gzip(lines.as_bytes());
    aws::put_object(&lab.bucket, "inventory/data/1.csv.gz", &file);
    let manifest = json!({
        "sourceBucket": lab.bucket, "destinationBucket": format!("arn:aws:s3:::{}", lab.bucket),
        "version": "2016-11-30", "creationTimestamp": "1795305600000", "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": [{"key": "inventory/data/1.csv.gz", "size": file.len(), "MD5checksum": ""}]
    });
    aws::put_object(&lab.bucket, "inventory/manifest.json", manifest.to_string().as_bytes());
    let url = format!("s3://{}/inventory/manifest.json", lab.bucket);
    let found = audit(&lab, &config, &["--inventory", &url, "--json"]);
    assert_eq!(found.code, Some(1), "log:\n{}", found.log);
    let report = read(&found);
    assert_eq!((&report["total"]["delivered"]["objects"], &report["calls"]), (&json!(3), &json!(0)));
    assert_eq!(report["missing"][0]["key"], objects[3].key);
    let fixed = audit(&lab, &config, &["--inventory", &url, "--fix"]);
    assert_eq!(fixed.code, Some(0), "log:\n{}", fixed.log);
    lab.expect_delivered(&all_frames(&objects));

    // Created two days before the window ends.
    let early = manifest.to_string().replace("1795305600000", "1795132800000");
    aws::put_object(&lab.bucket, "inventory/early/manifest.json", early.as_bytes());
    let url_of_early = format!("s3://{}/inventory/early/manifest.json", lab.bucket);
    let early = audit(&lab, &config, &["--inventory", &url_of_early, "--json"]);
    assert_eq!(early.code, Some(2), "log:\n{}", early.log);
    assert_eq!(read(&early)["complete"], false);

    // Cut off behind a line, as a whole file may end.
    let first = feeds::gzip(line(&objects[0]).as_bytes());
    aws::put_object(&lab.bucket, "inventory/data/1.csv.gz", &first);
    let cut = audit(&lab, &config, &["--inventory", &url]);
    assert_eq!(cut.code, Some(2), "log:\n{}", cut.log);
    assert!(cut.log.contains("according to the manifest"), "log:\n{}", cut.log);
}

/// What is missing may be much: it waits in a file.
#[test]
fn very_many_missing_objects_do_not_fill_the_memory() {
    const PAGES: usize = 100;
    let lab = Lab::new("audit-many");
    let server = Answerer::start(move |asked| match asked.path.contains("list-type=2") {
        true => (200, page_of_objects(&asked.path, PAGES)),
        false => (404, String::new()),
    });
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["s3_endpoint_url"] = json!(server.endpoint);
    let found = audit(&lab, &config, &["--bucket", "logs", "--json"]);
    assert_eq!(found.code, Some(1), "log:\n{}", found.log);
    assert_eq!(read(&found)["missing"].as_array().unwrap().len(), PAGES * 1000);
    println!("100,000 missing objects: peak memory {} MiB", found.peak_rss >> 20);
    assert!(found.peak_rss < 64 << 20, "peak memory {} MiB", found.peak_rss >> 20);
}

/// The keys behind `start-after`, numbered.
fn page_of_objects(path: &str, pages: usize) -> String {
    let stem = "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/1_vpcflowlogs_us-east-1_fl-0123456789abcdef0_20261121T1000Z_";
    let after = path.split("start-after=").nth(1).map_or(0, |key| {
        let digits: String =
            key.split(['&']).next().unwrap().chars().rev().skip("gol.".len()).take(8).collect();
        digits.chars().rev().collect::<String>().parse::<usize>().unwrap() + 1
    });
    let contents: String = (after..after + 1000)
        .map(|number| format!(
            "<Contents><Key>{stem}{number:08}.log</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified>\
             <ETag>&quot;{number:032x}&quot;</ETag><Size>1000</Size><StorageClass>STANDARD</StorageClass></Contents>"
        ))
        .collect();
    let more = after + 1000 < pages * 1000;
    format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>")
}

/// A stand-in for Devo's query API, for want of a domain: it speaks the protocol that is documented, and counts what the
/// test's sink received.
struct Devo {
    server: Answerer,
    /// Events by table, and the moment of their arrival in milliseconds since 1970.
    tables: Arc<Mutex<(BTreeMap<String, u64>, i64)>>,
}

impl Devo {
    fn start() -> Devo {
        let tables = Arc::new(Mutex::new((BTreeMap::new(), 0i64)));
        let own = Arc::clone(&tables);
        let server = Answerer::start(move |asked| {
            if asked.authorization != "Bearer good-token" {
                return (403, r#"{"code":5,"msg":"Token invalid or expired"}"#.to_owned());
            }
            let query = asked.input["query"].as_str().unwrap().to_owned();
            let words: Vec<&str> = query.split(' ').collect();
            assert!(query.contains("where toktains(hostchain, \"collector-e2e-"), "{query}");
            assert!(query.ends_with("\") group every 5m select count() as events"), "{query}");
            assert_eq!(asked.input["mode"]["type"], "json/simple/compact");
            let (tables, time) = &*own.lock().unwrap();
            let Some(events) = tables.get(words[1]) else {
                return (500, format!(r#"{{"msg":"error","object":[1,"Unknown table `{}`"]}}"#, words[1]));
            };
            let columns = r#"{"m":{},"metadata":[{"name":"eventdate","type":"timestamp"},{"name":"events","type":"int8"}]}"#;
            let slot: i64 = time - time.rem_euclid(300_000);
            (200, format!("{columns}\n\n\n{{\"d\":[{slot},{events}]}}\n"))
        });
        Devo { server, tables }
    }

    /// It has what the sink received, changed.
    fn has(&self, frames: &[Vec<u8>], change: impl Fn(&str, u64) -> Option<u64>) {
        let mut tables = BTreeMap::new();
        // None of them has more than a line.
        let all = frames.concat();
        for line in String::from_utf8_lossy(&all).lines() {
            let header = line.split(": ").next().unwrap();
            let [tag, host] = header.rsplit(' ').take(2).collect::<Vec<_>>()[..] else { panic!("{header}") };
            assert!(host.starts_with("collector-e2e-"), "{host}");
            *tables.entry(tag.to_owned()).or_insert(0) += 1;
        }
        let changed = tables.iter().filter_map(|(tag, count)| Some((tag.clone(), change(tag, *count)?)));
        self.tables.lock().unwrap().0 = changed.collect();
    }
}

#[test]
fn what_devo_has_is_compared_with_what_was_sent() {
    let lab = Lab::new("audit-devo");
    let (trail, flows) = (feeds::cloudtrail("d", 40), feeds::vpc("d", 30));
    let frames = [trail.frames.clone(), flows.frames.clone()].concat();
    lab.put_and_announce(&[trail, flows]);
    let mut config = lab.config(json!({"aws_sqs_cloudtrail": {}, "aws_sqs_vpc": {}}));
    let (devo, token) = (Devo::start(), lab.directory().join("token"));
    std::fs::write(&token, "good-token\n").unwrap();
    config["globals"]["devo_api"] =
        json!({"url": format!("{}/search/query", devo.server.endpoint), "token_file": token});
    devo.tables.lock().unwrap().1 = jiff::Timestamp::now().as_millisecond();
    lab.drain_all(&config);

    let now = jiff::Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let (from, to) = ((now - hour).to_string(), (now + hour).to_string());
    let ask = |more: &[&str]| {
        let span = ["audit", "--devo", "--bucket", lab.bucket.as_str(), "--from", &from, "--to", &to];
        lab.command(&config, &[&span, more].concat())
    };
    let verdict = |report: &Value, table: &str| {
        let tables = report["devo"]["tables"].as_array().unwrap();
        let row = tables.iter().find(|row| row["table"] == table).unwrap_or_else(|| panic!("{report:#}"));
        (row["verdict"].as_str().unwrap().to_owned(), row["by"].as_u64())
    };
    let flow = "cloud.aws.vpc.flow";
    devo.has(&lab.sink.received(), |_, count| Some(count));
    let equal = ask(&["--json"]);
    let report = read(&equal);
    assert_eq!(equal.code, Some(0), "{report:#}\nlog:\n{}", equal.log);
    assert!(
        report["devo"]["tables"].as_array().unwrap().iter().all(|row| row["verdict"] == "equal"),
        "{report:#}"
    );

    devo.has(&lab.sink.received(), |tag, count| Some(if tag == flow { count + 7 } else { count }));
    let more = ask(&["--json"]);
    assert_eq!((more.code, verdict(&read(&more), flow)), (Some(0), ("more".to_owned(), Some(7))));

    devo.has(&lab.sink.received(), |tag, count| (tag != "cloud.aws.cloudtrail.signin").then_some(count));
    let unknown = ask(&[]);
    let text = String::from_utf8_lossy(&unknown.stdout).into_owned();
    assert_eq!(unknown.code, Some(2), "what cannot be compared is not complete: {text}");
    assert!(text.contains("Devo has no table cloud.aws.cloudtrail.signin"), "{text}");
    assert!(text.contains(" tables could not be compared."), "{text}");
    assert!(!text.contains("Devo has all events sent"), "{text}");

    // Another collector's events arrive under its own host.
    devo.has(&lab.sink.received(), |_, count| Some(count));
    let copy = lab.directory().join("copy.sqlite3");
    std::fs::copy(
        Path::new(config["globals"]["persistence"]["config"]["directory_name"].as_str().unwrap())
            .join("ledger.sqlite3"),
        &copy,
    )
    .unwrap();
    let both = ask(&["--ledger", copy.to_str().unwrap()]);
    assert_eq!(both.code, Some(0), "{}\nlog:\n{}", String::from_utf8_lossy(&both.stdout), both.log);

    devo.has(&lab.sink.received(), |tag, count| Some(if tag == flow { count - 5 } else { count }));
    let fewer = ask(&["--json"]);
    let report = read(&fewer);
    assert_eq!((fewer.code, verdict(&report, flow)), (Some(1), ("fewer".to_owned(), Some(5))), "{report:#}");
    assert!(report["devo"]["objects"][0].as_str().unwrap().contains("vpcflowlogs"), "{report:#}");
    let fixed = ask(&["--fix"]);
    assert!(fixed.log.contains("1 objects of bucket-audit-devo are sent again"), "log:\n{}", fixed.log);
    let again = lab.expect_delivered_at_least_once("audit --devo --fix", &frames);
    assert_eq!(again, 30, "the flows are there twice");

    std::fs::write(&token, "bad-token").unwrap();
    let refused = ask(&[]);
    assert_eq!(refused.code, Some(2), "log:\n{}", refused.log);
    assert!(refused.log.contains("another region than globals.devo_api.region"), "log:\n{}", refused.log);
}

fn metric(port: u16, name: &str) -> Option<f64> {
    let (_, text) = try_ask(port, &format!("GET /metrics HTTP/1.1\r\nHost: localhost:{port}"))?;
    text.lines().find_map(|line| line.strip_prefix(&format!("aws_to_devo_{name} "))?.parse().ok())
}

fn audit(lab: &Lab, config: &Value, more: &[&str]) -> Ended {
    lab.command(config, &[&["audit"], DAY.as_slice(), more].concat())
}

fn read(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}\nlog:\n{}", String::from_utf8_lossy(&ended.stdout), ended.log)
    })
}
