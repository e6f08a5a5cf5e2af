//! Tests of liveness, death and the end of a job, with inputs made for the purpose.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::config::{self, Environment};
use crate::settings::Config;

/// An input whose threads do what a test wants.
#[derive(Default)]
struct Fake {
    pulling: Crew,
    serving: Crew,
    in_work: bool,
    hangs: bool,
    /// Number of those that have been told to end, of all that share it.
    told: Arc<AtomicUsize>,
}

/// The fate of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Runs,
    Ends,
    Panics,
}

impl Intake for Fake {
    fn is_finished(&self) -> bool {
        !self.in_work && self.pulling.has_ended()
    }

    fn pulling(&self) -> &Crew {
        &self.pulling
    }

    fn serving(&self) -> Vec<&Crew> {
        vec![&self.serving]
    }

    fn end(&mut self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        !self.hangs && self.told.load(Ordering::Relaxed) == Arc::strong_count(&self.told)
    }
}

fn crew(fate: Fate, stop: &Stop) -> Crew {
    let (mut crew, stop) = (Crew::new(), stop.clone());
    crew.spawn("made-for-a-test", move || match fate {
        Fate::Runs => stop.wait_until_stopped(),
        Fate::Ends => (),
        Fate::Panics => panic!("on purpose"),
    })
    .unwrap();
    while fate != Fate::Runs && !crew.has_ended() {
        std::thread::yield_now();
    }
    crew
}

/// A pipeline without queues or sources, and the directory of its ledger.
fn pipeline(job: &Job, shutdown_timeout: u64) -> (Pipeline, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let text = serde_json::json!({
        "globals": {"shutdown_timeout": shutdown_timeout},
        "outputs": {"c": {"type": "console"}},
        "inputs": {"sqs_collector": {
            "id": "1", "base_url": "https://sqs.eu-west-1.amazonaws.com/111111111111/q", "services": {"aws_sqs_vpc": {}}
        }}
    });
    let parsed = config::parse(&text.to_string(), directory.path(), &Environment::here());
    let mut config = parsed.unwrap().config;
    config.inputs.clear();
    config.globals.state_directory = Path::new(directory.path()).join("state");
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    (Pipeline::start(&config, job, &telemetry).unwrap(), directory)
}

fn with(mut pipeline: Pipeline, pulling: Fate, serving: Fate) -> Pipeline {
    let (pulling, serving) = (crew(pulling, &pipeline.stop), crew(serving, &pipeline.stop));
    pipeline.intakes.push(Box::new(Fake { pulling, serving, ..Fake::default() }));
    pipeline
}

#[test]
fn a_run_lives_while_all_its_threads_do() {
    let mut vitals = Vitals::new(Instant::now());
    let (alone, _directory) = pipeline(&Job::Run, 0);
    assert!(alone.pulse(&mut vitals).life.is_ok(), "nothing to fetch is no death");
    let fates = [Fate::Runs, Fate::Ends, Fate::Panics];
    for (pulling, serving) in fates.iter().flat_map(|one| fates.map(|other| (*one, other))) {
        let (pipeline, _directory) = pipeline(&Job::Run, 0);
        let pipeline = with(pipeline, pulling, serving);
        let lives = pulling == Fate::Runs && serving == Fate::Runs;
        let life = pipeline.pulse(&mut vitals).life;
        assert_eq!(life.is_ok(), lives, "{pulling:?} {serving:?}");
        let snapshot = pipeline.telemetry.snapshot(jiff::Timestamp::now());
        let told = snapshot.reasons.iter().any(|reason| reason.contains("made-for-a-test"));
        assert_eq!(told, !lives, "{:?}", snapshot.reasons);
        assert_eq!(pipeline.telemetry.collector.is_dead(), !lives);
    }
}

#[test]
fn a_stage_that_has_ended_is_death() {
    let kill: [fn(&mut Pipeline, Crew); 2] = [|p, crew| p.fetchers = crew, |p, crew| p.internal = crew];
    for job in [Job::Run, Job::Drain] {
        for kill in kill {
            for fate in [Fate::Ends, Fate::Panics] {
                let (mut pipeline, _directory) = pipeline(&job, 0);
                let dead = crew(fate, &pipeline.stop);
                kill(&mut pipeline, dead);
                assert!(pipeline.pulse(&mut Vitals::new(Instant::now())).life.is_err(), "{job:?} {fate:?}");
            }
        }
    }
}

#[test]
fn a_drain_ends_well_only_if_its_threads_did() {
    for (pulling, serving, clean) in [
        (Fate::Ends, Fate::Runs, true),
        (Fate::Panics, Fate::Runs, false),
        (Fate::Ends, Fate::Ends, false),
        (Fate::Runs, Fate::Panics, false),
    ] {
        let (pipeline, _directory) = pipeline(&Job::Drain, 0);
        let ending = with(pipeline, pulling, serving).run(&mut |_| ());
        assert_eq!(ending.is_clean(), clean, "{pulling:?} {serving:?}: {ending:?}");
        assert_eq!(ending.gave_up.is_none(), clean, "{ending:?}");
    }
}

