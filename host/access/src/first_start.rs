//! Who may do anything on a server that nobody has a key of yet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use caisson_registry::TenantId;
use jiff::Timestamp;

use crate::key_text::KeyText;
use crate::keys::NewKey;
use crate::principal::{Principal, next_serial};
use crate::role::Role;
use crate::tenants::{DEV_TENANT, NewTenant, SYSTEM_TENANT};
use crate::{Access, AccessError, AuthError};

/// The name of the key that [`Access::ensure_admin`] makes.
const FIRST_KEY_NAME: &str = "first-admin";

/// What [`Access::ensure_admin`] found or did.
#[derive(Debug)]
pub enum FirstAdmin {
    /// There is a key to manage this server with; nothing was changed.
    Exists,
    /// The given key was stored.
    Stored,
    /// This one was made. Show it: nobody can again.
    Created(KeyText),
}

impl Access {
    /// See to it that someone can manage this server: called once at start.
    ///
    /// With a key given (from the environment, say), that key is an operator's from now on; twice is
    /// as once. Without one, a random key is made if no operator's key is in use, which is also how a
    /// server gets back under control whose last one was revoked or has expired.
    ///
    /// # Errors
    ///
    /// The given text can't be used; the store.
    pub fn ensure_admin(&self, given: Option<&str>) -> Result<FirstAdmin, AccessError> {
        let system: TenantId = SYSTEM_TENANT.parse()?;
        self.ensure_tenant(&system)?;
        let new = || NewKey {
            name: FIRST_KEY_NAME.to_owned(),
            owner: None,
            role: Role::Admin,
            expires_at: None,
            deployments: None,
        };
        let Some(given) = given else {
            if self.has_operator(&system)? {
                return Ok(FirstAdmin::Exists);
            }
            let text = KeyText::generate()?;
            self.insert_key(&system, new(), &text, "the first start".to_owned())?;
            return Ok(FirstAdmin::Created(text));
        };
        match self.authenticate(given) {
            Ok(found) if found.tenant.id() == &system && found.role == Role::Admin => {
                return Ok(FirstAdmin::Exists);
            }
            Ok(_) => {
                return Err(AccessError::OperatorKey(
                    "it is another key of this server, and no operator's; give a new one",
                ));
            }
            Err(AuthError::Unknown) => {}
            Err(AuthError::Malformed) => {
                return Err(AccessError::OperatorKey(
                    "it has to be `csn_`, 12 letters and digits, `_`, and 43 random letters and digits; \
                     `caisson key generate` prints one",
                ));
            }
            Err(AuthError::Expired | AuthError::Revoked | AuthError::Suspended) => {
                return Err(AccessError::OperatorKey(
                    "it was revoked or has expired; give a new one",
                ));
            }
        }
        let text = KeyText::given(given).ok_or(AccessError::OperatorKey(
            "its secret isn't random; `caisson key generate` prints one that is",
        ))?;
        self.insert_key(&system, new(), &text, "the environment".to_owned())?;
        Ok(FirstAdmin::Stored)
    }

    /// Who `caisson serve --dev` lets everyone be: an admin of the tenant `default`, which is made if
    /// there is none. It has no key, so nobody is this on a server that asks for one.
    ///
    /// # Errors
    ///
    /// The store.
    pub fn ensure_dev(&self) -> Result<Arc<Principal>, AccessError> {
        let id: TenantId = DEV_TENANT.parse()?;
        self.ensure_tenant(&id)?;
        Ok(Arc::new(Principal {
            tenant: self.tenant_state(&id)?,
            key_id: "dev".to_owned(),
            key_name: "dev".to_owned(),
            owner: None,
            role: Role::Admin,
            deployments: None,
            expires_at: None,
            revoked: AtomicBool::new(false),
            serial: next_serial(),
        }))
    }

    /// Is an operator's key in use?
    fn has_operator(&self, system: &TenantId) -> Result<bool, AccessError> {
        let now = Timestamp::now();
        for key in self.keys(system)? {
            let dead = key.dead_since()?.is_some_and(|since| since <= now);
            if key.role == Role::Admin && key.deployments.is_none() && !dead {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn ensure_tenant(&self, id: &TenantId) -> Result<(), AccessError> {
        match self.insert_tenant(NewTenant::named(id.clone())) {
            Ok(_) | Err(AccessError::TenantExists(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
