//! Any answers to a polled source, and any state of an earlier process: no panic, a request until there is nothing more,
//! and a state that the next process resumes from.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use aws_to_devo::aws::failure::Refusal;
use aws_to_devo::aws::http::{Fault, Transport};
use aws_to_devo::aws::{Client, Error, Http, Kind, Provider, Request};
use aws_to_devo::base::stop::Stop;
use aws_to_devo::config::{self, Environment};
use aws_to_devo::settings::{Endpoints, Source};
use aws_to_devo::stages::sources::source::{Next, PageSource, Progress, after};
use aws_to_devo::stages::sources::{Moment, source_of};
use aws_to_devo_fuzz::parts;
use http::HeaderMap;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str = "
outputs: {o: {type: console}}
inputs:
  aws:
    id: '1'
    services:
      audit-events-all: {types: [audits_api], regions: [us-east-2], start_time: '2026-05-01T00:00:00Z', drop_event_names: [a]}
      metrics-all: {metric_namespaces: [a], metric_units: true, regions: [us-east-2]}
      aws-guardduty: {regions: [us-east-2]}
      of_a_group: {types: [logs], log_group: a, use_first_optimized_retrieval: true, regions: [us-east-2]}
      of_all_groups: {types: [logs], log_group: /, tag: my.app.a.b, regions: [us-east-2]}
";

/// Some time after the configured start.
const NOW: i64 = 1_780_000_000;
/// More than any source has to say between two requests.
const SILENT_STEPS_MAX: usize = 1000;

/// The network, which no source uses itself.
struct Nothing;

impl Transport for Nothing {
    fn send(&self, _: &Request, _: &[(&'static str, String)]) -> Result<http::Response<ureq::Body>, Fault> {
        Err(Fault::new(Kind::Stopped, ""))
    }

    fn shutdown(&self) {}
}

struct World {
    sources: Vec<Source>,
    client: Client,
}

thread_local! {
    static WORLD: World = {
        let loaded = config::parse(CONFIGURATION, Path::new(""), &Environment::here()).expect("a configuration");
        let (http, stop) = (Http::over(Nothing), Stop::new());
        let client = Client::with(&http, Provider::anonymous(), "us-east-2", Endpoints::default(), &stop);
        World { sources: loaded.config.sources, client }
    };
}

// The first byte chooses the source, and whether the first part is an earlier process's state, `part=position` in each
// line; the other parts are answers, or with an exclamation mark before them refusals.
fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    WORLD.with(|world| pull(world, *kind, input));
});

fn pull(world: &World, kind: u8, input: &[u8]) {
    let settings = &world.sources[usize::from(kind & 0x7f) % world.sources.len()];
    let mut answers = input.split(|byte| *byte == 0);
    let mut state = match kind & 0x80 {
        0 => BTreeMap::new(),
        _ => left(parts::text(answers.next().unwrap_or_default())),
    };
    let mut source = source_of(settings, &world.client);
    source.resume(&state);
    for answer in answers {
        let Some(request) = request(&mut *source, &mut state) else { break };
        give(&mut *source, &request, answer, &mut state);
        let _ = source.notes();
    }
    let mut next = source_of(settings, &world.client);
    next.resume(&state);
    let _ = request(&mut *next, &mut state);
}

fn left(state: &str) -> BTreeMap<String, String> {
    let positions = state.lines().filter_map(|line| line.split_once('='));
    positions.map(|(part, position)| (part.to_owned(), position.to_owned())).collect()
}

fn give(source: &mut dyn PageSource, asked: &Request, answer: &[u8], state: &mut BTreeMap<String, String>) {
    if let Some(refusal) = answer.strip_prefix(b"!") {
        let refusal = Refusal::read(400, &HeaderMap::new(), refusal);
        let _ = after(source, &Error::refused(asked, "", refusal), false);
        return;
    }
    match source.read(answer) {
        Ok(page) => note(page.progress, state),
        Err(_) => {
            let again = request(source, state).map(|again| (again.url(), again.body));
            assert_eq!(again, Some((asked.url(), asked.body.clone())), "the answer was not read");
        }
    }
}

fn moment() -> Moment {
    Moment::from(Timestamp::from_second(NOW).expect("a time"))
}

/// The next request. None if there is nothing more.
fn request(source: &mut dyn PageSource, state: &mut BTreeMap<String, String>) -> Option<Box<Request>> {
    for _ in 0..SILENT_STEPS_MAX {
        match source.next(&moment()) {
            Next::Call(request) => return Some(request),
            Next::Give(page) => note(page.progress, state),
            Next::Mark(progress) => note(progress, state),
            Next::CaughtUp => return None,
        }
    }
    panic!("the source neither requests anything nor is done");
}

fn note(progress: Progress, state: &mut BTreeMap<String, String>) {
    state.extend(progress.checkpoints);
}
