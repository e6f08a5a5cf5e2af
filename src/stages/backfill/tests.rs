//! A listing that is stopped repeatedly.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::aws::provider::Provider;
use crate::aws::proxy::Proxies;
use crate::aws::{Client, Http};
use crate::config;
use crate::handoff::TaskSource;
use crate::handoff::schedule;
use crate::handoff::schedule::Bounds;
use crate::http::{self, Body, Request, Response, Server};
use crate::ledger::{Role, Scope};
use crate::settings::Endpoints;
use crate::telemetry::Telemetry;

const KEYS: usize = 24;
const KEYS_PER_PAGE: usize = 2;
const CONFIG: &str = r#"
      sqs_collector:
        id: "1"
        base_url: https://sqs.us-east-1.amazonaws.com/111111111111/q
        services: {aws_sqs_vpc: {}}"#;

fn name(number: usize) -> String {
    format!("AWSLogs-1-vpcflowlogs-{number:04}.log.gz")
}

/// A bucket whose listings have short pages; it records the key after which each call listed.
struct Bucket {
    server: Server,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    fn serve() -> Bucket {
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let own = Arc::clone(&calls);
        let server = Server::start("bucket", (Ipv4Addr::LOCALHOST, 0).into(), 8, move |stream, _| {
            // Errors are the client's: it disconnected.
            let _ = http::serve(stream, |request| answer(request, &own));
        });
        Bucket { server: server.unwrap(), calls }
    }

    /// A bucket with these keys in one page; it reads no query.
    fn with(keys: &[&str]) -> Bucket {
        let contents = keys.iter().map(|key| contents(key)).collect::<String>();
        let server = Server::start("bucket", (Ipv4Addr::LOCALHOST, 0).into(), 8, move |stream, _| {
            // Errors are the client's: it disconnected.
            let _ = http::serve(stream, |_| listed(true, &contents));
        });
        Bucket { server: server.unwrap(), calls: Arc::default() }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn s3(&self, stop: &Stop) -> S3 {
        let http = Http::with(2, Proxies::default(), None).unwrap();
        let endpoints = Endpoints::each(|_| Some(format!("http://{}", self.server.address())));
        S3::new(Client::with(&http, Provider::anonymous(), "us-east-1", endpoints, stop))
    }
}

fn answer(request: &Request, calls: &Mutex<Vec<String>>) -> Response {
    let after = request.target.split("start-after=").nth(1).unwrap_or("");
    calls.lock().unwrap().push(after.to_owned());
    let mut left = (0..KEYS).map(name).filter(|key| key.as_str() > after);
    let page: String = left.by_ref().take(KEYS_PER_PAGE).map(|key| contents(&key)).collect();
    listed(left.next().is_some(), &page)
}

fn contents(key: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2026-10-12T17:50:30.000Z</LastModified><Size>1</Size></Contents>"
    )
}

fn listed(truncated: bool, contents: &str) -> Response {
    let body =
        format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}</ListBucketResult>");
    Response { status: 200, headers: Vec::new(), body: Body::Owned(body.into_bytes()) }
}

