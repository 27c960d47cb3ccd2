//! A server with tenants, for a measurement or a test.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::http::Api;
use crate::root;
use crate::server::{Folder, Keys, Server};

/// A key of the right form. These servers live for a minute, on loopback.
const OPERATOR_KEY: &str = "csn_loadoperator_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2yZ3aB4";

/// A folder with the server that runs in it.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) folder: Folder,
}

impl Site {
    /// A server on an empty folder.
    pub(crate) fn new(program: &Path, args: &[&str]) -> Result<Self> {
        let folder = Folder::new("load")?;
        let server = start(program, &folder, args)?;
        server.wait_until_ready()?;
        Ok(Self { server, folder })
    }

    /// Stop the server and start another on the same folder: how long until it was ready.
    pub(crate) fn restart(self, program: &Path, args: &[&str]) -> Result<(Self, Duration)> {
        let Self { server, folder } = self;
        server.terminate()?;
        server.wait()?;
        let server = start(program, &folder, args)?;
        let took = server.wait_until_ready()?;
        let site = Self { server, folder };
        let ready = site.operator().get("/v2/health/ready")?.ok()?;
        ensure!(
            ready.get("deployments").is_none(),
            "not every deployment was loaded: {ready}"
        );
        Ok((site, took))
    }

    /// What acts as the operator.
    pub(crate) fn operator(&self) -> Api {
        self.server.api().with_key(OPERATOR_KEY)
    }

    /// A new tenant; what it gives acts as its admin.
    pub(crate) fn tenant(&self, id: &str) -> Result<Api> {
        let operator = self.operator();
        operator.post_json("/v1/tenants", &json!({ "id": id }))?.ok()?;
        let key = operator
            .post_json(
                &format!("/v1/tenants/{id}/keys"),
                &json!({"name": "admin", "role": "admin"}),
            )?
            .ok()?;
        Ok(operator.with_key(key.get("key").and_then(Value::as_str).unwrap_or_default()))
    }
}

fn start(program: &Path, folder: &Folder, args: &[&str]) -> Result<Server> {
    let mut all = vec!["--log", "text"];
    all.extend_from_slice(args);
    Server::start(program, folder, &Keys::Operator(OPERATOR_KEY.to_owned()), &all)
}

/// A component of this repository, `plugins/clip` or `test-guests/affine`.
pub(crate) fn component(name: &str) -> Result<Vec<u8>> {
    let path = root().join("target").join(format!("{name}.wasm"));
    fs::read(&path).with_context(|| format!("{}: run `cargo xtask guests` first", path.display()))
}

/// The same component with another digest: a custom section at its end.
pub(crate) fn variant(component: &[u8], number: u64) -> Vec<u8> {
    let name = b"variant";
    let mut section = vec![u8::try_from(name.len()).unwrap_or(0)];
    section.extend_from_slice(name);
    section.extend_from_slice(&number.to_le_bytes());
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.push(u8::try_from(section.len()).unwrap_or(0));
    bytes.append(&mut section);
    bytes
}

/// Upload a component that must be taken.
pub(crate) fn push(api: &Api, component: &[u8]) -> Result<()> {
    api.post("/v1/plugins", "application/wasm", component)?
        .ok()
        .map(drop)
}

/// A deployment of the guest `hostile`, called after what it does.
pub(crate) fn hostile_spec(behave: &str) -> Value {
    json!({
        "name": behave,
        "input": [{"name": "x", "type": "fp32"}],
        "transforms": [{"plugin": "hostile", "config": {"behave": behave}, "limits": {"deadline_ms": 250}}],
    })
}

/// Everything of `examples/cdnow`, deployed.
pub(crate) fn deploy_cdnow(api: &Api) -> Result<()> {
    for name in [
        "range",
        "impute",
        "log1p",
        "standardize",
        "customer-value",
        "ks",
        "psi",
    ] {
        push(api, &component(&format!("plugins/{name}"))?)?;
    }
    push_model(api, CDNOW)?;
    let spec = example("deployment.yaml")?;
    api.post("/v1/deployments", "application/yaml", &spec)?
        .ok()
        .map(drop)
}

/// The example's deployment and model.
pub(crate) const CDNOW: &str = "cdnow-repurchase";

/// Register the example's model.
pub(crate) fn push_model(api: &Api, name: &str) -> Result<()> {
    let (model, baseline) = (example("model.onnx")?, example("baseline.csv")?);
    let parts: [(&str, &[u8]); 3] = [("model", &model), ("metadata", b"{}"), ("baseline", &baseline)];
    api.post_form(&format!("/v1/models/{name}"), &parts)?
        .ok()
        .map(drop)
}

/// One customer, as the example's deployment takes it.
pub(crate) fn cdnow_row() -> Value {
    json!({"rows": [{
        "customer_id": 1, "recency_weeks": 12.0, "tenure_weeks": 40.0, "frequency": 3.0,
        "recent_frequency": 1.0, "monetary": 90.5, "recent_monetary": 20.0, "avg_order_value": 30.2,
        "cds": 7.0, "gap_weeks": 9.0
    }]})
}

fn example(name: &str) -> Result<Vec<u8>> {
    let path = root().join("examples/cdnow").join(name);
    fs::read(&path).with_context(|| path.display().to_string())
}
