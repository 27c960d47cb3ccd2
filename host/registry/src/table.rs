//! What registries do to the store alike; also for the crates that keep records of their own beside
//! these.

use caisson_store::record::{self, Record, Records, Unreadable};
use caisson_store::{Commit, Op, PAGE_ENTRIES_MAX, Store};

use crate::RegistryError;

/// Times that a change is tried when others change the same record meanwhile. Each try that fails
/// means that another one succeeded, so this many need as many rivals at once: twice the threads on
/// which tokio runs blocking calls. A try is a few reads from memory.
const TRIES_MAX: usize = 1024;

/// All records whose keys start with `prefix`, up to `max`. One that can't be read is an error: whoever
/// chooses among them must not choose without it.
///
/// # Errors
///
/// More than `max`; one that can't be read; the store.
pub fn list<R: Record>(store: &Store, prefix: &str, max: usize) -> Result<Vec<R>, RegistryError> {
    walk(store, prefix, max, |unreadable| Err(unreadable.error.into()))
}

/// As [`list`], for those who only show or start what there is: a record that can't be read is named in
/// the log, and doesn't hide the others.
///
/// # Errors
///
/// More than `max`; the store.
pub fn list_readable<R: Record>(store: &Store, prefix: &str, max: usize) -> Result<Vec<R>, RegistryError> {
    walk(store, prefix, max, |unreadable| {
        tracing::error!(key = unreadable.key, error = %unreadable.error, "left out of a list");
        Ok(())
    })
}

fn walk<R: Record>(
    store: &Store,
    prefix: &str,
    max: usize,
    on_unreadable: impl Fn(Unreadable) -> Result<(), RegistryError>,
) -> Result<Vec<R>, RegistryError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page: Records<R> = record::scan(store.metadata(), prefix, after.as_deref(), PAGE_ENTRIES_MAX)?;
        all.extend(page.records);
        page.unreadable.into_iter().try_for_each(&on_unreadable)?;
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
///
/// # Errors
///
/// Those of `attempt`; [`RegistryError::Contended`] for the thing of this name; the store.
pub fn change<T, E: From<RegistryError>>(
    store: &Store,
    name: &str,
    mut attempt: impl FnMut() -> Result<Attempt<T>, E>,
) -> Result<T, E> {
    for _ in 0..TRIES_MAX {
        let Attempt { ops, answer } = attempt()?;
        match store.metadata().commit(&ops).map_err(RegistryError::from)? {
            Commit::Done => return Ok(answer),
            Commit::Conflict { .. } => {}
        }
    }
    Err(RegistryError::Contended(name.to_owned()).into())
}

/// What one try of a change comes to: these operations, all or none, and then this answer.
pub struct Attempt<T> {
    /// What is written, and on which conditions.
    pub ops: Vec<Op>,
    /// What the caller gets if all of them hold.
    pub answer: T,
}

/// A number in a key, so that keys sort as numbers do.
pub(crate) fn number_key(number: u64) -> String {
    format!("{number:020}")
}
