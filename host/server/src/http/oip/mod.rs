//! The Open Inference Protocol, version 2, over REST, with the extensions that [`metadata`] lists.
//!
//! A model is a deployment here, and its versions are revisions: the one that is live can be named. Every
//! error is a JSON object whose `error` is a string, for that is what clients read.

pub(crate) mod config;
pub(crate) mod infer;
pub(crate) mod metadata;
pub(crate) mod parameters;
pub(crate) mod repository;
pub(crate) mod statistics;

use std::sync::Arc;

use caisson_registry::TenantId;
use caisson_serving::Revision;
use serde::Deserialize;

use super::Context;
use super::error::ApiError;

/// The model in a path, `/v2/models/{name}` with or without `/versions/{version}`.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

impl Context {
    /// The live revision of a model, if it is the one that was asked for.
    ///
    /// # Errors
    ///
    /// 404 for no such model or another version; 503 while it loads.
    pub(crate) fn named(&self, tenant: &TenantId, named: &Named) -> Result<Arc<Revision>, ApiError> {
        let revision = self.live(tenant, &named.name)?;
        match &named.version {
            Some(version) if *version != revision.number().to_string() => Err(ApiError::not_found(format!(
                "`{}` serves revision {}, not `{}`",
                named.name,
                revision.number(),
                caisson_registry::shown(version)
            ))),
            _ => Ok(revision),
        }
    }
}
