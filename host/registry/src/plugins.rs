//! Plugins: immutable, `name@semver`, stored by digest.

use caisson_store::record::{self, Record, Stored};
use caisson_store::{Digest, Store};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::error::check_size;
use crate::names::{check_name, shorten};
use crate::retry::{Attempt, until_committed};
use crate::{LIST_ITEMS_MAX, List, Outcome, RegistryError, TenantId, now, reference};

/// Bytes of a plugin's component. Rust guests have tens of kilobytes, Python ones with their
/// interpreter 20 to 40 megabytes.
pub const PLUGIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a config schema: the contract's limit.
pub const CONFIG_SCHEMA_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a help text: the contract's limit.
pub const HELP_BYTES_MAX: u64 = 16 * 1024;
/// Interfaces that a plugin imports. All of WASI 0.2 has about 30.
pub const IMPORTS_MAX: usize = 128;
/// Bytes of an imported interface's name.
pub const IMPORT_BYTES_MAX: u64 = 256;
/// Versions of one plugin. Their summaries are one record of at most 112 KiB.
pub const PLUGIN_VERSIONS_MAX: usize = 256;
/// Versions that an error message lists.
const LISTED_IN_ERROR_MAX: usize = 10;

const KIND: &str = "plugin";

/// A plugin's manifest as the host read it from the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUpload {
    /// See [`check_name`].
    pub name: String,
    /// A semantic version without build metadata.
    pub version: String,
    /// The world it implements, such as `transform`.
    pub world: String,
    /// JSON Schema of its config, as text.
    pub config_schema: String,
    /// One paragraph for people.
    pub help: String,
    /// The interfaces that it imports, such as `caisson:plugin/log@0.1.0`.
    pub imports: Vec<String>,
    /// The version of the contract that it was built for.
    pub wit_version: String,
}

/// One registered version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The world it implements.
    pub world: String,
    /// Digest of its component.
    pub digest: Digest,
    /// Bytes of its component.
    pub size: u64,
    /// When it was registered: RFC 3339, UTC.
    pub created_at: String,
    /// The version of the contract that it was built for.
    pub wit_version: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// One paragraph for people.
    pub help: String,
    /// JSON Schema of its config, as text.
    pub config_schema: String,
}

impl Record for PluginRecord {
    const KIND: &'static str = "plugin version";
    const FORMAT: u32 = 1;
}

/// A version in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// The version.
    pub version: Version,
    /// The world it implements.
    pub world: String,
    /// Digest of its component.
    pub digest: Digest,
    /// Bytes of its component.
    pub size: u64,
    /// When it was registered: RFC 3339, UTC.
    pub created_at: String,
}

/// A plugin in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its versions, highest first.
    pub versions: Vec<PluginVersion>,
}

impl Record for Plugin {
    const KIND: &'static str = "plugin";
    const FORMAT: u32 = 1;
}

/// The plugins of a registry.
#[derive(Clone, Copy)]
pub struct Plugins<'a> {
    store: &'a Store,
}