/// One run, which is stopped after this many objects. Returns what was delivered, and whether that was everything.
fn run(
    directory: &Path,
    bucket: &Bucket,
    output: &str,
    objects_max: usize,
    fails: Option<usize>,
) -> (BTreeSet<String>, bool) {
    let config = config::testing::of_inputs(CONFIG);
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let scope = Scope { role: Role::Backfill, outputs: vec![output.to_owned()], ..Scope::default() };
    let ledger = Ledger::open(directory, &scope, &telemetry).unwrap();
    let stop = Stop::new();
    let plan = Plan {
        bucket: "logs".to_owned(),
        prefix: String::new(),
        exact: false,
        start_after: String::new(),
        from: None,
        to: None,
        service: "aws_sqs_vpc".to_owned(),
    };
    let s3 = bucket.s3(&stop);
    let backfill = Backfill { listing: Listing::begin(plan, &s3).unwrap(), tally: Arc::default() };
    let (mut lanes, schedule) = schedule::new(1, Bounds { messages: 3, tasks: 3, begun: 99 });
    let settings = Settings {
        index: 0,
        input: config.inputs[0].clone(),
        account: AccountId::default(),
        backfill: backfill.clone(),
        s3,
        tasks: lanes.remove(0),
        ledger: ledger.clone(),
        telemetry: Arc::clone(&telemetry.inputs[0]),
        stop: stop.clone(),
    };
    let lister = Lister::start(settings).unwrap();
    let mut delivered = BTreeSet::new();
    let mut taken = 0;
    while !lister.is_finished() {
        let Some((task, _)) = schedule.take() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        taken += 1;
        let TaskSource::S3(object) = task.source else { panic!("a listing names objects") };
        if taken > objects_max {
            stop.stop();
        } else if fails.is_some_and(|number| object.key == name(number)) {
            task.share.resolve(Outcome::Reject);
        } else {
            delivered.insert(object.key);
            task.share.resolve(Outcome::Delivered);
        }
    }
    ledger.close(Duration::from_secs(60));
    (delivered, backfill.tally.is_complete())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_listing_that_is_stopped_again_and_again_comes_to_its_end(objects_max in 2 * KEYS_PER_PAGE..9) {
        let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::serve());
        let mut delivered = BTreeSet::new();
        let mut runs = 0;
        loop {
            let (more, complete) = run(directory.path(), &bucket, "a", objects_max, None);
            delivered.extend(more);
            runs += 1;
            prop_assert!(runs <= KEYS, "a run in which pages were delivered goes on behind them");
            if complete {
                break;
            }
        }
        prop_assert_eq!(&delivered, &(0..KEYS).map(name).collect());
        bucket.calls();
        let (again, _) = run(directory.path(), &bucket, "a", KEYS, None);
        prop_assert_eq!(again, delivered, "a backfill that has ended is not gone on with");
    }

    #[test]
    fn an_object_that_failed_is_listed_again(fails in 0..KEYS) {
        let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::serve());
        let (_, complete) = run(directory.path(), &bucket, "a", KEYS, Some(fails));
        prop_assert!(!complete);
        bucket.calls();
        let (second, complete) = run(directory.path(), &bucket, "a", KEYS, None);
        prop_assert!(complete && second.contains(&name(fails)));
        let page = fails / KEYS_PER_PAGE * KEYS_PER_PAGE;
        prop_assert_eq!(second, (page..KEYS).map(name).collect::<BTreeSet<_>>());
    }
}

#[test]
fn another_output_gets_everything() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::serve());
    let (first, complete) = run(directory.path(), &bucket, "a", KEYS / 2, None);
    assert!(!complete && !first.is_empty());
    let (all, complete) = run(directory.path(), &bucket, "b", KEYS, None);
    assert!(complete);
    assert_eq!(all.len(), KEYS);
}

#[test]
fn an_exact_key_is_one_object_and_none_that_begins_like_it() {
    let keys = ["a b'$(c).gz", "a b'$(c).gz.old", "a b'$(c).gz/d"];
    let bucket = Bucket::with(&keys);
    let s3 = bucket.s3(&Stop::new());
    let listed = |key: &str, exact| {
        let plan = Plan {
            bucket: "logs".to_owned(),
            prefix: key.to_owned(),
            exact,
            start_after: String::new(),
            from: None,
            to: None,
            service: String::new(),
        };
        let mut listing = Listing::begin(plan, &s3).unwrap();
        let page = listing.next_page(&s3).unwrap().unwrap();
        let rest = if exact { listing.next_page(&s3).unwrap() } else { None };
        assert!(rest.is_none(), "the answer says that there is more, and it is not asked for");
        page.into_iter().map(|listed| listed.key).collect::<Vec<_>>()
    };
    assert_eq!(listed(keys[0], true), keys[..1]);
    assert_eq!(listed("a b'$(c)", true), Vec::<String>::new());
    assert_eq!(listed(keys[0], false), keys);
}
