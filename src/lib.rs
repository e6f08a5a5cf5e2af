//! aws-to-devo: moves AWS-side logs to Devo at the speed of the machine.
//!
//! # The path of a log
//!
//! ```text
//! receive ──► resolve ──► fetch ──► decode ──► frame ──► send ──► ack ──► settle
//! SQS poll    body to     ranged    inflate,   header +   TLS      all     delete /
//! (threads)   objects     GETs      split      record     pool     parts   extend
//!             (pure)      (threads) (rayon)    (rayon)    (threads) done   (threads)
//! ```
//!
//! | from → to | carries | how | bound |
//! |---|---|---|---|
//! | receive, backfill → fetch | [`handoff::Task`], an object of a message or of a listing | [`handoff::schedule`], a lane per input | messages per fetcher, and started objects of each input |
//! | fetch → fetch, later | an object that S3 did not return | one waiting thread | started objects of each input |
//! | fetch → decode | [`handoff::Payload`], compressed bytes in order | a job on the rayon pool | bytes: [`base::budget::Budget`] |
//! | sources → decode | [`handoff::Payload`], a page of an API's answer | the same | pages in flight, and bytes |
//! | frame → send | [`handoff::Batch`], whole frames | directly to a free connection, else a channel per output | unconfirmed bytes per connection, batches per sender |
//! | send → settle | [`ack::Outcome`], through [`ack::Ack`] | channel per input | messages in flight |
//!
//! A stage waits only for the stages after it: fetch for workers, workers for senders, senders for the network.
//!
//! # The promise
//!
//! An SQS message is deleted only when every frame of every object that it names is known to have
//! reached the peer. [`ack`] counts, and a forgotten share is a failure; [`stages::send`] defines "reached";
//! [`ledger`] records; [`stages::receive`] deletes or returns.
//!
//! # Modules, in the order of the flow
//!
//! | module | what | touches the world |
//! |---|---|---|
//! | [`cli`] | the commands, one small file each | yes |
//! | [`config`] | the file as written (the vendor's keys) -> [`settings::Config`], valid by construction | files |
//! | [`base::limits`] | every bound in one place, with its reason | no |
//! | [`pipeline`] | creates the channels and threads; the last stage starts first and stops last | threads |
//! | [`services`] | the registry of services; rules, fields and tag templates | no |
//! | [`stages::receive`] | SQS polling, leases (visibility), settling (delete, return) | sockets |
//! | [`stages::backfill`] | an S3 listing instead of a queue: objects that were not announced | sockets |
//! | [`stages::resolve`] | message body -> objects | no |
//! | [`handoff::schedule`] | the turns of inputs and messages | no |
//! | [`stages::fetch`] | object -> payload: ranged GETs | sockets |
//! | [`decode`] | payload -> records: inflate, JSON, lines | no |
//! | [`stages::frame`] | record -> syslog frame in a batch | no |
//! | [`stages::send`] | batch -> Devo, relay, console: connection, unconfirmed window, resend | sockets |
//! | [`ack`] | the promise | no |
//! | [`stages::sources`] | sources behind an API (CloudTrail lookups): request -> page -> payload, checkpoints; the sources themselves are pure | sockets |
//! | [`ledger`] | state that survives a restart: delivered objects, progress inside big ones, checkpoints of sources (SQLite) | files |
//! | [`aws`] | signed calls: wire formats (pure), client; sources of credentials | sockets, files |
//! | [`telemetry`] | counters by stage, current problems, and the snapshot that all reporters read: log lines, metrics, page, live view, internal events | log |
//! | [`status`] | the status page, `/metrics`, `/healthz`, `/readyz`; [`http`] is the small server below it | sockets |
//! | [`setup`] | what a configuration needs in AWS: policy and CloudFormation template | no |
//! | [`base::naming`] | checks of names from messages and answers before they become part of an address | no |
//! | [`base`] | stopping, watching threads, waiting, budgets, reusing memory | threads |
//! | [`testbed`] | the embedded S3 + SQS endpoint and TLS sink behind `demo` and `bench`, and the objects to measure with | sockets |
//!
//! `receive`, `fetch` and `send` never import each other, and pure modules use no sockets, files,
//! threads or clocks: `tests/layers.rs` reads the paths in all modules and checks it, and that no
//! two modules know each other.

pub mod ack;
pub mod aws;
pub mod base;
pub mod cli;
pub mod config;
pub mod decode;
pub mod handoff;
pub mod http;
pub mod ledger;
pub mod pipeline;
pub mod services;
pub mod settings;
pub mod setup;
pub mod stages;
pub mod status;
pub mod telemetry;
pub mod testbed;
