//! Plugins: immutable, `name@semver`.
//!
//! Key `plugin/{tenant}/{name}/{version}`. A version is never changed: it can be yanked, and then
//! nothing new is built on it, while what runs on it goes on, because it is pinned by digest. Only that
//! mark, and a signature that is added later, change a record. A yanked version that nothing uses can be
//! deleted, which leaves `plugin-deleted/{tenant}/{name}/{version}`.

mod record;
mod reference;
mod remove;

use caisson_store::record::{self as records, Stored};
use caisson_store::{Digest, Op, Store, VALUE_BYTES_MAX, Write};
use semver::Version;

pub use record::{PluginRecord, PluginUpload, Provenance, SignatureRecord, Yank};
pub use reference::{PluginRef, Wanted};
pub use remove::PluginDeletion;

use crate::ledger::{Opened, Usage};
use crate::names::{self, TenantId};
use crate::signature::SignaturePolicy;
use crate::table::{self, Attempt, change};
use crate::text::{ACTOR_BYTES_MAX, check_actor, check_line, check_why};
use crate::{Outcome, RegistryError, now};

/// Versions in one list. Ten years of daily releases of a plugin are 3,650.
const VERSIONS_MAX: usize = 10_000;
/// Bytes of a version or of a requirement on it.
const VERSION_BYTES_MAX: usize = 128;
/// Bytes of a component; uploads are refused far below, this bounds a read.
const COMPONENT_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a record when it is uploaded: room is left for a yank, whose author and reason with every
/// quote escaped are 4.6 KiB, and for a signature.
const MANIFEST_BYTES_MAX: usize = VALUE_BYTES_MAX - 8 * 1024;
/// Versions that a message names.
const VERSIONS_SHOWN: usize = 10;

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

    /// Store a component under its name and version. The same component again changes nothing, but
    /// that a signature is added where there was none.
    ///
    /// # Errors
    ///
    /// [`RegistryError::PluginConflict`] when that version has other bytes; a name or version that
    /// is none; a signature that the policy doesn't take; the store.
    pub fn put(
        &self,
        tenant: &TenantId,
        upload: PluginUpload,
        component: &[u8],
        policy: &SignaturePolicy,
    ) -> Result<Outcome<PluginRecord>, RegistryError> {
        names::check("plugin", &upload.name)?;
        let version = parse_version(&upload.version)?;
        check_provenance(&upload.provenance)?;
        let key = key(tenant, &upload.name, &version);
        let digest = Digest::of(component);
        let signed_by = policy.check(
            &upload.name,
            &version.to_string(),
            &digest,
            upload.signature.as_ref(),
        )?;
        let signature = signed_by
            .zip(upload.signature)
            .map(|(signer, signature)| SignatureRecord {
                signed_by: signer.to_owned(),
                signature,
            });
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
            provenance: upload.provenance,
            signature,
            yanked: None,
        };
        let created = records::create(&key, &record)?;
        check_manifest_size(&created)?;
        let mut written = false;
        change(&self.store, &record.name, || {
            let ledger = Opened::read(&self.store, tenant)?;
            match self.stored(&key)? {
                Some(existing) if existing.record.digest == digest => {
                    again(&key, existing, record.signature.as_ref())
                }
                Some(Stored { record: existing, .. }) => Err(RegistryError::PluginConflict {
                    name: existing.name,
                    version: existing.version.to_string(),
                    existing: existing.digest.to_string(),
                }),
                None => {
                    self.check_not_buried(tenant, &record)?;
                    if !written {
                        self.store.blobs().put(component)?;
                        written = true;
                    }
                    let first = self.is_first(tenant, &record.name)?;
                    let counted = ledger.change(|usage| add(usage, &record, first))?;
                    Ok(Attempt {
                        ops: vec![created.clone(), counted],
                        answer: Outcome::Created(record.clone()),
                    })
                }
            }
        })
    }

    /// Every version of every plugin, by name, then by version, yanked ones included.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn list(&self, tenant: &TenantId) -> Result<Vec<PluginRecord>, RegistryError> {
        self.sorted(&format!("plugin/{tenant}/"))
    }

    /// Every version of one plugin, yanked ones included; none if there is no such plugin.
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

    /// The version that a reference means, to look at it: `name@1.2.3` is that one, yanked or not;
    /// `name` and `name@^1.2` (and the other requirements of Cargo) are the highest that they allow
    /// and that isn't yanked. A pre-release only when asked for. `std/name` is a first-party plugin.
    ///
    /// # Errors
    ///
    /// Not a reference, or nothing that it allows: the message lists the versions that there are.
    pub fn resolve(&self, tenant: &TenantId, reference: &str) -> Result<PluginRecord, RegistryError> {
        self.look_up(tenant, &reference.parse()?)
    }

    /// The version that a reference means, to build something new on it.
    ///
    /// # Errors
    ///
    /// As [`Self::resolve`]; [`RegistryError::Yanked`] where the reference names a yanked version.
    pub fn resolve_new(
        &self,
        tenant: &TenantId,
        reference: &PluginRef,
    ) -> Result<PluginRecord, RegistryError> {
        let record = self.look_up(tenant, reference)?;
        match &record.yanked {
            None => Ok(record),
            Some(yank) => Err(RegistryError::Yanked {
                reference: reference.at(record.version.clone()).to_string(),
                by: yank.by.clone(),
                why: yank.why.clone(),
                hint: self.hint(tenant, reference)?,
            }),
        }
    }

    /// The version that something stored is pinned to, yanked or not.
    ///
    /// # Errors
    ///
    /// There is none; [`RegistryError::PinMismatch`].
    pub fn pinned(
        &self,
        tenant: &TenantId,
        reference: &PluginRef,
        digest: &Digest,
    ) -> Result<PluginRecord, RegistryError> {
        let record = self.look_up(tenant, reference)?;
        if record.digest == *digest {
            return Ok(record);
        }
        Err(RegistryError::PinMismatch {
            reference: reference.to_string(),
            pinned: *digest,
            found: record.digest,
        })
    }

    /// Let nothing new be built on a version. Yanking it again changes nothing: the first reason
    /// stands.
    ///
    /// # Errors
    ///
    /// There is no such version; a reason that is too long; the store.
    pub fn yank(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &str,
        by: &str,
        why: &str,
    ) -> Result<PluginRecord, RegistryError> {
        check_actor(by)?;
        check_why(why)?;
        self.mark(tenant, name, version, |yanked| {
            yanked.get_or_insert_with(|| Yank {
                by: by.to_owned(),
                why: why.to_owned(),
                at: now(),
            });
        })
    }

    /// Let a yanked version be chosen again.
    ///
    /// # Errors
    ///
    /// There is no such version; the store.
    pub fn unyank(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &str,
    ) -> Result<PluginRecord, RegistryError> {
        self.mark(tenant, name, version, |yanked| *yanked = None)
    }

    /// The component, checked against its digest.
    ///
    /// # Errors
    ///
    /// The blob is missing or damaged.
    pub fn bytes(&self, record: &PluginRecord) -> Result<Vec<u8>, RegistryError> {
        Ok(self.store.blobs().read(&record.digest, COMPONENT_BYTES_MAX)?)
    }

    fn mark(
        &self,
        tenant: &TenantId,
        name: &str,
        version: &str,
        edit: impl Fn(&mut Option<Yank>),
    ) -> Result<PluginRecord, RegistryError> {
        names::check("plugin", name)?;
        let version = parse_version(version)?;
        let key = key(tenant, name, &version);
        let reference = PluginRef {
            std: false,
            name: name.to_owned(),
            wanted: Wanted::Exact(version),
        };
        change(&self.store, name, || {
            let Some(stored) = self.stored(&key)? else {
                return Err(self.not_found(tenant, &reference)?);
            };
            let mut new = stored.record.clone();
            edit(&mut new.yanked);
            Ok(Attempt {
                ops: vec![stored.replace(&key, &new)?],
                answer: new,
            })
        })
    }

    fn look_up(&self, tenant: &TenantId, reference: &PluginRef) -> Result<PluginRecord, RegistryError> {
        let owner = reference.owner(tenant);
        let found = match &reference.wanted {
            Wanted::Exact(version) => self
                .stored(&key(&owner, &reference.name, version))?
                .map(|stored| stored.record),
            Wanted::Requirement(requirement) => self
                .versions(&owner, &reference.name)?
                .into_iter()
                .rfind(|record| record.yanked.is_none() && requirement.matches(&record.version)),
        };
        match found {
            Some(record) => Ok(record),
            None => Err(self.not_found(tenant, reference)?),
        }
    }

    fn stored(&self, key: &str) -> Result<Option<Stored<PluginRecord>>, RegistryError> {
        Ok(records::get(self.store.metadata(), key)?)
    }

    /// Is there no version of this plugin yet?
    fn is_first(&self, tenant: &TenantId, name: &str) -> Result<bool, RegistryError> {
        let prefix = format!("plugin/{tenant}/{name}/");
        let page = self.store.metadata().scan(prefix.as_bytes(), None, 1)?;
        Ok(page.entries.is_empty())
    }

    fn sorted(&self, prefix: &str) -> Result<Vec<PluginRecord>, RegistryError> {
        let mut records: Vec<PluginRecord> = table::list(&self.store, prefix, VERSIONS_MAX)?;
        records.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.version.cmp(&b.version)));
        Ok(records)
    }

    fn not_found(&self, tenant: &TenantId, reference: &PluginRef) -> Result<RegistryError, RegistryError> {
        Ok(RegistryError::NotFound {
            what: "plugin",
            name: reference.to_string(),
            hint: self.hint(tenant, reference)?,
        })
    }

    /// Which versions of a plugin there are, for a message.
    fn hint(&self, tenant: &TenantId, reference: &PluginRef) -> Result<String, RegistryError> {
        let versions = self.versions(&reference.owner(tenant), &reference.name)?;
        if versions.is_empty() {
            return Ok(String::from("; `caisson plugin list` shows what there is"));
        }
        let shown: Vec<String> = versions
            .iter()
            .rev()
            .take(VERSIONS_SHOWN)
            .map(|record| match &record.yanked {
                None => record.version.to_string(),
                Some(_) => format!("{} (yanked)", record.version),
            })
            .collect();
        Ok(format!("; the newest versions of it are {}", shown.join(", ")))
    }
}

