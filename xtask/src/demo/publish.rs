//! Uploads: what a tenant does once.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{NAME, example};
use crate::http::Api;
use crate::{root, say};

/// The plugin that a tenant wrote, in `examples/cdnow/plugin`.
const TENANTS_PLUGIN: &str = "customer-value";

pub(super) fn run(api: &Api) -> Result<()> {
    let deployment =
        fs::read_to_string(example("deployment.yaml")).context("examples/cdnow/deployment.yaml")?;
    let plugins = plugins_of(&deployment);
    ensure!(
        plugins.contains(TENANTS_PLUGIN),
        "the deployment doesn't use the tenant's plugin {TENANTS_PLUGIN}"
    );
    for name in &plugins {
        let file = format!("target/plugins/{name}.wasm");
        push(api, &file)?;
    }
    let (model, metadata) = (fs::read(example("model.onnx"))?, fs::read(example("model.json"))?);
    let baseline = fs::read(example("baseline.csv"))?;
    let parts: [(&str, &[u8]); 3] = [
        ("model", &model),
        ("metadata", &metadata),
        ("baseline", &baseline),
    ];
    let registered = api.post_form(&format!("/v1/models/{NAME}"), &parts)?.ok()?;
    println!(
        "   model    {NAME}, version {}, {}, baseline of {} customers",
        registered["version"],
        say::bytes(model.len() as u64),
        baseline
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            .saturating_sub(1)
    );
    let deployed = api
        .post("/v1/deployments", "application/yaml", deployment.as_bytes())?
        .ok()?;
    ensure!(
        deployed["name"] == NAME && deployed["revision"] == 1,
        "an unexpected deployment: {deployed}"
    );
    println!("   deployed {NAME}, revision 1: {}", stages(&deployed));
    Ok(())
}

/// Upload a component of this repository's build.
pub(super) fn push(api: &Api, file: &str) -> Result<()> {
    let bytes = fs::read(root().join(file)).with_context(|| file.to_owned())?;
    let plugin = api.post("/v1/plugins", "application/wasm", &bytes)?.ok()?;
    let text = |key: &str| plugin[key].as_str().unwrap_or_default().to_owned();
    println!(
        "   plugin   {}@{}, {}, {}",
        text("name"),
        text("version"),
        text("world"),
        say::bytes(bytes.len() as u64)
    );
    Ok(())
}

/// The names after `plugin:` in a deployment file.
fn plugins_of(deployment: &str) -> BTreeSet<&str> {
    deployment
        .split("plugin:")
        .skip(1)
        .filter_map(|rest| {
            rest.trim_start()
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                .next()
        })
        .collect()
}

/// The names of a deployment's stages, as its plan tells them.
fn stages(deployed: &Value) -> String {
    let names = deployed["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|stage| stage["stage"].as_str());
    names.collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_read_off_the_deployment() {
        let text = "transforms:\n  - plugin: log1p@^0.1\n  - {plugin: one-hot, config: {}}\nmonitors:\n  - {name: a, plugin: log1p@^0.1}\n";
        assert_eq!(
            plugins_of(text).into_iter().collect::<Vec<_>>(),
            ["log1p", "one-hot"]
        );
    }
}