#[test]
fn a_drain_that_is_stopped_before_its_end_has_not_ended_well() {
    // Whether its threads have ended because of the stop or continue.
    for fate in [Fate::Runs, Fate::Ends] {
        let (mut drain, _directory) = pipeline(&Job::Drain, 0);
        let never = Stop::new();
        let (pulling, serving) = (crew(fate, &never), crew(Fate::Runs, &never));
        drain.intakes.push(Box::new(Fake { pulling, serving, ..Fake::default() }));
        drain.stop.stop();
        let ending = drain.run(&mut |_| ());
        assert!(ending.interrupted && !ending.is_clean(), "{fate:?}: {ending:?}");
        never.stop();
    }
    let (run, _directory) = pipeline(&Job::Run, 0);
    run.stop.stop();
    assert!(with(run, Fate::Runs, Fate::Runs).run(&mut |_| ()).is_clean());
}

#[test]
fn all_inputs_are_told_to_end_before_one_is_waited_for() {
    let (mut pipeline, _directory) = pipeline(&Job::Run, 3600);
    let told = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        // Each has ended when all have been told.
        pipeline.intakes.push(Box::new(Fake { told: Arc::clone(&told), ..Fake::default() }));
    }
    let counted = Arc::downgrade(&told);
    drop(told);
    pipeline.stop.stop();
    assert!(pipeline.run(&mut |_| ()).is_clean());
    assert!(counted.upgrade().is_none());
}

#[test]
fn a_stop_does_not_wait_for_what_hangs() {
    let (mut pipeline, _directory) = pipeline(&Job::Run, 0);
    let (hanging, never) = (Fate::Runs, Stop::new());
    let fake = Fake { serving: crew(hanging, &never), in_work: true, hangs: true, ..Fake::default() };
    pipeline.intakes.push(Box::new(fake));
    (pipeline.fetchers, pipeline.internal) = (crew(hanging, &never), crew(hanging, &never));
    pipeline.stop.stop();
    pipeline.run(&mut |_| ());
    never.stop();
}

/// A queue that always has a message.
fn queue() -> Arc<tiny_http::Server> {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let serving = Arc::clone(&server);
    std::thread::spawn(move || {
        for mut request in serving.incoming_requests() {
            let mut body = String::new();
            request.as_reader().read_to_string(&mut body).unwrap();
            let message = r#"{"Messages": [{"MessageId": "m", "ReceiptHandle": "h", "Body": "log", "Attributes": {}}]}"#;
            let answer = if body.contains("MaxNumberOfMessages") { message } else { "{}" };
            // The caller may be gone.
            let _ = request.respond(tiny_http::Response::from_string(answer));
        }
    });
    server
}

/// A configuration that reads it.
fn reading(queue: &tiny_http::Server, directory: &Path) -> Config {
    let address = format!("http://{}", queue.server_addr());
    let text = serde_json::json!({
        "globals": {"shutdown_timeout": 0},
        "outputs": {"c": {"type": "console"}},
        "inputs": {"sqs_collector": {
            "id": "1", "base_url": format!("{address}/1/q"), "endpoint_url": address, "region": "eu-west-1",
            "credentials": {"aws_access_key_id": "AKIATESTTESTTEST0001", "aws_secret_access_key": "secret"},
            "direct_mode": true, "services": {"aws_sqs_vpc": {}}
        }}
    });
    let mut config = config::parse(&text.to_string(), directory, &Environment::here()).unwrap().config;
    config.globals.state_directory = directory.join("state");
    config
}

#[test]
fn receivers_that_panic_end_no_drain_well_and_let_no_run_look_alive() {
    let (queue, directory) = (queue(), tempfile::tempdir().unwrap());
    let config = reading(&queue, directory.path());
    let mut broken = config.clone();
    // Received messages have no service.
    broken.inputs[0].services.clear();
    for job in [Job::Drain, Job::Run] {
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let pipeline = Pipeline::start(&broken, &job, &telemetry).unwrap();
        let stop = pipeline.stop().clone();
        let mut lost = None;
        let ending = pipeline.run(&mut |pulse| {
            if let Err(Dead::Thread(name)) = &pulse.life {
                lost = Some(name.clone());
                stop.stop();
            }
        });
        let lost = lost.or(ending.gave_up).unwrap_or_default();
        assert!(lost.contains("receive-sqs_collector"), "{job:?}: {lost:?}");
    }
    queue.unblock();
}

#[test]
fn a_lack_of_threads_or_of_room_is_none_of_the_configurations_faults() {
    use crate::ledger::OpenError;
    use anyhow::anyhow;
    let io = |code| std::io::Error::from_raw_os_error(code);
    let path = || std::path::PathBuf::from("state");
    let (again, denied) = (11, 13);
    for (error, temporary) in [
        (anyhow!(io(again)).context("cannot start a thread"), true),
        (anyhow!(crate::stages::send::PoolError::Thread(io(again))), true),
        (anyhow!(OpenError::Thread(io(again))), true),
        (anyhow!(OpenError::Held { directory: path(), by: "process 1".into(), ours: false }), true),
        (anyhow!(OpenError::Directory { path: path(), cause: io(denied) }), false),
        (anyhow!("QueueUrl is no URL"), false),
    ] {
        assert_eq!(is_temporary(&error), temporary, "{error:#}");
    }
}
