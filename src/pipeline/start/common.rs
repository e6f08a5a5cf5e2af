//! Values that all parts of a start share.

use std::sync::Arc;

use anyhow::Context as _;

use crate::aws::{AccountId, Client, Http, S3, Sqs, Sts};
use crate::base::budget::Budget;
use crate::base::crew::Crew;
use crate::base::limits::{DECODERS_BYTES_PER_WORKER, DECODERS_BYTES_USUAL, MemoryShares, RECORD_BYTES_MAX};
use crate::base::pause::Pause;
use crate::base::stop::Stop;
use crate::decode::Bounds;
use crate::fleet::{self, Fleet, Load, Objects, Table};
use crate::handoff::Payload;
use crate::ledger::Ledger;
use crate::pipeline::handles::threads_that_call;
use crate::pipeline::{Job, Outside, Pulse, ledger};
use crate::settings::{Config, Input};
use crate::stages::send::wire::Network;
use crate::telemetry::{self, Telemetry};

/// Passes a payload to the workers.
pub type Decode = Arc<dyn Fn(Payload) + Send + Sync>;

/// A queue's two handles: waits of the first end when receiving stops, those of the second only at an abort.
#[derive(Clone)]
pub struct QueueHandles {
    pub receiving: Sqs,
    pub settling: Sqs,
}

/// The values that more than one stage is started with.
pub struct Common<'a> {
    pub config: &'a Config,
    pub job: &'a Job,
    pub telemetry: &'a Arc<Telemetry>,
    /// The way to the outputs' peers.
    pub network: &'a Network,
    pub memory: MemoryShares,
    pub http: Http,
    /// By the index of the input, like the next two.
    pub clients: Vec<Client>,
    pub queues: Vec<QueueHandles>,
    /// For tags that need them.
    pub accounts: Vec<AccountId>,
    pub ledger: Ledger,
    /// The other hosts that do the same work, and the threads that know of them. None: there are none.
    pub fleet: Option<(Fleet, Crew)>,
    /// Is on while nothing new is to be received.
    pub pause: Pause,
    pub stop: Stop,
    pub abort: Stop,
}

impl<'a> Common<'a> {
    /// Waits for the ledger, and calls `beat` meanwhile.
    ///
    /// # Errors
    /// Unusable queue addresses, an unusable ledger.
    pub fn new(
        outside: &'a Outside,
        config: &'a Config,
        job: &'a Job,
        telemetry: &'a Arc<Telemetry>,
        [stop, abort]: [&Stop; 2],
        beat: &mut dyn FnMut(&Pulse),
    ) -> anyhow::Result<Common<'a>> {
        let http = match &outside.http {
            Some(http) => http.clone(),
            None => Http::new(threads_that_call(config))?,
        };
        let counted = |(input, telemetry): (&Input, &Arc<telemetry::Input>)| {
            Client::of_input(&http, input, abort).counted_in(telemetry)
        };
        let clients: Vec<Client> = config.inputs.iter().zip(&telemetry.inputs).map(counted).collect();
        let queues = queues(config, &clients, stop)?;
        let accounts =
            config.inputs.iter().zip(&clients).map(|(input, client)| account(input, client, stop)).collect();
        let ledger = ledger::open(config, job, telemetry, stop, beat)?;
        let pause = Pause::default();
        let fleet =
            fleet(config, job, &http, telemetry, [stop, abort], &pause).context("cannot start a thread")?;
        let common = Common {
            config,
            job,
            telemetry,
            network: &outside.network,
            memory: MemoryShares::of(config.globals.memory_limit, &config.crew()),
            http,
            clients,
            queues,
            accounts,
            ledger,
            fleet,
            pause,
            stop: stop.clone(),
            abort: abort.clone(),
        };
        common.clients.iter().for_each(|client| common.keep_time_by(client));
        Ok(common)
    }

    /// Makes the ledger expire entries by AWS's clock.
    pub fn keep_time_by(&self, client: &Client) {
        let clock = client.clock().clone();
        self.ledger.keep_time_by(move || clock.is_known().then(|| clock.now()));
    }

    /// The ledger of an input: unsent objects must not be recorded as delivered.
    pub fn ledger_of(&self, input: &Input) -> Ledger {
        if input.do_not_send { Ledger::none() } else { self.ledger.clone() }
    }

    /// The objects that an input shares with other hosts. None if there are no other hosts, or if its objects are not sent.
    pub fn shared_by(&self, input: &Input) -> Option<Objects> {
        let (fleet, _) = self.fleet.as_ref().filter(|_| !input.do_not_send)?;
        Some(fleet.objects().clone())
    }

    /// The bucket side of an input whose objects are listed; its waits end when receiving stops.
    pub fn listing(&self, index: usize) -> S3 {
        S3::new(self.clients[index].stopped_by(&self.stop))
            .paid_by_caller(self.config.inputs[index].request_payer)
    }

    /// The memory of compressed bytes.
    pub fn compressed(&self) -> &Budget {
        self.telemetry.compressed.get_or_init(|| Budget::new(self.memory.compressed))
    }

    /// Bytes that all decoders together may hold. The workers' expanded bytes have two uses: the output of one gzip
    /// member, which each worker has separately, and decoder state between chunks, which all share.
    pub fn decoders_bytes(&self) -> usize {
        let workers = self.config.globals.workers;
        let all = self.memory.scratch * workers;
        (all / 2).min(DECODERS_BYTES_USUAL.max(DECODERS_BYTES_PER_WORKER * workers))
    }

    /// The bounds of one decoder.
    pub fn bounds(&self) -> Bounds {
        let (scratch, decoders) = (self.memory.scratch, self.decoders_bytes());
        Bounds {
            scratch_bytes_max: scratch - decoders / self.config.globals.workers,
            record_bytes_max: RECORD_BYTES_MAX.min(scratch).min(decoders),
            held_bytes_max: decoders,
            ..Bounds::default()
        }
    }
}

