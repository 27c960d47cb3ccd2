//! What a server shows after a start, against what its clients know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::belief::{Known, Survived, without_gaps};
use super::blobs;
use super::client::{Client, OWN_ALIAS, SHARED_ALIAS, SHARED_MODEL, scale};
use crate::http::Api;

/// A server that was started again.
pub(super) struct Look<'a> {
    pub(super) api: Api,
    pub(super) operator: Api,
    pub(super) data: &'a Path,
}

/// What became of changes that were sent and never answered.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Unanswered {
    pub(super) made: u64,
    pub(super) lost: u64,
}

impl Unanswered {
    fn count(&mut self, survived: Survived) {
        match survived {
            Survived::NothingSent => {}
            Survived::Made => self.made += 1,
            Survived::Lost => self.lost += 1,
        }
    }
}

impl Look<'_> {
    /// Everything that one client alone changes.
    pub(super) fn at_own(&self, client: &mut Client, unanswered: &mut Unanswered) -> Result<()> {
        let api = self.api.with_key(&client.admin);
        let (model, deployment) = (client.model(), client.deployment());
        unanswered.count(
            self.versions(&api, client)
                .with_context(|| format!("versions of {model}"))?,
        );
        let alias = client
            .alias
            .settle(aliases(&api, &model)?["aliases"][OWN_ALIAS].as_u64());
        unanswered.count(alias.with_context(|| format!("alias of {model}"))?);
        unanswered.count(revisions(&api, client).with_context(|| format!("revisions of {deployment}"))?);
        self.keys(client, unanswered)
            .with_context(|| format!("keys of client {}", client.index))?;
        self.of_home(client, unanswered)
            .with_context(|| format!("tenant {}", client.home))?;
        self.tenants(client, unanswered)
    }

    fn versions(&self, api: &Api, client: &mut Client) -> Result<Survived> {
        let path = format!("/v1/models/{}", client.model());
        let numbers = numbers(api, &path, "models", "version")?;
        client
            .versions
            .settle(&numbers, |version| self.version(api, &path, version))
    }

    /// A version can be shown and its files are there; its mark.
    fn version(&self, api: &Api, path: &str, version: u64) -> Result<u64> {
        let shown = api.get(&format!("{path}/{version}"))?.ok()?;
        blobs::exists(self.data, text(&shown, "digest"))?;
        shown["metadata"]["mark"].as_u64().context("it has no mark")
    }

    fn keys(&self, client: &mut Client, unanswered: &mut Unanswered) -> Result<()> {
        for key in &mut client.keys {
            let works = works(&self.api, &key.text)?;
            let survived = key.works.settle(works);
            unanswered.count(survived.with_context(|| format!("does the key {} work", key.id))?);
        }
        let (working, revoked) = std::mem::take(&mut client.keys)
            .into_iter()
            .partition(|key| *key.works.get());
        client.keys = working;
        let revoked: Vec<_> = revoked;
        client.revoked.extend(revoked.into_iter().map(|key| key.text));
        Ok(())
    }

    /// What one client of a tenant changes about it.
    fn of_home(&self, client: &mut Client, unanswered: &mut Unanswered) -> Result<()> {
        let tenant = self.operator.get(&format!("/v1/tenants/{}", client.home))?.ok()?;
        if let Some(settings) = &mut client.settings {
            let seen = tenant["settings"]["protected_aliases"][0]
                .as_str()
                .map_or(Some(0), |alias| alias.strip_prefix("nobody-")?.parse().ok());
            let survived = settings.settle(seen.context("settings of nobody's")?);
            unanswered.count(survived.context("settings")?);
        }
        if let Some(quotas) = &mut client.quotas {
            let seen = tenant["quotas"]["models"]
                .as_u64()
                .map_or(0, |models| models.saturating_sub(1_000_000_000));
            unanswered.count(quotas.settle(seen).context("quotas")?);
        }
        Ok(())
    }

    fn tenants(&self, client: &mut Client, unanswered: &mut Unanswered) -> Result<()> {
        for tenant in &mut client.tenants {
            let name = tenant.id.clone();
            let answer = self.operator.get(&format!("/v1/tenants/{name}"))?;
            let exists = match answer.status {
                200 => true,
                404 => false,
                other => bail!("tenant {name} was answered {other}: {}", answer.body),
            };
            let survived = tenant.exists.settle(exists);
            unanswered.count(survived.with_context(|| format!("is tenant {name} there"))?);
            let Some(key) = &tenant.key else {
                continue;
            };
            if !exists {
                ensure!(
                    !works(&self.api, key)?,
                    "a key of the deleted tenant {name} works"
                );
                continue;
            }
            let sent = tenant.sent.take();
            let survived = self
                .plugins(&self.api.with_key(key), &mut tenant.plugins, sent)
                .with_context(|| format!("plugins of tenant {name}"))?;
            unanswered.count(survived);
        }
        let (there, gone) = std::mem::take(&mut client.tenants)
            .into_iter()
            .partition(|tenant| *tenant.exists.get());
        client.tenants = there;
        let gone: Vec<_> = gone;
        client.deleted.extend(gone.into_iter().map(|tenant| tenant.id));
        Ok(())
    }

    fn plugins(
        &self,
        api: &Api,
        known: &mut BTreeMap<String, String>,
        sent: Option<String>,
    ) -> Result<Survived> {
        let listed = api.get("/v1/plugins")?.ok()?;
        let mut seen = BTreeMap::new();
        for plugin in list(&listed, "plugins") {
            let (name, version, digest) = (
                text(plugin, "name"),
                text(plugin, "version"),
                text(plugin, "digest"),
            );
            api.get(&format!("/v1/plugins/{name}/{version}"))?.ok()?;
            blobs::exists(self.data, digest)?;
            seen.insert(format!("{name}@{version}"), digest.to_owned());
        }
        let more: Vec<&String> = seen
            .iter()
            .filter(|(name, digest)| known.get(*name) != Some(digest))
            .map(|(_, digest)| digest)
            .collect();
        ensure!(
            known.iter().all(|(name, digest)| seen.get(name) == Some(digest)),
            "there are {seen:?}; acknowledged are {known:?}"
        );
        let survived = match (more.as_slice(), &sent) {
            ([], None) => Survived::NothingSent,
            // Also what had been uploaded before, and was sent again.
            ([], Some(_)) => Survived::Lost,
            ([digest], Some(sent)) if *digest == sent => Survived::Made,
            _ => bail!("nobody uploaded {more:?}; sent without an answer is {sent:?}"),
        };
        *known = seen;
        Ok(survived)
    }

    /// What several clients of one tenant change: its shared model, that model's alias, and how many
    /// keys there are.
    pub(super) fn at_shared(&self, clients: &mut [&mut Client]) -> Result<()> {
        let Some(first) = clients.first() else {
            return Ok(());
        };
        let (api, home) = (self.api.with_key(&first.admin), first.home.clone());
        self.shared_versions(&api, clients)
            .with_context(|| format!("versions of {SHARED_MODEL} of {home}"))?;
        shared_alias(&api, clients).with_context(|| format!("alias of {SHARED_MODEL} of {home}"))?;
        self.key_list(&home, clients)
            .with_context(|| format!("keys of {home}"))
    }

    fn shared_versions(&self, api: &Api, clients: &mut [&mut Client]) -> Result<()> {
        let path = format!("/v1/models/{SHARED_MODEL}");
        let numbers = numbers(api, &path, "models", "version")?;
        without_gaps(&numbers)?;
        let there: BTreeSet<u64> = numbers.into_iter().collect();
        let mut told = BTreeSet::new();
        for client in clients.iter() {
            for version in client.shared.versions.keys() {
                ensure!(
                    there.contains(version),
                    "version {version} was acknowledged, and is gone"
                );
                ensure!(told.insert(*version), "version {version} was given out twice");
            }
        }
        // What nobody was told of must be what somebody sent.
        for version in there.difference(&told) {
            let mark = self.version(api, &path, *version)?;
            let owner = clients.iter_mut().find_map(|client| {
                let at = client.shared.unanswered.iter().position(|sent| *sent == mark)?;
                client.shared.unanswered.remove(at);
                Some(client)
            });
            let owner =
                owner.with_context(|| format!("version {version} has the mark {mark}, which nobody sent"))?;
            owner.shared.versions.insert(*version, mark);
        }
        // The newest of each client is what it was told.
        for client in clients.iter() {
            if let Some((&version, &expected)) = client.shared.versions.last_key_value() {
                let mark = self.version(api, &path, version)?;
                ensure!(
                    mark == expected,
                    "version {version} is that of another request: mark {mark}"
                );
            }
        }
        Ok(())
    }

    /// Every key of a tenant was asked for.
    fn key_list(&self, home: &str, clients: &[&mut Client]) -> Result<()> {
        let listed = self.operator.get(&format!("/v1/tenants/{home}/keys"))?.ok()?;
        let there: Vec<&str> = list(&listed, "keys")
            .map(|key| {
                ensure!(!text(key, "name").is_empty(), "a key without a name: {key}");
                Ok(text(key, "id"))
            })
            .collect::<Result<_>>()?;
        for key in clients.iter().flat_map(|client| &client.keys) {
            ensure!(
                there.contains(&key.id.as_str()),
                "the key {} works, and is in no list",
                key.id
            );
        }
        let asked: usize = clients
            .iter()
            .map(|client| client.keys.len() + client.revoked.len() + client.keys_unanswered)
            .sum();
        // And the one that clients change things with.
        ensure!(
            there.len() <= asked + 1,
            "there are {} keys, and {} were asked for",
            there.len(),
            asked + 1
        );
        Ok(())
    }

    /// Each deployment answers, as its live revision says.
    pub(super) fn predictions(&self, client: &Client) -> Result<()> {
        let Some(&mark) = client.revisions.marks().last() else {
            return Ok(());
        };
        let path = format!("/v1/deployments/{}/predict", client.deployment());
        let answer = self
            .api
            .with_key(&client.admin)
            .post_json(&path, &json!({"rows": [{"x": 1}]}))?
            .ok()
            .with_context(|| format!("a prediction of {}", client.deployment()))?;
        let seen = answer["rows"][0]["x"].as_f64();
        #[expect(clippy::cast_precision_loss, reason = "marks are small")]
        let expected = scale(mark) as f64;
        ensure!(
            seen == Some(expected),
            "{} answers as another revision: {answer} where the live one gives {expected}",
            client.deployment()
        );
        Ok(())
    }

    /// What can't come back: revoked keys, deleted tenants; and every version and revision can be shown.
    pub(super) fn at_everything(&self, client: &Client) -> Result<()> {
        for key in &client.revoked {
            ensure!(!works(&self.api, key)?, "a revoked key works");
        }
        for tenant in &client.deleted {
            let status = self.operator.get(&format!("/v1/tenants/{tenant}"))?.status;
            ensure!(status == 404, "the deleted tenant {tenant} is answered {status}");
        }
        let api = self.api.with_key(&client.admin);
        let path = format!("/v1/models/{}", client.model());
        for (&expected, version) in client.versions.marks().iter().zip(1..) {
            let mark = self.version(&api, &path, version)?;
            ensure!(mark == expected, "{path}/{version} has the mark {mark}");
        }
        for (&expected, revision) in client.revisions.marks().iter().zip(1..) {
            let mark = revision_mark(&api, &client.deployment(), revision)?;
            ensure!(
                mark == expected,
                "revision {revision} of {} has the mark {mark}",
                client.deployment()
            );
        }
        Ok(())
    }

    /// The log is whole, and has every change that was acknowledged since `from`.
    pub(super) fn audit<'a>(
        &self,
        from: Option<&str>,
        acknowledged: impl Iterator<Item = &'a String>,
    ) -> Result<()> {
        let report = self
            .operator
            .post("/v1/audit/verify", "application/json", b"")?
            .ok()?;
        ensure!(report["whole"] == true, "the audit log is broken: {report}");
        let filter = from.map_or_else(String::new, |from| format!("?from={from}"));
        let log = self.operator.get_text(&format!("/v1/audit/export{filter}"))?;
        let mut there = BTreeSet::new();
        for line in log.lines() {
            let record: Value =
                serde_json::from_str(line).with_context(|| format!("an audit record: {line}"))?;
            if record["result"] == "done" {
                there.extend(record["request_id"].as_str().map(str::to_owned));
            }
        }
        for id in acknowledged {
            ensure!(
                there.contains(id),
                "the acknowledged request {id} has no audit record"
            );
        }
        Ok(())
    }

    /// The time of the newest audit record, for a later export.
    pub(super) fn audit_time(&self) -> Result<Option<String>> {
        let tail = self.operator.get("/v1/audit?tail=1")?.ok()?;
        Ok(tail["records"][0]["time"].as_str().map(str::to_owned))
    }
}

