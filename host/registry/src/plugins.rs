//! Plugins: immutable, `name@semver`.
//!
//! Key `plugin/{tenant}/{name}/{version}`.

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Digest, Op, Store, VALUE_BYTES_MAX, Write};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::names::{self, TenantId};
use crate::table::{self, Attempt, change};
use crate::{Outcome, RegistryError, now};

/// Versions in one list. Ten years of daily releases of a plugin are 3,650.
const VERSIONS_MAX: usize = 10_000;
/// Bytes of a version or of a requirement on it.
const VERSION_BYTES_MAX: usize = 128;
/// Bytes of a component; uploads are refused far below, this bounds a read.
const COMPONENT_BYTES_MAX: u64 = 1 << 30;

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// `transform`, `validator`, `drift-check` or `predictor`.
    pub world: String,
    /// The component's digest.
    pub digest: Digest,
    /// The component's bytes.
    pub size: u64,
    /// JSON Schema of its config, as text.
    pub config_schema: String,
    /// A paragraph of help.
    pub help: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// The version of the plugin contract that it was built for; absent if it names none.
    pub wit_version: Option<String>,
    /// When it was uploaded, RFC 3339.
    pub created_at: String,
}

impl Record for PluginRecord {
    const KIND: &'static str = "plugin";
    const FORMAT: u32 = 1;
}

/// A checked upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of PluginRecord")]
pub struct PluginUpload {
    pub name: String,
    /// A semantic version.
    pub version: String,
    pub world: String,
    pub config_schema: String,
    pub help: String,
    pub imports: Vec<String>,
    pub wit_version: Option<String>,
}

/// The plugins of all tenants.
#[derive(Clone)]
pub struct Plugins {
    store: Store,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugins")
    }
}

impl Plugins {
    /// The plugins in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Store a component under its name and version.
    ///
    /// # Errors
    ///
    /// [`RegistryError::PluginConflict`] when that version has other bytes; a name or version that
    /// is none; the store.
    pub fn put(
        &self,
        tenant: &TenantId,
        upload: PluginUpload,
        component: &[u8],
    ) -> Result<Outcome<PluginRecord>, RegistryError> {
        names::check("plugin", &upload.name)?;
        let version = parse_version(&upload.version)?;
        let key = key(tenant, &upload.name, &version);
        let digest = Digest::of(component);
        let record = PluginRecord {
            name: upload.name,
            version,
            world: upload.world,
            digest,
            size: component.len() as u64,
            config_schema: upload.config_schema,
            help: upload.help,
            imports: upload.imports,
            wit_version: upload.wit_version,
            created_at: now(),
        };
        let created = record::create(&key, &record)?;
        check_manifest_size(&created)?;
        let mut written = false;
        change(&self.store, &record.name, || {
            match record::get::<PluginRecord>(self.store.metadata(), &key)? {
                Some(existing) if existing.record.digest == digest => Ok(Attempt {
                    ops: vec![existing.check(&key)],
                    answer: Outcome::Unchanged(existing.record),
                }),
                Some(Stored { record: existing, .. }) => Err(RegistryError::PluginConflict {
                    name: existing.name,
                    version: existing.version.to_string(),
                    existing: existing.digest.to_string(),
                }),
                None => {
                    if !written {
                        self.store.blobs().put(component)?;
                        written = true;
                    }
                    Ok(Attempt {
                        ops: vec![created.clone()],
                        answer: Outcome::Created(record.clone()),
                    })
                }
            }
        })
    }

