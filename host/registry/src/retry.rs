//! Read, decide, commit; start over when somebody was faster.

use caisson_store::{Commit, Op, Store};

use crate::RegistryError;

/// Attempts at one change. Each lost attempt means that another's commit went through, so this
/// many writers of one record are needed to exhaust them.
const ATTEMPTS_MAX: usize = 200;

/// What one attempt wants committed, and what to answer if that goes through.
pub(crate) struct Attempt<T> {
    pub(crate) ops: Vec<Op>,
    pub(crate) answer: T,
}

/// Call `attempt` and commit what it says until a commit goes through.
///
/// # Errors
///
/// Those of `attempt` and of the storage; [`RegistryError::Busy`].
pub(crate) fn until_committed<T>(
    store: &Store,
    what: impl FnOnce() -> String,
    mut attempt: impl FnMut() -> Result<Attempt<T>, RegistryError>,
) -> Result<T, RegistryError> {
    for _ in 0..ATTEMPTS_MAX {
        let Attempt { ops, answer } = attempt()?;
        match store.metadata().commit(&ops)? {
            Commit::Done => return Ok(answer),
            Commit::Conflict { .. } => {}
        }
    }
    Err(RegistryError::Busy { what: what() })
}