fn aliases(api: &Api, model: &str) -> Result<Value> {
    let answer = api.get(&format!("/v1/models/{model}/aliases"))?;
    if answer.status == 404 {
        return Ok(Value::Null);
    }
    answer.ok()
}

/// Moves by compare-and-set follow each other, and each that was acknowledged is among them.
fn shared_alias(api: &Api, clients: &[&mut Client]) -> Result<()> {
    let seen = aliases(api, SHARED_MODEL)?;
    let moves: Vec<(u64, Option<u64>, Option<u64>)> = list(&seen, "history")
        .filter(|change| change["alias"] == SHARED_ALIAS)
        .map(|change| {
            (
                change["number"].as_u64().unwrap_or_default(),
                change["from"].as_u64(),
                change["to"].as_u64(),
            )
        })
        .collect();
    let mut points_at = Known::new(None);
    for &(number, from, to) in &moves {
        points_at
            .settle(from)
            .with_context(|| format!("move {number} begins elsewhere"))?;
        points_at = Known::new(to);
    }
    let last = moves.last().map_or(0, |(number, ..)| *number);
    for &(number, from, to) in clients.iter().flat_map(|client| &client.shared.moves) {
        // The API shows the first thousand.
        let shown = number <= last || moves.len() < 1000;
        ensure!(
            !shown || moves.contains(&(number, from, Some(to))),
            "move {number} from {from:?} to {to} was acknowledged, and is not in the history"
        );
    }
    if moves.len() < 1000 {
        points_at
            .settle(seen["aliases"][SHARED_ALIAS].as_u64())
            .context("it points elsewhere than its history says")?;
    }
    Ok(())
}

