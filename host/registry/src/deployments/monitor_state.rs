//! What a monitor of a revision computed from its baseline.
//!
//! Keys `monitor-state/{tenant}/{name}/{number}/{monitor}`. It can be computed again, so it is kept
//! for the live revision only, and with a digest of all that it was computed from: what was computed
//! from something else is not what was asked for.

use caisson_store::record::{self, Record};
use caisson_store::{Digest, Expect, Op};
use serde::{Deserialize, Serialize};

use super::{DeploymentStore, revision_key};
use crate::names::{self, TenantId};
use crate::table::{Attempt, change, number_key};
use crate::{RegistryError, now};

/// Bytes of one monitor's state: the sketch of a baseline.
const MONITOR_STATE_BYTES_MAX: u64 = 64 << 20;
/// States removed in one commit; a commit has at most 64 operations.
const REMOVED_AT_ONCE: usize = 32;

/// What a monitor computed from its baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FittedState {
    /// Digest of everything that it was computed from.
    pub key: Digest,
    /// Rows of the baseline.
    pub reference_rows: u64,
    /// The plugin's own form.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MonitorState {
    digest: Digest,
    created_at: String,
    /// `None` in a record from before that was kept.
    #[serde(default, with = "bare")]
    key: Option<Digest>,
    #[serde(default)]
    reference_rows: u64,
}

/// A digest that names no blob: without `sha256:`, by which the store finds the blobs that records name. With
/// it, every backup would miss a blob that never was. Older records have it.
mod bare {
    use caisson_store::Digest;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
        key.as_ref().map(Digest::hex).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        let hex = text.strip_prefix("sha256:").unwrap_or(&text);
        let digest = format!("sha256:{hex}").parse();
        digest.map(Some).map_err(serde::de::Error::custom)
    }
}

impl Record for MonitorState {
    const KIND: &'static str = "monitor state";
    /// 2: the key, without which a state may be another's.
    const FORMAT: u32 = 2;
}

impl DeploymentStore {
    /// Keep what a monitor of a revision computed from its baseline; it replaces what was kept
    /// before.
    ///
    /// # Errors
    ///
    /// No such revision; not a monitor's name; too large; the store.
    pub fn put_monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
        state: &FittedState,
    ) -> Result<(), RegistryError> {
        names::check("monitor", monitor)?;
        if state.bytes.len() as u64 > MONITOR_STATE_BYTES_MAX {
            return Err(RegistryError::TooMany {
                what: "bytes of a monitor's state".into(),
                max: MONITOR_STATE_BYTES_MAX,
            });
        }
        let revision = self.stored_revision(tenant, name, number)?;
        let stored = MonitorState {
            digest: self.store.blobs().put(&state.bytes)?.digest,
            created_at: now(),
            key: Some(state.key),
            reference_rows: state.reference_rows,
        };
        let key = monitor_key(tenant, name, number, monitor);
        change(&self.store, name, || {
            let ops = vec![
                revision.check(&revision_key(tenant, name, number)),
                Op::put(key.as_str(), Expect::Any, record::encode(&stored)?),
            ];
            Ok(Attempt { ops, answer: () })
        })
    }

    /// What [`DeploymentStore::put_monitor_state`] kept, checked against its digest.
    ///
    /// # Errors
    ///
    /// Not a name; it is missing or damaged; the store.
    pub fn monitor_state(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
        monitor: &str,
    ) -> Result<Option<FittedState>, RegistryError> {
        names::check("deployment", name)?;
        names::check("monitor", monitor)?;
        let key = monitor_key(tenant, name, number, monitor);
        let Some(stored) = record::get::<MonitorState>(self.store.metadata(), &key)? else {
            return Ok(None);
        };
        let Some(key) = stored.record.key else {
            return Ok(None);
        };
        let bytes = self
            .store
            .blobs()
            .read(&stored.record.digest, MONITOR_STATE_BYTES_MAX)?;
        Ok(Some(FittedState {
            key,
            reference_rows: stored.record.reference_rows,
            bytes,
        }))
    }

    /// Forget what the monitors of a revision computed: it is not live any more.
    ///
    /// # Errors
    ///
    /// Not a name; the store.
    pub fn drop_monitor_states(
        &self,
        tenant: &TenantId,
        name: &str,
        number: u64,
    ) -> Result<(), RegistryError> {
        names::check("deployment", name)?;
        let prefix = monitor_key(tenant, name, number, "");
        loop {
            let page = self
                .store
                .metadata()
                .scan(prefix.as_bytes(), None, REMOVED_AT_ONCE)?;
            if page.entries.is_empty() {
                return Ok(());
            }
            let ops: Vec<Op> = page
                .entries
                .into_iter()
                .map(|(key, _)| Op::delete(key, Expect::Any))
                .collect();
            change(&self.store, name, || {
                Ok::<_, RegistryError>(Attempt {
                    ops: ops.clone(),
                    answer: (),
                })
            })?;
        }
    }
}

fn monitor_key(tenant: &TenantId, name: &str, number: u64, monitor: &str) -> String {
    format!("monitor-state/{tenant}/{name}/{}/{monitor}", number_key(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_no_blob_and_older_records_are_read() {
        let (digest, key) = (Digest::of(b"state"), Digest::of(b"what it was computed from"));
        let state = MonitorState {
            digest,
            created_at: now(),
            key: Some(key),
            reference_rows: 7,
        };
        let text = serde_json::to_string(&state).unwrap();
        assert!(
            text.contains(&digest.to_string()) && !text.contains(&key.to_string()),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<MonitorState>(&text).unwrap(), state);
        let old = text.replace(&key.hex(), &key.to_string());
        assert_eq!(serde_json::from_str::<MonitorState>(&old).unwrap(), state);
    }
}
