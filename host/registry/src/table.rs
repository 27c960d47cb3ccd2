//! What the three registries do to the store alike.

use caisson_store::record::{self, Record, Records};
use caisson_store::{Commit, Op, PAGE_ENTRIES_MAX, Store};

use crate::RegistryError;

/// Times that a change is tried when others change the same record meanwhile. Each try that fails
/// means that another one succeeded, so this many need as many rivals at once.
const TRIES_MAX: usize = 64;

/// All records whose keys start with `prefix`, up to `max`.
pub(crate) fn list<R: Record>(store: &Store, prefix: &str, max: usize) -> Result<Vec<R>, RegistryError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page: Records<R> = record::scan(store.metadata(), prefix, after.as_deref(), PAGE_ENTRIES_MAX)?;
        all.extend(page.records);
        if all.len() > max {
            return Err(RegistryError::TooMany {
                what: format!("{}s in one list", R::KIND),
                max: max as u64,
            });
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Up to `limit` of the records that are numbered from 1 without gaps, after number `after`.
pub(crate) fn numbered<R: Record>(
    store: &Store,
    after: u64,
    limit: usize,
    key: impl Fn(u64) -> String,
) -> Result<Vec<R>, RegistryError> {
    let mut found = Vec::new();
    for number in (after.saturating_add(1)..=u64::MAX).take(limit) {
        match record::get::<R>(store.metadata(), &key(number))? {
            Some(stored) => found.push(stored.record),
            None => break,
        }
    }
    Ok(found)
}

/// Work out a commit from what is there, and try again when someone else was faster.
///
/// Where nothing is to be done, the operations only check: what the answer rests on may be another
/// caller's commit that is still on its way to the disk, and a commit waits for it.
pub(crate) fn change<T>(
    store: &Store,
    name: &str,
    mut attempt: impl FnMut() -> Result<Attempt<T>, RegistryError>,
) -> Result<T, RegistryError> {
    for _ in 0..TRIES_MAX {
        let Attempt { ops, answer } = attempt()?;
        match store.metadata().commit(&ops)? {
            Commit::Done => return Ok(answer),
            Commit::Conflict { .. } => {}
        }
    }
    Err(RegistryError::Contended(name.to_owned()))
}

/// What one try of a change comes to: these operations, all or none, and then this answer.
pub(crate) struct Attempt<T> {
    pub(crate) ops: Vec<Op>,
    pub(crate) answer: T,
}

/// A number in a key, so that keys sort as numbers do.
pub(crate) fn number_key(number: u64) -> String {
    format!("{number:020}")
}
