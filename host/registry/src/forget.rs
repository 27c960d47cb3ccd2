//! Removing what a deleted tenant leaves.

use caisson_store::{COMMIT_OPS_MAX, Expect, Op, PAGE_ENTRIES_MAX, Store};

use crate::RegistryError;
use crate::names::TenantId;
use crate::table::{Attempt, change};

/// Every kind of key that names a tenant. A test compares them with the keys that a busy tenant has.
const KINDS: &[&str] = &[
    "alias-change",
    "deployment",
    "ledger",
    "model",
    "model-content",
    "model-deleted",
    "model-transition",
    "model-version",
    "monitor-state",
    "plugin",
    "plugin-deleted",
    "revision",
];

/// Remove all records of a tenant; their blobs go with the next sweep. For a tenant that is deleted:
/// nobody may be changing anything of it, and its name is never given out again, so that half of it
/// left by a crash belongs to no one.
///
/// # Errors
///
/// The store.
pub fn forget(store: &Store, tenant: &TenantId) -> Result<(), RegistryError> {
    for kind in KINDS {
        // The ledger's key ends with the tenant; the others go on after a slash.
        for prefix in [format!("{kind}/{tenant}"), format!("{kind}/{tenant}/")] {
            loop {
                let page = store.metadata().scan(prefix.as_bytes(), None, PAGE_ENTRIES_MAX)?;
                let own = page
                    .entries
                    .into_iter()
                    .map(|(key, _)| key)
                    .filter(|key| key.len() == prefix.len() || prefix.ends_with('/'));
                let ops: Vec<Op> = own.map(|key| Op::delete(key, Expect::Any)).collect();
                if ops.is_empty() {
                    break;
                }
                for part in ops.chunks(COMMIT_OPS_MAX) {
                    change(store, tenant.as_str(), || {
                        Ok::<_, RegistryError>(Attempt {
                            ops: part.to_vec(),
                            answer: (),
                        })
                    })?;
                }
            }
        }
    }
    Ok(())
}