impl<'a> Plugins<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Register a plugin. The same bytes under the same version again are
    /// [`Outcome::Unchanged`].
    ///
    /// # Errors
    ///
    /// [`RegistryError::PluginConflict`] where the version has other bytes; those of a bad name,
    /// version or manifest; those of the storage.
    pub fn put(
        &self,
        tenant: &TenantId,
        upload: PluginUpload,
        bytes: &[u8],
    ) -> Result<Outcome<PluginRecord>, RegistryError> {
        let version = check_upload(&upload, bytes)?;
        let digest = Digest::of(bytes);
        let head_key = head_key(tenant, &upload.name);
        let version_key = version_key(tenant, &upload.name, &version);
        let record = PluginRecord {
            digest,
            size: bytes.len() as u64,
            created_at: now(),
            version,
            name: upload.name,
            world: upload.world,
            wit_version: upload.wit_version,
            imports: upload.imports,
            help: upload.help,
            config_schema: upload.config_schema,
        };
        let mut blob_written = false;
        let what = || format!("plugin {}", record.name);
        until_committed(self.store, what, || {
            let metadata = self.store.metadata();
            if let Some(existing) = record::get::<PluginRecord>(metadata, &version_key)? {
                if existing.record.digest != digest {
                    return Err(RegistryError::PluginConflict {
                        name: existing.record.name,
                        version: existing.record.version.to_string(),
                        existing: existing.record.digest,
                        given: digest,
                    });
                }
                if !blob_written {
                    // Harmless, and it repairs the file should it be missing or damaged.
                    self.store.blobs().put(bytes)?;
                    blob_written = true;
                }
                return Ok(Attempt {
                    ops: vec![existing.check(&version_key)],
                    answer: Outcome::Unchanged(existing.record),
                });
            }
            let head = record::get::<Plugin>(metadata, &head_key)?;
            let new_head = with_version(head.as_ref(), &record)?;
            if !blob_written {
                self.store.blobs().put(bytes)?;
                blob_written = true;
            }
            Ok(Attempt {
                ops: vec![
                    match &head {
                        Some(head) => head.replace(&head_key, &new_head)?,
                        None => record::create(&head_key, &new_head)?,
                    },
                    record::create(&version_key, &record)?,
                ],
                answer: Outcome::Created(record.clone()),
            })
        })
    }

    /// One version of a plugin.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::NoSuchVersion`] with what there is; those of
    /// a bad name or version; those of the storage.
    pub fn get(&self, tenant: &TenantId, name: &str, version: &str) -> Result<PluginRecord, RegistryError> {
        check_name(KIND, name)?;
        let version = parse_version(version)?;
        let key = version_key(tenant, name, &version);
        match record::get::<PluginRecord>(self.store.metadata(), &key)? {
            Some(stored) => Ok(stored.record),
            None => Err(no_such_version(
                &self.versions(tenant, name)?,
                version.to_string(),
            )),
        }
    }

    /// The plugins of a tenant by name, after the name `after` where that is given.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub fn list(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<List<Plugin>, RegistryError> {
        let prefix = head_key(tenant, "");
        let after = after.map(|name| head_key(tenant, name));
        let limit = limit.clamp(1, LIST_ITEMS_MAX);
        let page = record::scan::<Plugin>(self.store.metadata(), &prefix, after.as_deref(), limit)?;
        Ok(List {
            next: page.next.and(page.records.last().map(|p| p.name.clone())),
            items: page.records,
        })
    }

    /// A plugin and its versions, highest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`]; those of a bad name; those of the storage.
    pub fn versions(&self, tenant: &TenantId, name: &str) -> Result<Plugin, RegistryError> {
        check_name(KIND, name)?;
        match record::get::<Plugin>(self.store.metadata(), &head_key(tenant, name))? {
            Some(stored) => Ok(stored.record),
            None => Err(RegistryError::NotFound {
                kind: KIND,
                name: name.to_owned(),
                hint: "list the plugins to see what there is, or push it first",
            }),
        }
    }

    /// The version that a reference means now; deployments keep the answer.
    ///
    /// - `name`: the highest version that is no pre-release,
    /// - `name@1.2.3`: that version, a pre-release too,
    /// - `name@^1.2`, `name@1.2`, `name@>=1, <3`: the highest version that matches, by Cargo's
    ///   rules (`1.2` is `^1.2`; pre-releases match only comparators that name one of the same
    ///   version).
    ///
    /// # Errors
    ///
    /// As [`Plugins::get`].
    pub fn resolve(&self, tenant: &TenantId, reference: &str) -> Result<PluginRecord, RegistryError> {
        let (name, wanted) = reference::split(KIND, reference)?;
        let wanted = wanted.unwrap_or("*");
        if let Ok(exact) = Version::parse(wanted) {
            return self.get(tenant, name, &exact.to_string());
        }
        let requirement = VersionReq::parse(wanted).map_err(|e| RegistryError::InvalidVersion {
            kind: KIND,
            version: shorten(wanted),
            detail: format!("{e}; use `1.2.3`, `^1.2` or `>=1, <3`"),
        })?;
        let plugin = self.versions(tenant, name)?;
        match plugin.versions.iter().find(|v| requirement.matches(&v.version)) {
            Some(found) => self.get(tenant, name, &found.version.to_string()),
            None => Err(no_such_version(&plugin, wanted.to_owned())),
        }
    }

    /// A component's bytes, checked against the digest.
    ///
    /// # Errors
    ///
    /// Those of the storage: the blob may be missing or damaged.
    pub fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        Ok(self.store.blobs().read(digest, PLUGIN_BYTES_MAX)?)
    }
}

