//! Several hosts that share their work through a DynamoDB table.
//!
//! SQS shares its messages among hosts by itself; the table has what they must know of each other's objects ([`objects`]).
//! A polled source must be read by one host at a time, and the next one must know where to go on: the table has a lease
//! for each source, and the source's checkpoints.
//!
//! ```text
//! pk               sk                  attributes
//! leases           SOURCE              holder, epoch, meant, written, beat (for version 0.1.0)
//! hosts            HOST ID             name, version, sources, unable, beat, drained, obeys, passing, rate, messages,
//!                                      receives, expires
//! source/SOURCE    account             value
//! source/SOURCE    note                value
//! source/SOURCE    checkpoint/PART     value
//! source/SOURCE    seen/EPOCH/NUMBER   ids, latest, expires
//! object/PLACE     ETAG                holder, epoch, records, delivered, reason, expires and more
//! ```
//!
//! **A host that lives holds its leases.** Its heartbeat renews all of them at once, so that a round takes the same time
//! whatever their number; then the host reads which of them are still its own, and counts these from the heartbeat.
//!
//! **Only conditional writes decide.** A lease is taken by an update of the very version that was seen, with the condition
//! that its holder's heartbeat is still the last one that was seen; each time its epoch grows. Each write of checkpoints is a transaction with the condition that the lease still has the writer's
//! epoch, so a host that stood still for a while cannot move a checkpoint that another one owns by now. The transaction
//! also numbers itself in the lease, and happens only after those with smaller numbers: a call that was given up and
//! arrives late moves nothing back.
//!
//! **A host gives up what it cannot do.** Its heartbeat names the sources that it cannot poll, and those go to a host that
//! can. Leases of different divisions of the same log groups are different items, so no condition keeps two hosts from
//! holding both after one of them stood still; when they see each other, one of them ends.
//!
//! **No two clocks are compared.** The holder counts a lease from before the call that renewed it; the others count from
//! when they saw the renewal, which is later. Each uses its own monotonic clock.
//!
//! **People's wishes stand beside the leases**, not in their place: `drained` of a host and `meant` of a lease. Each host reads
//! them with the rest, and gives or takes accordingly.
//!
//! A host's heartbeat renews its claims of objects, too ([`hosts`]); [`claim`] is one of them, [`record`] its item.
//!
//! [`view`] says what a host has seen and what it should do about it; [`tenure`] is what a source's thread and the
//! fleet's threads share; [`table`] makes the calls; [`member`] runs them.

mod claim;
mod copy;
mod hosts;
mod lease;
mod member;
mod objects;
mod pending;
mod record;
mod table;
mod tenure;
mod view;

pub use claim::{Claim, Taken};
pub use copy::copied;
pub use lease::{Beat, Host, Lease, Leases, Load, NOBODY, reads_same};
pub use member::{Fleet, Settings};
pub use objects::Objects;
pub use record::{EXPIRES, Key, Record};
pub use table::{Known, Note, Table, persist};
pub use tenure::{Tenure, Trouble};
pub use view::View;
