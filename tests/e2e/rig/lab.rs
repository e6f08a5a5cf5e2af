//! The parts of every case: a bucket, a queue with a dead-letter queue, a sink, and a configuration that joins them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::aws::{self, Queue, User};
use crate::rig::collector::{Collector, Ended};
use crate::rig::fault_proxy::FaultProxy;
use crate::rig::feeds::Object;
use crate::rig::frames::{self, Frame};
use crate::rig::notices;
use crate::rig::process::PATIENCE;
use crate::rig::syslogng::SyslogNg;
use crate::rig::{emulator, pki};

/// Receives before the queue gives a message up. Many, because an outage must not use them up.
const RECEIVES_MAX: u32 = 1000;

/// Names used by cases of this run.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

pub struct Lab {
    directory: TempDir,
    pub bucket: String,
    pub queue: Queue,
    pub dead_letters: Queue,
    pub sink: SyslogNg,
}

impl Lab {
    /// `name` must be unique among the cases.
    pub fn new(name: &str) -> Lab {
        Lab::build(name, "server", RECEIVES_MAX)
    }

    /// The sink has another certificate of `pki.sh` than it should.
    pub fn with_server_certificate(name: &str, server: &'static str) -> Lab {
        Lab::build(name, server, RECEIVES_MAX)
    }

    /// The queue gives a message up at its second return.
    pub fn with_few_receives(name: &str) -> Lab {
        Lab::build(name, "server", 2)
    }

    fn build(name: &str, server: &'static str, receives_max: u32) -> Lab {
        // Two cases on one queue would occasionally take each other's messages.
        let is_new = NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        assert!(is_new, "another case's lab is called {name}");
        let directory = TempDir::with_prefix(format!("a2d-{name}-")).unwrap();
        let sink = SyslogNg::start(directory.path(), server);
        let bucket = format!("bucket-{name}");
        aws::create_bucket(&bucket);
        let dead_letters = Queue::create(&format!("{name}-dead"), None);
        let queue = Queue::create(name, Some((&dead_letters, receives_max)));
        Lab { directory, bucket, queue, dead_letters, sink }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A configuration in the vendor's keys, reading this lab's queue as `services`, writing to its sink.
    pub fn config(&self, services: Value) -> Value {
        json!({
            "globals": {
                "id": "e2e",
                "name": "end-to-end",
                // Several collectors run at a time.
                "status": {"enabled": false},
                "persistence": {"type": "filesystem", "config": {"directory_name": self.directory().join("state")}}
            },
            "outputs": {"devo_1": {"type": "devo_platform", "config": self.devo("client")}},
            "inputs": {"sqs_collector": {
                "id": "1",
                "enabled": true,
                "credentials": credentials(aws::user()),
                "base_url": self.queue.url,
                "region": aws::REGION,
                "endpoint_url": emulator::endpoint(),
                "sqs_visibility_timeout": 30,
                "sqs_wait_timeout": 1,
                "services": services
            }}
        })
    }

    /// The same for one service, with the calls to AWS going through a proxy.
    pub fn config_through(&self, proxy: &FaultProxy, service: &str) -> Value {
        let mut config = self.config(json!({service: {}}));
        config["inputs"]["sqs_collector"]["endpoint_url"] = json!(proxy.endpoint());
        config
    }

    /// The address of the sink, with the client certificate `client` of `pki.sh`.
    pub fn devo(&self, client: &str) -> Value {
        json!({
            "address": "localhost",
            "port": self.sink.port,
            "type": "SSL",
            "chain": pki::file("authority.crt"),
            "cert": pki::file(&format!("{client}.crt")),
            "key": pki::file(&format!("{client}.key"))
        })
    }

    /// Puts objects into the bucket.
    pub fn put(&self, objects: &[Object]) {
        // A few at a time, because a call is mostly latency.
        let quarter = objects.len().div_ceil(4).max(1);
        std::thread::scope(|scope| {
            for some in objects.chunks(quarter) {
                scope.spawn(|| some.iter().for_each(|o| aws::put_object(&self.bucket, &o.key, &o.bytes)));
            }
        });
    }

    /// Puts objects into the bucket, and one message for each into the queue.
    pub fn put_and_announce(&self, objects: &[Object]) {
        self.put(objects);
        self.announce(objects.iter().map(|o| o.key.as_str()));
    }

    /// Announces keys, in a message each, whether or not the object exists.
    pub fn announce<'k>(&self, keys: impl IntoIterator<Item = &'k str>) {
        let bodies: Vec<_> = keys.into_iter().map(|key| notices::s3_created(&self.bucket, &[key])).collect();
        self.queue.send(&bodies);
    }