fn head_key(tenant: &TenantId, name: &str) -> String {
    format!("plugin/{tenant}/{name}")
}

fn version_key(tenant: &TenantId, name: &str, version: &Version) -> String {
    format!("plugin-version/{tenant}/{name}/{version}")
}

fn parse_version(text: &str) -> Result<Version, RegistryError> {
    let invalid = |detail: String| RegistryError::InvalidVersion {
        kind: KIND,
        version: shorten(text),
        detail,
    };
    reference::check_version_length(KIND, text)?;
    let version = Version::parse(text)
        .map_err(|e| invalid(format!("{e}; use a semantic version such as 1.2.3 or 1.2.3-rc.1")))?;
    if !version.build.is_empty() {
        return Err(invalid(
            "build metadata (`+…`) doesn't tell versions apart; leave it out".to_owned(),
        ));
    }
    Ok(version)
}

fn check_upload(upload: &PluginUpload, bytes: &[u8]) -> Result<Version, RegistryError> {
    check_name(KIND, &upload.name)?;
    let version = parse_version(&upload.version)?;
    check_name("world", &upload.world)?;
    check_size("component", bytes.len(), PLUGIN_BYTES_MAX)?;
    check_size(
        "config schema",
        upload.config_schema.len(),
        CONFIG_SCHEMA_BYTES_MAX,
    )?;
    check_size("help text", upload.help.len(), HELP_BYTES_MAX)?;
    check_size("contract version", upload.wit_version.len(), IMPORT_BYTES_MAX)?;
    if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(&upload.config_schema) {
        return Err(RegistryError::Invalid {
            what: "config schema",
            detail: format!("it is no JSON: {e}"),
        });
    }
    if upload.imports.len() > IMPORTS_MAX {
        return Err(RegistryError::TooMany {
            what: format!(
                "plugin {} imports {} interfaces",
                upload.name,
                upload.imports.len()
            ),
            max: IMPORTS_MAX as u64,
            hint: "import fewer",
        });
    }
    for import in &upload.imports {
        check_size("name of an import", import.len(), IMPORT_BYTES_MAX)?;
    }
    Ok(version)
}

/// The head record with one more version.
fn with_version(head: Option<&Stored<Plugin>>, new: &PluginRecord) -> Result<Plugin, RegistryError> {
    let mut plugin = match head {
        Some(head) => head.record.clone(),
        None => Plugin {
            name: new.name.clone(),
            versions: Vec::new(),
        },
    };
    if plugin.versions.len() >= PLUGIN_VERSIONS_MAX {
        return Err(RegistryError::TooMany {
            what: format!("versions of plugin {}", new.name),
            max: PLUGIN_VERSIONS_MAX as u64,
            hint: "go on under another name",
        });
    }
    plugin.versions.push(PluginVersion {
        version: new.version.clone(),
        world: new.world.clone(),
        digest: new.digest,
        size: new.size,
        created_at: new.created_at.clone(),
    });
    plugin.versions.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(plugin)
}

fn no_such_version(plugin: &Plugin, wanted: String) -> RegistryError {
    let only_pre_releases = plugin.versions.iter().all(|v| !v.version.pre.is_empty());
    RegistryError::NoSuchVersion {
        kind: KIND,
        name: plugin.name.clone(),
        wanted: shorten(&wanted),
        available: plugin
            .versions
            .iter()
            .take(LISTED_IN_ERROR_MAX)
            .map(|v| v.version.to_string())
            .collect(),
        hint: match (only_pre_releases, plugin.versions.len() > LISTED_IN_ERROR_MAX) {
            (true, _) => "ask for a pre-release by its exact version",
            (false, true) => "and older ones",
            (false, false) => "",
        },
    }
}
