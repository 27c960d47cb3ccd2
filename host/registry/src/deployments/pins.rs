//! What a revision is built on: exact plugins by digest, and model versions.

use std::collections::{BTreeMap, BTreeSet};

use caisson_store::{Digest, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RegistryError;
use crate::models::Models;
use crate::names::TenantId;
use crate::plugins::Plugins;

/// Plugins and models of one revision: as many distinct ones as fit its record.
const PINS_MAX: usize = 256;

/// What a revision is built on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pins {
    /// Each plugin as the spec names it, `impute@0.1.0` or `std/impute@0.1.0`, and its component.
    pub plugins: BTreeMap<String, Digest>,
    /// Each model version.
    pub models: BTreeSet<ModelPin>,
}

/// A model version. Its contents never change and its number is never used again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ModelPin {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: u64,
}

impl Pins {
    /// Refuse what isn't there, or isn't what it was.
    pub(super) fn check(&self, store: &Store, tenant: &TenantId) -> Result<(), RegistryError> {
        if self.plugins.len() + self.models.len() > PINS_MAX {
            return Err(RegistryError::TooMany {
                what: "different plugins and models of a deployment".to_owned(),
                max: PINS_MAX as u64,
            });
        }
        let (plugins, models) = (Plugins::new(store.clone()), Models::new(store.clone()));
        for (reference, digest) in &self.plugins {
            plugins.pinned(tenant, &reference.parse()?, digest)?;
        }
        for pin in &self.models {
            models.exists(tenant, &pin.name, pin.version)?;
        }
        Ok(())
    }
}

/// The model versions in the spec of a revision from before pins were kept.
pub(super) fn models_in(spec: &Value) -> BTreeSet<ModelPin> {
    let granted = spec.pointer("/predictor/models").and_then(Value::as_object);
    let granted = granted.into_iter().flat_map(|models| models.values());
    spec.get("model")
        .into_iter()
        .chain(granted)
        .filter_map(|model| {
            Some(ModelPin {
                name: model.get("name")?.as_str()?.to_owned(),
                version: model.get("version")?.as_u64()?,
            })
        })
        .collect()
}

/// The plugins in the spec of a revision from before pins were kept, as it names them.
pub(super) fn plugins_in(spec: &Value) -> BTreeSet<String> {
    ["validators", "transforms", "post", "monitors"]
        .iter()
        .filter_map(|list| spec.get(list)?.as_array())
        .flatten()
        .chain(spec.get("predictor"))
        .filter_map(|stage| Some(stage.get("plugin")?.as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn models_of_a_stored_spec() {
        let pins = |spec: Value| -> Vec<String> {
            models_in(&spec)
                .iter()
                .map(|pin| format!("{}@{}", pin.name, pin.version))
                .collect()
        };
        assert_eq!(
            pins(json!({"model": {"name": "churn", "version": 3}})),
            ["churn@3"]
        );
        let predictor = json!({"predictor": {"models": {
            "a": {"name": "x", "version": 1}, "b": {"name": "y", "version": 2}, "c": {"name": "x", "version": 1},
        }}});
        assert_eq!(pins(predictor), ["x@1", "y@2"]);
        assert!(pins(json!({"model": null})).is_empty());
    }

    #[test]
    fn plugins_of_a_stored_spec() {
        let spec = json!({
            "validators": [{"plugin": "a@1.0.0"}], "transforms": [{"plugin": "std/b@1.0.0"}],
            "predictor": {"plugin": "c@1.0.0"}, "monitors": [{"name": "m", "plugin": "a@1.0.0"}],
        });
        let found: Vec<String> = plugins_in(&spec).into_iter().collect();
        assert_eq!(found, ["a@1.0.0", "c@1.0.0", "std/b@1.0.0"]);
        assert!(plugins_in(&json!({"predictor": null})).is_empty());
    }
}