fn queues(config: &Config, clients: &[Client], stop: &Stop) -> anyhow::Result<Vec<QueueHandles>> {
    let queue = |(input, client): (&Input, &Client)| {
        let receiving = Sqs::new(client.stopped_by(stop), &input.queue)?;
        Ok(QueueHandles { receiving, settling: Sqs::new(client.clone(), &input.queue)? })
    };
    config.inputs.iter().zip(clients).map(queue).collect()
}

/// Joins the fleet, if the configuration names a table. A backfill polls nothing.
fn fleet(
    config: &Config,
    job: &Job,
    http: &Http,
    telemetry: &Arc<Telemetry>,
    [stop, abort]: [&Stop; 2],
    pause: &Pause,
) -> std::io::Result<Option<(Fleet, Crew)>> {
    let Some(table) = &config.globals.shared else { return Ok(None) };
    let sources = config.sources.iter().filter(|_| !matches!(job, Job::Backfill(_)));
    let own = Arc::clone(telemetry);
    let load = move || Load {
        rate: own.history().events_per_second().unwrap_or_default().round() as u64,
        // First: a receive that has just ended shows in its messages.
        receives: own.receives_under_way(),
        messages: own.messages_in_flight(),
        outage: own.outage(),
    };
    let settings = fleet::Settings {
        table: Table::new(http, table, abort),
        name: config.globals.host.clone(),
        sources: sources.map(|source| source.name.clone()).collect(),
        passing: matches!(job, Job::Drain | Job::Backfill(_)),
        destinations: ledger::scope(config).destinations(),
        claims: table.claims,
        pause: pause.clone(),
        load: Arc::new(load),
        stop: stop.clone(),
    };
    Fleet::join(settings, telemetry).map(Some)
}

/// The account for the tags of an input: from a role's ARN, else from STS.
fn account(input: &Input, client: &Client, stop: &Stop) -> AccountId {
    if !input.services.iter().any(|service| service.uses_account()) {
        return AccountId::default();
    }
    let is_needed = input.services.iter().any(|service| service.needs_account());
    AccountId::new(input.credentials.role_account(), is_needed, Sts::new(client.stopped_by(stop)))
}