    /// Every version of every plugin, by name, then by version.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn list(&self, tenant: &TenantId) -> Result<Vec<PluginRecord>, RegistryError> {
        self.sorted(&format!("plugin/{tenant}/"))
    }

    /// Every version of one plugin; none if there is no such plugin.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<PluginRecord>, RegistryError> {
        if names::check("plugin", name).is_err() {
            return Ok(Vec::new()); // A name that can't be stored isn't there.
        }
        self.sorted(&format!("plugin/{tenant}/{name}/"))
    }

    /// The highest version that a reference allows: `name`, `name@1.2.3` (that one exactly) or
    /// `name@^1.2` and the other requirements of Cargo. A pre-release only when asked for.
    ///
    /// # Errors
    ///
    /// Not a reference, or nothing that it allows: the message lists the versions that there are.
    pub fn resolve(&self, tenant: &TenantId, reference: &str) -> Result<PluginRecord, RegistryError> {
        let (name, wanted) = reference.split_once('@').unwrap_or((reference, "*"));
        names::check("plugin", name)?;
        check_length("version requirement", wanted)?;
        if let Ok(version) = Version::parse(wanted) {
            let found = record::get::<PluginRecord>(self.store.metadata(), &key(tenant, name, &version))?;
            return match found {
                Some(stored) => Ok(stored.record),
                None => Err(self.not_found(tenant, name, reference)?),
            };
        }
        let requirement = VersionReq::parse(wanted).map_err(|e| RegistryError::Version {
            what: "version requirement",
            text: names::shown(wanted),
            reason: e.to_string(),
        })?;
        let mut versions = self.versions(tenant, name)?;
        versions.retain(|record| requirement.matches(&record.version));
        match versions.pop() {
            Some(record) => Ok(record),
            None => Err(self.not_found(tenant, name, reference)?),
        }
    }

    /// The component, checked against its digest.
    ///
    /// # Errors
    ///
    /// The blob is missing or damaged.
    pub fn bytes(&self, record: &PluginRecord) -> Result<Vec<u8>, RegistryError> {
        Ok(self.store.blobs().read(&record.digest, COMPONENT_BYTES_MAX)?)
    }

    fn sorted(&self, prefix: &str) -> Result<Vec<PluginRecord>, RegistryError> {
        let mut records: Vec<PluginRecord> = table::list(&self.store, prefix, VERSIONS_MAX)?;
        records.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.version.cmp(&b.version)));
        Ok(records)
    }

    fn not_found(
        &self,
        tenant: &TenantId,
        name: &str,
        reference: &str,
    ) -> Result<RegistryError, RegistryError> {
        let versions = self.versions(tenant, name)?;
        let hint = if versions.is_empty() {
            String::from("; `caisson plugin list` shows what there is")
        } else {
            let shown: Vec<String> = versions
                .iter()
                .rev()
                .take(10)
                .map(|r| r.version.to_string())
                .collect();
            format!("; the newest versions of it are {}", shown.join(", "))
        };
        Ok(RegistryError::NotFound {
            what: "plugin",
            name: reference.to_owned(),
            hint,
        })
    }
}

fn key(tenant: &TenantId, name: &str, version: &Version) -> String {
    format!("plugin/{tenant}/{name}/{version}")
}

fn parse_version(text: &str) -> Result<Version, RegistryError> {
    const WHAT: &str = "semantic version";
    check_length(WHAT, text)?;
    let bad = |reason: String| RegistryError::Version {
        what: WHAT,
        text: names::shown(text),
        reason,
    };
    let version = Version::parse(text).map_err(|e| bad(e.to_string()))?;
    if !version.build.is_empty() {
        return Err(bad(
            "build metadata (`+…`) doesn't tell versions apart; leave it out".to_owned(),
        ));
    }
    Ok(version)
}

/// A version is part of a key, and is quoted in messages.
fn check_length(what: &'static str, text: &str) -> Result<(), RegistryError> {
    if text.len() <= VERSION_BYTES_MAX {
        return Ok(());
    }
    let reason = format!(
        "it has {} bytes, and at most {VERSION_BYTES_MAX} are allowed",
        text.len()
    );
    Err(RegistryError::Version {
        what,
        text: names::shown(text),
        reason,
    })
}

/// Schema, help and imports are one record, in which quotes and control characters take more room.
fn check_manifest_size(op: &Op) -> Result<(), RegistryError> {
    match &op.write {
        Write::Put(bytes) if bytes.len() > VALUE_BYTES_MAX => Err(RegistryError::TooMany {
            what: format!(
                "{} bytes of config schema, help and imports together, as JSON",
                bytes.len()
            ),
            max: VALUE_BYTES_MAX as u64,
        }),
        _ => Ok(()),
    }
}
