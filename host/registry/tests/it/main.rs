//! Tests of the registry through its public API; one file a theme.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test these are how it fails"
)]

mod deployments;
mod models;
mod plugins;
mod restart;

use std::path::Path;

use caisson_registry::{Registry, TenantId};
use caisson_store::Store;

/// The registry in a folder, opened anew.
fn open(dir: &Path) -> Registry {
    Registry::open(Store::open(dir).unwrap()).unwrap().0
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}
