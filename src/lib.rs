//! aws-to-devo: moves AWS-side logs to Devo at the speed of the machine.
//!
//! # The way a log goes
//!
//! ```text
//! receive ──► resolve ──► fetch ──► decode ──► frame ──► send ──► ack ──► settle
//! SQS poll    body to     ranged    inflate,   header +   TLS      all     delete /
//! (threads)   objects     GETs      split      record     pool     parts   extend
//!             (pure)      (threads) (rayon)    (rayon)    (threads) done   (threads)
//! ```
//!
//! | from → to | what crosses | how | bound |
//! |---|---|---|---|
//! | receive, backfill → fetch | [`handoff::Task`], an object of a message or of a listing | [`handoff::schedule`], a lane for each input | messages per fetcher, and objects of each input that were begun |
//! | fetch → fetch, later | an object that S3 did not give | a thread that waits for all | objects of each input that were begun |
//! | fetch → decode | [`handoff::Payload`], compressed bytes in order | a job on the rayon pool | bytes: [`base::budget::Budget`] |
//! | sources → decode | [`handoff::Payload`], a page of an API's answer | the same | pages in work, and bytes |
//! | frame → send | [`handoff::Batch`], whole frames | straight onto a connection that is free, else a channel per output | unconfirmed bytes per connection, batches per sender |
//! | send → settle | [`ack::Outcome`], through [`ack::Ack`] | channel per input | messages in work |
//!
//! Waits go downstream only: fetch waits for workers, workers for senders, senders for the network.
//!
//! # The way back
//!
//! ```text
//! send ────────► batch ──► object ──► ledger ──► task ──► message ──► deletion
//! confirmed by   frames    pieces     a row      all its  all its     SQS
//! the peer       share     in order   on disk    objects  objects     DeleteMessage
//! ```
//!
//! Each arrow is a [`ack::Share`] that resolves: the first of them when the peer has confirmed a batch, the last when
//! the message may go. A page of an API has a checkpoint in place of a message.
//!
//! # The promise
//!
//! An SQS message is deleted only when every frame of every object that it names is known to have
//! reached the peer. [`ack`] counts, and forgetting counts as failure; [`stages::send`] says what "reached"
//! means; [`ledger`] remembers; [`stages::receive`] deletes, or gives back.
//!
//! # Modules, from the top down
//!
//! A module knows only those below it, and so do the files of each: `tests/layers.rs` reads the paths in all of them
//! and shows the circle if there is one.
//!
//! | module | what | touches the world |
//! |---|---|---|
//! | [`cli`] | the commands, one file each, thin | yes |
//! | `lab` | `demo` and `bench`, and the embedded S3 + SQS endpoint, TLS sink and objects behind both; `simulate`, the pipeline in a world that follows from a seed; a cargo feature | yes |
//! | [`config`] | the file as written (the vendor's keys) -> [`settings::Config`], valid by construction; read by the commands alone | files |
//! | [`setup`] | what AWS must have and allow for a configuration: policy and CloudFormation template | no |
//! | [`status`] | the status page with its history, failed objects and documentation; `/metrics`, `/healthz`, `/readyz`; [`http`] is the small server below it | sockets |
//! | [`pipeline`] | makes the channels and threads; the last stage starts first and stops last | threads |
//! | [`audit`] | compares the objects in buckets with the ledger, and the ledger with what Devo has: finds what is missing | sockets |
//! | [`stages::receive`] | SQS polling, leases (visibility), settling (delete, extend, release) | sockets |
//! | [`stages::backfill`] | an S3 listing instead of a queue: what nobody announced | sockets |
//! | [`stages::sources`] | sources behind an API (CloudTrail lookups): request -> page -> payload, checkpoints; the sources themselves are pure | sockets |
//! | [`stages::resolve`] | message body -> objects | no |
//! | [`stages::fetch`] | object -> payload: ranged GETs | sockets |
//! | [`stages::frame`] | record -> syslog frame in a batch | no |
//! | [`stages::send`] | batch -> Devo, relay, console: connection, unconfirmed window, resend | sockets |
//! | [`handoff`] | what crosses a channel between stages, and whose turn it is among inputs and messages | no |
//! | [`fleet`] | work that several hosts share through a DynamoDB table: claims of objects, leases and checkpoints of sources | sockets |
//! | [`ledger`] | what must survive a restart: delivered objects, progress inside big ones, checkpoints of sources (SQLite) | files |
//! | [`aws`] | signed calls: wire formats (pure), client; where credentials come from | sockets, files |
//! | [`telemetry`] | counters by stage (`model`), what is wrong at present, the snapshot, and the reporters that tell of it | log |
//! | [`settings`] | plain values that stages take | no |
//! | [`services`] | what a service is: its format, rules, fields and tag templates; the registry's rows | no |
//! | [`decode`] | payload -> records: inflate, JSON, lines | no |
//! | [`ack`] | the promise | no |
//! | [`base`] | bounds ([`base::limits`]), names from outside ([`base::naming`]), ending, watching threads, waiting, sharing a bounded amount, using memory again | threads |
//!
//! `decode` stands below the stages because services, which are below settings, name its formats. `ledger` stands
//! beside `aws`: work that crosses a channel carries a case of it. `receive`, `fetch` and `send` know nothing of each
//! other, and pure modules use no sockets, files, threads or clocks; the same test checks both.

pub mod ack;
pub mod audit;
pub mod aws;
pub mod base;
pub mod cli;
pub mod config;
pub mod decode;
pub mod fleet;
pub mod handoff;
pub mod http;
#[cfg(feature = "lab")]
pub mod lab;
pub mod ledger;
pub mod pipeline;
pub mod services;
pub mod settings;
pub mod setup;
pub mod stages;
pub mod status;
pub mod telemetry;
