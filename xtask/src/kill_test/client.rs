//! One client: a thread that changes things at random until the server is gone.
//!
//! Most of what it changes nobody else does, so what it must find after a start is known exactly; one
//! model and its alias are every client's of the tenant, for the races.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::belief::{Appended, Key, Known, Shared, Tenant};
use super::blobs;
use super::random::Random;
use crate::http::{Answer, Api};

/// The model that all clients of a tenant change, and its alias.
pub(super) const SHARED_MODEL: &str = "shared";
pub(super) const SHARED_ALIAS: &str = "champion";
/// The alias of a client's own model.
pub(super) const OWN_ALIAS: &str = "mine";
/// Clients that a mark tells apart.
const CLIENTS_MAX: u64 = 64;
/// Keys that work, of one client; beyond, one is revoked before another is made.
const KEYS_MAX: usize = 8;
/// Tenants of one client besides its home; beyond, one is deleted before another is made.
const TENANTS_MAX: usize = 6;
/// The plugin of every client's deployment: `x · scale`.
pub(super) const DEPLOYED_PLUGIN: &str = "affine";

/// Compiling takes longer than most servers live here. So the first [`WARM_PLUGINS`] components and the
/// first [`WARM_SCALES`] configs are compiled before the first kill, and most uploads and deploys take
/// one of them; the others are for kills while the compiler runs.
const WARM_PLUGINS: usize = 5;
const WARM_SCALES: u64 = 4;
/// One in so many uploads and deploys may need the compiler.
const COLD_EVERY: u64 = 8;

/// What clients upload.
pub(super) struct Files {
    /// Components, with their digests.
    pub(super) plugins: Vec<(String, Vec<u8>)>,
    pub(super) model: Vec<u8>,
    pub(super) deployed: Vec<u8>,
}

/// A server as clients reach it, until it is killed.
pub(super) struct Target<'a> {
    pub(super) api: Api,
    pub(super) operator: &'a str,
    pub(super) files: &'a Files,
    /// Set before the signal is sent.
    pub(super) killed: &'a AtomicBool,
}

/// Why a client stopped.
pub(super) enum Stop {
    /// The server is gone, as it should be.
    Killed,
    Finding(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Finding(error)
    }
}

