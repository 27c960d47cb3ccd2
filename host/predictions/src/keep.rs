//! What is kept of a log: its bounds, as records, so that they hold for deployments that are deleted or
//! not loaded yet, and the tenants' keys.

use caisson_store::record::{self, Record};
use caisson_store::{Commit, Expect, Objects, Op, PAGE_ENTRIES_MAX, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::place::{Area, Hour, LOG};
use crate::read::{LogFile, files};
use crate::redact::Key;
use crate::spec::LogSpec;

/// How much of a deployment's files is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whose.
    pub tenant: String,
    /// Of which deployment.
    pub deployment: String,
    /// Hours after which files are removed.
    pub hours: i64,
    /// Bytes beyond which the oldest are removed.
    pub bytes: u64,
}

impl Record for Kept {
    const KIND: &'static str = "prediction log";
    const FORMAT: u32 = 1;
}

/// A tenant's key.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    key: String,
}

impl Record for StoredKey {
    const KIND: &'static str = "prediction log's key";
    const FORMAT: u32 = 1;
}

const KEYS: &str = "prediction-log-key";

impl Kept {
    pub(crate) fn new(tenant: &str, deployment: &str, spec: &LogSpec) -> Self {
        Self {
            tenant: tenant.to_owned(),
            deployment: deployment.to_owned(),
            hours: spec.keep_hours(),
            bytes: spec.keep_bytes(),
        }
    }

    /// Write it down; the newest counts.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn store(&self, store: &Store, area: Area) -> Result<(), StoreError> {
        let key = format!("{}/{}/{}", area.records, self.tenant, self.deployment);
        let op = Op::put(key, Expect::Any, record::encode(self)?);
        store.metadata().commit(&[op]).map(|_| ())
    }

    /// Of every deployment that ever had files in an area.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn all(store: &Store, area: Area) -> Result<Vec<Self>, StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let prefix = format!("{}/", area.records);
            let page = record::scan(store.metadata(), &prefix, after.as_deref(), PAGE_ENTRIES_MAX)?;
            all.extend(page.records);
            for unreadable in page.unreadable {
                tracing::error!(key = unreadable.key, error = %unreadable.error, "files are kept without bounds");
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Remove the files that are too old, and the oldest while there are too many bytes. Gives the bytes
    /// that are left.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn enforce(&self, objects: &Objects, area: Area, now: Hour) -> Result<u64, StoreError> {
        let files = files(objects, area, &self.tenant, &self.deployment)?;
        let mut bytes: u64 = files.iter().map(|file| file.size).sum();
        for LogFile { path, size, hour } in files {
            if now.0 - hour.0 <= self.hours && bytes <= self.bytes {
                break;
            }
            objects.remove(&path)?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(bytes)
    }

    /// Remove the record, and all files of the deployment.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn forget(store: &Store, area: Area, tenant: &str, deployment: &str) -> Result<(), StoreError> {
        remove_below(&store.objects(), &area.of_deployment(tenant, deployment))?;
        remove_record(store, format!("{}/{tenant}/{deployment}", area.records))
    }

    /// The same for all deployments of a tenant.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn forget_tenant(store: &Store, area: Area, tenant: &str) -> Result<(), StoreError> {
        remove_below(&store.objects(), &area.of_tenant(tenant))?;
        let all = Self::all(store, area)?.into_iter();
        all.filter(|kept| kept.tenant == tenant).try_for_each(|kept| {
            remove_record(store, format!("{}/{tenant}/{}", area.records, kept.deployment))
        })
    }
}

/// Remove every object below a folder.
///
/// # Errors
///
/// Those of the store.
pub fn remove_below(objects: &Objects, folder: &str) -> Result<(), StoreError> {
    let mut paths = Vec::new();
    objects.visit(folder, |object| {
        paths.push(object.path);
        Ok(())
    })?;
    paths.iter().try_for_each(|path| objects.remove(path))
}

fn remove_record(store: &Store, key: String) -> Result<(), StoreError> {
    let removed = store.metadata().commit(&[Op::delete(key, Expect::Any)]);
    removed.map(|_| ())
}

/// A tenant's key; made where there is none.
pub(crate) fn key_of(store: &Store, tenant: &str) -> Result<Key, StoreError> {
    let name = format!("{KEYS}/{tenant}");
    if let Some(stored) = record::get::<StoredKey>(store.metadata(), &name)? {
        let mut key = Key::default();
        return match hex::decode_to_slice(&stored.record.key, &mut key) {
            Ok(()) => Ok(key),
            Err(e) => Err(StoreError::BadRecord {
                kind: StoredKey::KIND,
                key: name,
                detail: e.to_string(),
            }),
        };
    }
    let mut key = Key::default();
    getrandom::fill(&mut key).map_err(|_| StoreError::BadRequest("a key without random numbers"))?;
    let stored = StoredKey {
        key: hex::encode(key),
    };
    match store.metadata().commit(&[record::create(&name, &stored)?])? {
        Commit::Done => Ok(key),
        // The writer's thread alone makes keys, so this is the key of a moment ago.
        Commit::Conflict { .. } => key_of(store, tenant),
    }
}

/// Remove everything of a tenant.
pub(crate) fn forget(store: &Store, tenant: &str) -> Result<(), StoreError> {
    Kept::forget_tenant(store, LOG, tenant)?;
    remove_record(store, format!("{KEYS}/{tenant}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::hour_of;

    #[test]
    fn the_old_and_the_many_go_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let objects = store.objects();
        let now = Hour(500_000);
        for age in 0..5 {
            let path = LOG.file("t", "d", Hour(now.0 - age), "1");
            objects.put(&path, vec![0; 10]).unwrap();
        }
        objects
            .put(&LOG.file("t", "other", Hour(1), "1"), vec![0; 10])
            .unwrap();
        let kept = |hours, bytes| Kept {
            tenant: "t".into(),
            deployment: "d".into(),
            hours,
            bytes,
        };
        let ages = || {
            let mut ages = Vec::new();
            objects
                .visit("predictions/tenant=t/deployment=d", |object| {
                    ages.push(now.0 - hour_of(&object.path).unwrap().0);
                    Ok(())
                })
                .unwrap();
            ages.sort_unstable();
            ages
        };
        assert_eq!(kept(10, 1000).enforce(&objects, LOG, now).unwrap(), 50);
        assert_eq!(kept(3, 1000).enforce(&objects, LOG, now).unwrap(), 40);
        assert_eq!(ages(), [0, 1, 2, 3]);
        assert_eq!(kept(3, 25).enforce(&objects, LOG, now).unwrap(), 20);
        assert_eq!(ages(), [0, 1]);
        assert!(
            objects
                .get(&LOG.file("t", "other", Hour(1), "1"), 10)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_tenant_has_one_key_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = key_of(&store, "a").unwrap();
        assert_eq!(key_of(&store, "a").unwrap(), key);
        assert_ne!(key_of(&store, "b").unwrap(), key);
        let spec: LogSpec = serde_json::from_str(r#"{"sample": 1}"#).unwrap();
        for tenant in ["a", "b"] {
            Kept::new(tenant, "d", &spec).store(&store, LOG).unwrap();
        }
        let path = LOG.file("a", "d", Hour(1), "1");
        store.objects().put(&path, vec![1]).unwrap();
        forget(&store, "a").unwrap();
        assert_eq!(store.objects().get(&path, 9).unwrap(), None);
        let left = Kept::all(&store, LOG).unwrap();
        assert_eq!(left, [Kept::new("b", "d", &spec)]);
        assert_ne!(key_of(&store, "a").unwrap(), key);
    }
}