/// The same component was uploaded again.
fn again(
    key: &str,
    existing: Stored<PluginRecord>,
    signature: Option<&SignatureRecord>,
) -> Result<Attempt<Outcome<PluginRecord>>, RegistryError> {
    if existing.record.signature.is_some() || signature.is_none() {
        return Ok(Attempt {
            ops: vec![existing.check(key)],
            answer: Outcome::Unchanged(existing.record),
        });
    }
    let signed = PluginRecord {
        signature: signature.cloned(),
        ..existing.record.clone()
    };
    Ok(Attempt {
        ops: vec![existing.replace(key, &signed)?],
        answer: Outcome::Unchanged(signed),
    })
}

/// Count what a tenant has.
pub(crate) fn count(store: &Store, tenant: &TenantId, usage: &mut Usage) -> Result<(), RegistryError> {
    let all = Plugins::new(store.clone()).list(tenant)?;
    let mut before: Option<&str> = None;
    for record in &all {
        add(usage, record, before != Some(record.name.as_str()));
        before = Some(&record.name);
    }
    Ok(())
}

fn add(usage: &mut Usage, record: &PluginRecord, first: bool) {
    usage.plugins += u64::from(first);
    usage.plugin_versions += 1;
    usage.stored_bytes += record.size;
}

fn key(tenant: &TenantId, name: &str, version: &Version) -> String {
    format!("plugin/{tenant}/{name}/{version}")
}

fn check_provenance(provenance: &Provenance) -> Result<(), RegistryError> {
    for (what, text) in [
        ("the uploader's name", &provenance.uploaded_by),
        ("the place that an upload came from", &provenance.uploaded_from),
    ] {
        check_line(what, text.as_deref().unwrap_or_default(), ACTOR_BYTES_MAX)?;
    }
    Ok(())
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
/// What may be added later (a signature, a yank) has room beside them.
fn check_manifest_size(op: &Op) -> Result<(), RegistryError> {
    match &op.write {
        Write::Put(bytes) if bytes.len() > MANIFEST_BYTES_MAX => Err(RegistryError::TooMany {
            what: format!(
                "{} bytes of config schema, help and imports together, as JSON",
                bytes.len()
            ),
            max: MANIFEST_BYTES_MAX as u64,
        }),
        _ => Ok(()),
    }
}