    /// Starts `aws-to-devo run`.
    pub fn run(&self, config: &Value, more: &[&str]) -> Collector {
        self.run_with(&[], config, more)
    }

    /// The same with more environment variables.
    pub fn run_with(&self, environment: &[(&str, &str)], config: &Value, more: &[&str]) -> Collector {
        let file = self.write_config(config);
        let arguments = [&["run", "--config", &file], more].concat();
        Collector::start_with(&[], environment, self.directory(), &arguments)
    }

    /// The same under a command that becomes it, such as `prlimit`.
    pub fn run_under(&self, wrapper: &[&str], config: &Value, more: &[&str]) -> Collector {
        let file = self.write_config(config);
        let arguments = [&["run", "--config", &file], more].concat();
        Collector::start_with(wrapper, &[], self.directory(), &arguments)
    }

    /// Another command of `aws-to-devo` with this configuration, to its end.
    pub fn command(&self, config: &Value, arguments: &[&str]) -> Ended {
        let file = self.write_config(config);
        let arguments = [arguments, &["--config", &file]].concat();
        Collector::start(self.directory(), &arguments).end(PATIENCE)
    }

    /// `aws-to-devo run --drain` to its end.
    pub fn drain(&self, config: &Value) -> Ended {
        self.run(config, &["--drain"]).end(Duration::from_secs(300))
    }

    /// Drains, and requires success: exit code 0, the queue empty, nothing given up.
    pub fn drain_all(&self, config: &Value) -> Ended {
        let ended = self.drain(config);
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        assert!(self.queue.is_empty(), "the queue is not empty; log:\n{}", ended.log);
        assert!(self.dead_letters.is_empty(), "there are dead letters; log:\n{}", ended.log);
        self.sink_is_quiet();
        ended
    }

    /// Drains, and requires that `dead` messages ended as dead letters, and that the exit code reports it.
    pub fn drain_but(&self, dead: usize, config: &Value) -> Ended {
        let ended = self.drain(config);
        assert_eq!(ended.code, Some(1), "log:\n{}", ended.log);
        assert!(self.queue.is_empty(), "the queue is not empty; log:\n{}", ended.log);
        assert_eq!(self.dead_letters.peek().len(), dead, "dead letters; log:\n{}", ended.log);
        self.sink_is_quiet();
        ended
    }

    /// Requires that every frame has arrived at the sink exactly once, and nothing else, once nothing more comes.
    pub fn expect_delivered(&self, expected: &[Frame]) {
        self.sink_is_quiet();
        frames::assert_exactly(expected, &self.sink.received());
    }

    /// Requires that every frame has arrived, and nothing else, but allows repeats: a fault called `case` was survived.
    /// Returns the number of repeated frames, and prints a line of the table of faults.
    pub fn expect_delivered_at_least_once(&self, case: &str, expected: &[Frame]) -> usize {
        self.sink_is_quiet();
        frames::assert_at_least_once(case, expected, &self.sink.received())
    }

    /// The sink may be a moment behind the sender: waits until it gets no more.
    pub fn sink_is_quiet(&self) {
        let mut last = (self.sink.received_bytes(), 0);
        crate::rig::process::wait_for("the sink to be quiet", PATIENCE, || {
            let now = self.sink.received_bytes();
            last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
            last.1 == 20
        });
    }

    pub fn write_config(&self, config: &Value) -> String {
        let path = self.directory().join("config.json");
        std::fs::write(&path, serde_json::to_vec_pretty(config).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

pub fn credentials(user: &User) -> Value {
    json!({"aws_access_key_id": user.key_id, "aws_secret_access_key": user.secret})
}
