//! Who did what, and how it ended: an append-only log that shows when it was tampered with.
//!
//! An [`AuditLog`] is one folder, open in one process at a time, which takes [`Event`]s and keeps
//! them as [`Record`]s: a line of JSON each, with the SHA-256 of the line before. What is changed,
//! removed, inserted or moved afterwards breaks that chain, and [`verify`] says where. A head file
//! holds the newest record's hash, so that cutting the end off is noticed too.
//!
//! - [`AuditLog::append`] returns when the record is on disk; calls at the same time share one
//!   flush. An action that must be on the record is only done, or acknowledged, after that.
//! - [`AuditLog::append_batched`] is for refusals, which anyone may cause as often as they like:
//!   repeats become one record with a count, and each tenant has a rate.
//! - [`AuditLog::tail`] and [`AuditLog::export`] read it, whole or one tenant's.
//! - Old segments go when the log is too large or too old; a record of the log names where it
//!   starts since then, so what is left still verifies.
//!
//! The chain has no secret: whoever may write the folder could write it anew from the first line.
//! [`AuditLog::head`] is the one line to keep somewhere else against that; [`verify_against`]
//! compares.
//!
//! Calls are synchronous and wait for the disk; asynchronous callers put them into
//! `tokio::task::spawn_blocking`, but for `append_batched`, which waits for nothing. An `AuditLog`
//! is a handle: clone it into the closure.

mod chain;
mod error;
mod files;
mod head;
mod log;
mod read;
mod record;
mod recover;
mod refusals;
mod retention;
mod text;
mod verify;
mod writer;

pub use error::AuditError;
pub use head::Head;
pub use log::{AuditLog, Options};
pub use read::{Filter, TAIL_RECORDS_MAX};
pub use record::{Actor, Event, Outcome, Record};
pub use verify::{BREAKS_MAX, Break, Position, Report, verify, verify_against};