fn revisions(api: &Api, client: &mut Client) -> Result<Survived> {
    let name = client.deployment();
    let path = format!("/v1/deployments/{name}/revisions");
    let mut all: Vec<(u64, bool)> = Vec::new();
    loop {
        let page = match all.last() {
            None => path.clone(),
            Some((oldest, _)) => format!("{path}?before={oldest}"),
        };
        let answer = api.get(&page)?;
        if answer.status == 404 {
            break;
        }
        let answer = answer.ok()?;
        let before = all.len();
        all.extend(list(&answer, "revisions").map(|revision| {
            (
                revision["number"].as_u64().unwrap_or_default(),
                revision["live"] == true,
            )
        }));
        if all.len() == before || all.last().is_some_and(|(oldest, _)| *oldest <= 1) {
            break;
        }
    }
    all.reverse();
    let live: Vec<u64> = all
        .iter()
        .filter(|(_, live)| *live)
        .map(|(number, _)| *number)
        .collect();
    let newest: Vec<u64> = all.last().map(|(number, _)| *number).into_iter().collect();
    ensure!(
        live == newest,
        "live is {live:?}, and the newest revision is {newest:?}"
    );
    let numbers: Vec<u64> = all.into_iter().map(|(number, _)| number).collect();
    client
        .revisions
        .settle(&numbers, |number| revision_mark(api, &name, number))
}

fn revision_mark(api: &Api, name: &str, number: u64) -> Result<u64> {
    let shown = api
        .get(&format!("/v1/deployments/{name}/revisions/{number}"))?
        .ok()?;
    let description = shown["spec"]["description"].as_str().unwrap_or_default();
    description
        .parse()
        .ok()
        .with_context(|| format!("its spec has no mark: {shown}"))
}

fn works(api: &Api, key: &str) -> Result<bool> {
    let answer = api.with_key(key).get("/v1/whoami")?;
    match answer.status {
        200 => Ok(true),
        401 => Ok(false),
        other => bail!("whoami was answered {other}: {}", answer.body),
    }
}

/// One number of each entry of a list that is there or, with 404, empty; ascending.
fn numbers(api: &Api, path: &str, key: &str, number: &str) -> Result<Vec<u64>> {
    let answer = api.get(path)?;
    if answer.status == 404 {
        return Ok(Vec::new());
    }
    let answer = answer.ok()?;
    let mut numbers: Vec<u64> = list(&answer, key)
        .map(|entry| entry[number].as_u64().unwrap_or_default())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