/// See the module.
pub(super) struct Client {
    pub(super) index: u64,
    /// The tenant of everything but `tenants`, and a key of its admin.
    pub(super) home: String,
    pub(super) admin: String,
    random: Random,
    next_mark: u64,
    pub(super) versions: Appended,
    pub(super) alias: Known<Option<u64>>,
    pub(super) revisions: Appended,
    pub(super) keys: Vec<Key>,
    /// Keys that were asked for without an answer, since the first start.
    pub(super) keys_unanswered: usize,
    /// Quotas and settings of the home tenant: one client's of each tenant.
    pub(super) settings: Option<Known<u64>>,
    pub(super) quotas: Option<Known<u64>>,
    pub(super) tenants: Vec<Tenant>,
    /// Keys that were revoked, and tenants that were deleted, and seen so after a start.
    pub(super) revoked: Vec<String>,
    pub(super) deleted: Vec<String>,
    pub(super) shared: Shared,
    /// Requests of this round whose change was acknowledged.
    pub(super) audited: Vec<String>,
    /// Acknowledged changes since the first start.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

type Step = fn(&mut Client, &Target<'_>) -> Result<(), Stop>;

/// What a client does, and how often among the others.
const STEPS: &[(u64, Step)] = &[
    (3, Client::register),
    (3, Client::move_alias),
    (2, Client::register_shared),
    (3, Client::move_shared_alias),
    (4, Client::deploy),
    (2, Client::roll_back),
    (3, Client::make_key),
    (2, Client::revoke_key),
    (2, Client::set_settings),
    (2, Client::set_quotas),
    (2, Client::make_tenant),
    (1, Client::delete_tenant),
    (5, Client::push_plugin),
];

impl Client {
    pub(super) fn new(index: u64, seed: u64, home: String, admin: String, first_of_home: bool) -> Self {
        Self {
            index,
            home,
            admin,
            random: Random::new(seed, index),
            next_mark: 1,
            versions: Appended::default(),
            alias: Known::new(None),
            revisions: Appended::default(),
            keys: Vec::new(),
            keys_unanswered: 0,
            settings: first_of_home.then(|| Known::new(0)),
            quotas: first_of_home.then(|| Known::new(0)),
            tenants: Vec::new(),
            revoked: Vec::new(),
            deleted: Vec::new(),
            shared: Shared::default(),
            audited: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn model(&self) -> String {
        format!("model-{}", self.index)
    }

    pub(super) fn deployment(&self) -> String {
        format!("scorer-{}", self.index)
    }

    /// Change things until the server is gone.
    pub(super) fn run(&mut self, target: &Target<'_>) -> Stop {
        let total = STEPS.iter().map(|(weight, _)| weight).sum();
        loop {
            let mut at = self.random.below(total);
            for (weight, step) in STEPS {
                if at < *weight {
                    if let Err(stop) = step(self, target) {
                        return stop;
                    }
                    break;
                }
                at -= weight;
            }
        }
    }

    /// Never used twice, and exact as a 32-bit float for longer than anyone runs this.
    fn mark(&mut self) -> u64 {
        let mark = self.next_mark * CLIENTS_MAX + self.index;
        self.next_mark += 1;
        mark
    }

    /// Send one change. Any answer but success and those in `other` is a finding.
    fn change(
        &mut self,
        target: &Target<'_>,
        key: &str,
        what: &'static str,
        other: &[u16],
        send: impl FnOnce(&Api) -> Result<Answer>,
    ) -> Result<Answer, Stop> {
        let id = format!("kill-test-{}", self.mark());
        let answer = match send(&target.api.with_key(key).with_request_id(&id)) {
            Ok(answer) => answer,
            Err(_) if target.killed.load(Ordering::SeqCst) => return Err(Stop::Killed),
            Err(error) => return Err(Stop::Finding(error.context("no answer from a running server"))),
        };
        if answer.status < 300 {
            self.audited.push(id);
            *self.counts.entry(what).or_default() += 1;
        } else if !other.contains(&answer.status) {
            let error = anyhow!("{what} was answered {}: {}", answer.status, answer.body);
            return Err(Stop::Finding(error));
        }
        Ok(answer)
    }

    fn register(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let (mark, key, path) = (
            self.mark(),
            self.admin.clone(),
            format!("/v1/models/{}", self.model()),
        );
        self.versions.send(mark);
        let answer = self.change(target, &key, "model version", &[], |api| {
            push_model(api, &path, &target.files.model, mark)
        })?;
        Ok(self.versions.acknowledge(number(&answer, "version"))?)
    }

    fn register_shared(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let (mark, key) = (self.mark(), self.admin.clone());
        self.shared.unanswered.push(mark);
        let answer = self.change(target, &key, "model version", &[], |api| {
            push_model(
                api,
                &format!("/v1/models/{SHARED_MODEL}"),
                &target.files.model,
                mark,
            )
        })?;
        self.shared.unanswered.pop();
        self.shared.versions.insert(number(&answer, "version"), mark);
        Ok(())
    }

    fn move_alias(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        if self.versions.len() == 0 {
            return Ok(());
        }
        let (from, to) = (*self.alias.get(), 1 + self.random.below(self.versions.len()));
        if from == Some(to) {
            return Ok(());
        }
        let (key, path) = (
            self.admin.clone(),
            format!("/v1/models/{}/aliases/{OWN_ALIAS}", self.model()),
        );
        self.alias.send(Some(to));
        self.change(target, &key, "alias move", &[], |api| {
            api.put_json(&path, &json!({"version": to, "expect": from}))
        })?;
        self.alias.acknowledge();
        Ok(())
    }

    fn move_shared_alias(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let Some((&newest, _)) = self.shared.versions.last_key_value() else {
            return Ok(());
        };
        let (key, path) = (self.admin.clone(), format!("/v1/models/{SHARED_MODEL}/aliases"));
        let seen = match target.api.with_key(&key).get(&path) {
            Ok(answer) => answer.ok()?,
            Err(_) if target.killed.load(Ordering::SeqCst) => return Err(Stop::Killed),
            Err(error) => return Err(error.into()),
        };
        let from = seen["aliases"][SHARED_ALIAS].as_u64();
        let to = 1 + self.random.below(newest);
        // 409: another client was faster.
        let answer = self.change(target, &key, "alias move", &[409], |api| {
            api.put_json(
                &format!("{path}/{SHARED_ALIAS}"),
                &json!({"version": to, "expect": from}),
            )
        })?;
        if answer.status < 300 {
            self.shared.moves.push((number(&answer, "number"), from, to));
        }
        Ok(())
    }

    fn deploy(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let (mark, key, name) = (self.mark(), self.admin.clone(), self.deployment());
        let spec = json!({
            "name": name,
            "input": [{"name": "x", "type": "fp32"}],
            "description": mark.to_string(),
            "transforms": [{"plugin": DEPLOYED_PLUGIN, "config": {"scale": scale(mark)}}],
        });
        self.revisions.send(mark);
        let answer = self.change(target, &key, "revision", &[], |api| {
            api.post_json("/v1/deployments", &spec)
        })?;
        Ok(self.revisions.acknowledge(number(&answer, "revision"))?)
    }

    fn roll_back(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let earlier = self.revisions.len().saturating_sub(1);
        let to = 1 + self.random.below(earlier);
        let Some(mark) = self.revisions.mark(to).filter(|_| earlier > 0) else {
            return Ok(());
        };
        let (key, path) = (
            self.admin.clone(),
            format!("/v1/deployments/{}/rollback", self.deployment()),
        );
        self.revisions.send(mark);
        let answer = self.change(target, &key, "rollback", &[], |api| {
            api.post_json(&path, &json!({ "to": to }))
        })?;
        Ok(self.revisions.acknowledge(number(&answer, "revision"))?)
    }

    fn make_key(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        if self.keys.len() >= KEYS_MAX {
            return self.revoke_key(target);
        }
        let (key, path) = (self.admin.clone(), format!("/v1/tenants/{}/keys", self.home));
        let name = format!("of-client-{}", self.index);
        self.keys_unanswered += 1;
        let answer = self.change(target, &key, "key", &[], |api| {
            api.post_json(&path, &json!({"name": name, "role": "viewer"}))
        })?;
        self.keys_unanswered -= 1;
        self.keys.push(Key {
            id: text(&answer.body["record"], "id"),
            text: text(&answer.body, "key"),
            works: Known::new(true),
        });
        Ok(())
    }

    fn revoke_key(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let at = usize::try_from(self.random.below(self.keys.len() as u64)).unwrap_or(0);
        let Some(chosen) = self.keys.get_mut(at).filter(|key| *key.works.get()) else {
            return Ok(());
        };
        chosen.works.send(false);
        let path = format!("/v1/tenants/{}/keys/{}", self.home, chosen.id);
        let key = self.admin.clone();
        self.change(target, &key, "revocation", &[], |api| api.delete(&path))?;
        if let Some(chosen) = self.keys.get_mut(at) {
            chosen.works.acknowledge();
        }
        Ok(())
    }

    fn set_settings(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let (mark, key, path) = (
            self.mark(),
            self.admin.clone(),
            format!("/v1/tenants/{}/settings", self.home),
        );
        let Some(settings) = &mut self.settings else {
            return Ok(());
        };
        settings.send(mark);
        self.change(target, &key, "settings", &[], |api| {
            api.put_json(&path, &json!({"protected_aliases": [format!("nobody-{mark}")]}))
        })?;
        if let Some(settings) = &mut self.settings {
            settings.acknowledge();
        }
        Ok(())
    }

    fn set_quotas(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let (mark, path) = (self.mark(), format!("/v1/tenants/{}/quotas", self.home));
        let Some(quotas) = &mut self.quotas else {
            return Ok(());
        };
        quotas.send(mark);
        self.change(target, target.operator, "quotas", &[], |api| {
            // More than there will ever be, so that it limits nothing.
            api.put_json(&path, &json!({"models": 1_000_000_000 + mark}))
        })?;
        if let Some(quotas) = &mut self.quotas {
            quotas.acknowledge();
        }
        Ok(())
    }

    fn make_tenant(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        if self.tenants.len() >= TENANTS_MAX {
            return self.delete_tenant(target);
        }
        let id = format!("tenant-{}", self.mark());
        let mut tenant = Tenant {
            id: id.clone(),
            exists: Known::new(false),
            key: None,
            plugins: BTreeMap::new(),
            sent: None,
        };
        tenant.exists.send(true);
        self.tenants.push(tenant);
        self.change(target, target.operator, "tenant", &[], |api| {
            api.post_json("/v1/tenants", &json!({ "id": id }))
        })?;
        if let Some(tenant) = self.tenants.last_mut() {
            tenant.exists.acknowledge();
        }
        Ok(())
    }

    fn delete_tenant(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let Some(at) = self.some_tenant() else {
            return Ok(());
        };
        let Some(tenant) = self.tenants.get_mut(at) else {
            return Ok(());
        };
        tenant.exists.send(false);
        let path = format!("/v1/tenants/{}", tenant.id);
        self.change(target, target.operator, "tenant deleted", &[], |api| {
            api.delete(&path)
        })?;
        if let Some(tenant) = self.tenants.get_mut(at) {
            tenant.exists.acknowledge();
        }
        Ok(())
    }

    fn push_plugin(&mut self, target: &Target<'_>) -> Result<(), Stop> {
        let Some(at) = self.some_tenant() else {
            return self.make_tenant(target);
        };
        let Some((id, key)) = self.tenants.get(at).map(|t| (t.id.clone(), t.key.clone())) else {
            return Ok(());
        };
        let key = match key {
            Some(key) => key,
            None => {
                let answer = self.change(target, target.operator, "key", &[], |api| {
                    api.post_json(
                        &format!("/v1/tenants/{id}/keys"),
                        &json!({"name": "admin", "role": "admin"}),
                    )
                })?;
                text(&answer.body, "key")
            }
        };
        let plugins = &target.files.plugins;
        let cold = self.random.below(COLD_EVERY) == 0;
        let warm = plugins.get(..WARM_PLUGINS).unwrap_or(plugins);
        let Some((digest, component)) = self.random.choose(if cold { plugins } else { warm }) else {
            return Ok(());
        };
        if let Some(tenant) = self.tenants.get_mut(at) {
            tenant.key = Some(key.clone());
            tenant.sent = Some(digest.clone());
        }
        let answer = self.change(target, &key, "plugin", &[], |api| {
            api.post("/v1/plugins", "application/wasm", component)
        })?;
        let name = format!("{}@{}", text(&answer.body, "name"), text(&answer.body, "version"));
        if let Some(tenant) = self.tenants.get_mut(at) {
            tenant.sent = None;
            tenant.plugins.insert(name, digest.clone());
        }
        Ok(())
    }

    /// One of the tenants that are there.
    fn some_tenant(&mut self) -> Option<usize> {
        let at = usize::try_from(self.random.below(self.tenants.len() as u64)).ok()?;
        self.tenants.get(at).filter(|tenant| *tenant.exists.get())?;
        Some(at)
    }
}

/// Upload what every client's deployment runs on.
pub(super) fn prepare(api: &Api, files: &Files) -> Result<()> {
    let answer = api.post("/v1/plugins", "application/wasm", &files.deployed)?;
    let digest = text(&answer.ok()?, "digest");
    anyhow::ensure!(
        digest == blobs::digest(&files.deployed),
        "another digest: {digest}"
    );
    Ok(())
}

/// Have compiled what most uploads and deploys of clients take.
pub(super) fn warm(api: &Api, files: &Files) -> Result<()> {
    for (_, component) in files.plugins.iter().take(WARM_PLUGINS) {
        api.post("/v1/plugins", "application/wasm", component)?.ok()?;
    }
    for scale in 1..=WARM_SCALES {
        let plan = api.post_json(
            "/v1/deployments?dry_run=true",
            &json!({
                "name": "warm",
                "input": [{"name": "x", "type": "fp32"}],
                "transforms": [{"plugin": DEPLOYED_PLUGIN, "config": {"scale": scale}}],
            }),
        )?;
        plan.ok()?;
    }
    Ok(())
}

/// What the revision with this mark makes of 1.
pub(super) fn scale(mark: u64) -> u64 {
    let turn = mark / CLIENTS_MAX;
    if turn.is_multiple_of(COLD_EVERY) {
        mark
    } else {
        1 + turn % WARM_SCALES
    }
}

fn push_model(api: &Api, path: &str, model: &[u8], mark: u64) -> Result<Answer> {
    let metadata = json!({ "mark": mark }).to_string();
    api.post_form(path, &[("model", model), ("metadata", metadata.as_bytes())])
}

fn number(answer: &Answer, key: &str) -> u64 {
    answer.body[key].as_u64().unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
