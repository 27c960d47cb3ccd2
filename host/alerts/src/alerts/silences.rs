//! Silences of a tenant.

use caisson_store::StoreError;
use jiff::Timestamp;

use super::{Alerts, lock};
use crate::name;
use crate::silence::{SILENCES_MAX, Silence, SilenceSpec};
use crate::tenant::Tenant;
use crate::{AlertsError, keys, random};

/// Silences that are shown, ended ones included.
const SHOWN_MAX: usize = 2 * SILENCES_MAX;

impl Alerts {
    /// Silence alerts for some time.
    ///
    /// # Errors
    ///
    /// [`AlertsError::Invalid`], [`AlertsError::TooMany`]; the store.
    pub fn silence(&self, tenant: &str, spec: SilenceSpec, now: Timestamp) -> Result<Silence, AlertsError> {
        name::check("tenant", tenant)?;
        spec.check(now)?;
        let tenant = self.tenant(tenant);
        let mut tenant = lock(&tenant);
        let running = tenant.silences.values().filter(|s| s.spec.until > now).count();
        if running >= SILENCES_MAX {
            return Err(AlertsError::TooMany {
                what: "silences".to_owned(),
                max: SILENCES_MAX,
            });
        }
        self.forget_ended(&mut tenant, now)?;
        let silence = Silence {
            id: random::id()?,
            spec,
            created_at: now,
        };
        self.keep_silence(&mut tenant, silence)
    }

    /// Make room for one that ends some time: those that have ended are shown, but not so many.
    fn forget_ended(&self, tenant: &mut Tenant, now: Timestamp) -> Result<(), StoreError> {
        if tenant.silences.len() < SHOWN_MAX {
            return Ok(());
        }
        let ended = tenant.silences.values().filter(|s| s.spec.until <= now);
        let Some(id) = ended.min_by_key(|s| s.spec.until).map(|s| s.id.clone()) else {
            return Ok(());
        };
        let key = keys::silence(&tenant.name, &id);
        keys::commit(&self.0.context.store, &[keys::delete(key)])?;
        tenant.silences.remove(&id);
        Ok(())
    }

    fn keep_silence(&self, tenant: &mut Tenant, silence: Silence) -> Result<Silence, AlertsError> {
        let key = keys::silence(&tenant.name, &silence.id);
        keys::commit(&self.0.context.store, &[keys::put(key, &silence)?])?;
        tenant.silences.insert(silence.id.clone(), silence.clone());
        Ok(silence)
    }

    /// A tenant's silences, those that ended within the last week included.
    pub fn silences(&self, tenant: &str) -> Vec<Silence> {
        self.known(tenant)
            .map_or_else(Vec::new, |t| lock(&t).silences.values().cloned().collect())
    }

    /// End a silence now. What fires and nobody was told of is told at the next tick.
    ///
    /// # Errors
    ///
    /// [`AlertsError::NotFound`]; the store.
    pub fn expire_silence(&self, tenant: &str, id: &str, now: Timestamp) -> Result<Silence, AlertsError> {
        let missing = || AlertsError::NotFound {
            what: "silence",
            name: name::shown(id),
            hint: String::new(),
        };
        let tenant = self.known(tenant).ok_or_else(missing)?;
        let mut tenant = lock(&tenant);
        let mut silence = tenant.silences.get(id).cloned().ok_or_else(missing)?;
        silence.spec.until = silence.spec.until.min(now);
        self.keep_silence(&mut tenant, silence)
    }
}
