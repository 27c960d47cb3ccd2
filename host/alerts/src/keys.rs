//! Under which keys things are in the metadata, and how they get there.
//!
//! ```text
//! alerts/rules/{tenant}
//! alerts/state/{tenant}/{alert}
//! alerts/silence/{tenant}/{silence}
//! alerts/receiver/{tenant}/{receiver}
//! alerts/outbox/{tenant}/{receiver}/{number}
//! ```

use caisson_store::record::{self, Record};
use caisson_store::{COMMIT_OPS_MAX, Commit, Expect, Op, PAGE_ENTRIES_MAX, Store, StoreError};

/// All kinds, each a folder of tenants.
pub(crate) const RULES: &str = "alerts/rules/";
pub(crate) const STATE: &str = "alerts/state/";
pub(crate) const SILENCE: &str = "alerts/silence/";
pub(crate) const RECEIVER: &str = "alerts/receiver/";
pub(crate) const OUTBOX: &str = "alerts/outbox/";

pub(crate) fn rules(tenant: &str) -> String {
    format!("{RULES}{tenant}")
}

pub(crate) fn state(tenant: &str, alert: &str) -> String {
    format!("{STATE}{tenant}/{alert}")
}

pub(crate) fn silence(tenant: &str, id: &str) -> String {
    format!("{SILENCE}{tenant}/{id}")
}

pub(crate) fn receiver(tenant: &str, name: &str) -> String {
    format!("{RECEIVER}{tenant}/{name}")
}

/// Numbers of one width: the order of the keys is that of the numbers.
pub(crate) fn outbox(tenant: &str, receiver: &str, number: u64) -> String {
    format!("{OUTBOX}{tenant}/{receiver}/{number:016x}")
}

/// Write a record, whatever was there.
pub(crate) fn put<R: Record>(key: String, record: &R) -> Result<Op, StoreError> {
    Ok(Op::put(key, Expect::Any, record::encode(record)?))
}

/// Remove a record, if there is one.
pub(crate) fn delete(key: String) -> Op {
    Op::delete(key, Expect::Any)
}

/// All of these at once, on disk when this returns.
pub(crate) fn commit(store: &Store, ops: &[Op]) -> Result<(), StoreError> {
    if ops.is_empty() {
        return Ok(());
    }
    match store.metadata().commit(ops)? {
        Commit::Done => Ok(()),
        Commit::Conflict { .. } => Err(StoreError::BadRequest("a commit without conditions conflicts")),
    }
}

/// Remove these, some at a time.
pub(crate) fn delete_all(store: &Store, keys: impl IntoIterator<Item = String>) -> Result<(), StoreError> {
    let ops: Vec<Op> = keys.into_iter().map(delete).collect();
    ops.chunks(COMMIT_OPS_MAX).try_for_each(|ops| commit(store, ops))
}

/// The rest of each key after the prefix, and its record. One that can't be read is an error: without it
/// an alert would be told of twice, or never.
pub(crate) fn load<R: Record>(store: &Store, prefix: &str) -> Result<Vec<(String, R)>, StoreError> {
    scan(store, prefix, |key, value| {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        Ok((text(rest), record::decode(key, value)?))
    })
}

/// All keys with this prefix.
pub(crate) fn keys(store: &Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    scan(store, prefix, |key, _| Ok(text(key)))
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn scan<T>(
    store: &Store,
    prefix: &str,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store
            .metadata()
            .scan(prefix.as_bytes(), after.as_deref(), PAGE_ENTRIES_MAX)?;
        for (key, value) in &page.entries {
            found.push(each(key, value)?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}
