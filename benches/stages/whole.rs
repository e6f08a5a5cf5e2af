//! All stages together: from the message that announces an object to the sink that has counted its
//! events. The stand-ins for AWS and Devo run in the same process and are part of the CPU time: `bench` is
//! for absolute figures, this is for comparing two versions.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_to_devo::base::stop::Stop;
use aws_to_devo::config::{self, Environment};
use aws_to_devo::lab::testbed::aws::{ACCESS_KEY_ID, Aws, REGION, SECRET_ACCESS_KEY};
use aws_to_devo::lab::testbed::load::{self, Kind, LoadObject};
use aws_to_devo::lab::testbed::pki::Pki;
use aws_to_devo::lab::testbed::queue::Settings;
use aws_to_devo::lab::testbed::sink::{Keep, Sink};
use aws_to_devo::pipeline::{Job, Pipeline};
use aws_to_devo::telemetry::Telemetry;
use criterion::Throughput;

use crate::clock::Criterion;

const QUEUE: &str = "bench";
const OBJECT_BYTES: u64 = 2_000_000;
/// Objects announced together.
const OBJECTS: u64 = 8;
/// After this time, something has been lost.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole pipeline");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for service in ["aws_sqs_fdr", "aws_sqs_cloudtrail", "aws_sqs_vpc"] {
        let kind = Kind::of_service(service).unwrap();
        let objects = load::generate(kind, OBJECTS, OBJECT_BYTES).unwrap();
        let log_bytes =
            objects.iter().cycle().take(OBJECTS as usize).filter_map(|object| object.log_bytes).sum();
        let mut running = Running::start(service, objects).unwrap();
        group.throughput(Throughput::Bytes(log_bytes));
        group.bench_function(service, |b| b.iter(|| running.collect()));
        running.end();
    }
    group.finish();
}

/// A pipeline that waits for messages.
struct Running {
    native_fdr: bool,
    objects: Vec<LoadObject>,
    announced: u64,
    events: u64,
    aws: Aws,
    sink: Sink,
    stop: Stop,
    pipeline: JoinHandle<()>,
    /// Certificates and ledger.
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(service: &str, objects: Vec<LoadObject>) -> io::Result<Running> {
        let directory = tempfile::tempdir()?;
        let pki = Pki::generate().map_err(io::Error::other)?;
        pki.write_client_files(directory.path()).map_err(io::Error::other)?;
        let sink = Sink::start_on(&pki, 0, Keep::Counts).map_err(io::Error::other)?;
        let aws = Aws::start()?;
        aws.create_queue(QUEUE, Settings::default());
        let text = configuration(service, &aws, &sink);
        let config = config::parse(&text, directory.path(), &Environment::here()).unwrap().config;
        let (told, stop) = mpsc::channel();
        let pipeline = std::thread::spawn(move || {
            let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
            let pipeline = Pipeline::start(&config, &Job::Run, &telemetry).unwrap();
            told.send(pipeline.stop().clone()).unwrap();
            assert!(pipeline.run(&mut |_| ()).is_clean());
        });
        let stop = stop.recv().map_err(io::Error::other)?;
        let native_fdr = service == "aws_sqs_fdr";
        Ok(Running {
            native_fdr,
            objects,
            announced: 0,
            events: 0,
            aws,
            sink,
            stop,
            pipeline,
            _directory: directory,
        })
    }

    /// Announces the objects and waits until the sink has all their events.
    fn collect(&mut self) {
        let started = Instant::now();
        for object in self.objects.iter().cycle().take(OBJECTS as usize) {
            load::announce(&self.aws, QUEUE, self.native_fdr, object, self.announced);
            self.announced += 1;
            self.events += object.events.unwrap_or(0);
        }
        while self.sink.progress().events < self.events {
            assert!(started.elapsed() < PATIENCE, "events are missing");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn end(self) {
        self.stop.stop();
        self.pipeline.join().unwrap();
        assert_eq!(self.sink.progress().events, self.events, "no more than was announced");
        assert_eq!(self.sink.failures(), Vec::<String>::new());
    }
}

fn configuration(service: &str, aws: &Aws, sink: &Sink) -> String {
    format!(
        "globals: {{id: bench, name: bench}}\n\
         outputs:\n  sink: {{type: devo_platform, config: {{address: 127.0.0.1, port: {}, type: SSL, \
         chain: chain.crt, cert: domain.crt, key: domain.key}}}}\n\
         inputs:\n  sqs_collector:\n    id: \"1\"\n    enabled: true\n    region: {REGION}\n    \
         base_url: {}\n    endpoint_url: {}\n    sqs_wait_timeout: 1\n    \
         credentials: {{aws_access_key_id: {ACCESS_KEY_ID}, aws_secret_access_key: {SECRET_ACCESS_KEY}}}\n    \
         services: {{{service}: {{}}}}\n",
        sink.address().port(),
        aws.queue_url(QUEUE),
        aws.url(),
    )
}
