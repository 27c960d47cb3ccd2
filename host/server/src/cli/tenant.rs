//! `caisson tenant …`: who owns what, how much of it, and on what terms.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caisson_access::Quotas;
use caisson_registry::TenantId;
use caisson_registry::signature::PublicKey;
use clap::{Args, Subcommand};
use indicatif::BinaryBytes;
use serde_json::{Map, Value, json};

use super::client::{self, Client, segment};
use super::{Remote, args, output};

const QUOTA_HELP: &str = "\
Quotas:
  requests_per_second, requests_burst         requests in the long run, and at once after a pause
  concurrent_requests                         requests in progress
  cpu_seconds_per_second, cpu_burst_seconds   CPU time of plugins and models, likewise
  changes_per_day                             changes of anything, each a record of the audit log
  memory_bytes                                running sandboxed instances
  stored_bytes                                plugins, models and baselines
  plugins, models, deployments                how many; of plugins and models, versions
  upload_bytes                                one upload

What a tenant has no quota for is limited by the server's defaults, and by nothing where there are none.";

/// Make, list, suspend and delete tenants; their quotas, settings and usage.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant. It has no key yet: `caisson key create --tenant` makes one.
    #[command(
        after_help = "Example:\n  caisson tenant create acme --display-name 'Acme Ltd' --quota stored_bytes=10GiB"
    )]
    Create {
        /// Its name in keys, paths and metrics: lower-case letters, digits and inner hyphens.
        name: TenantId,
        /// Its name for people.
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// A quota of its own; `caisson tenant quotas --help` lists them.
        #[arg(long, value_name = "NAME=AMOUNT", value_parser = args::amount)]
        quota: Vec<(String, Value)>,
        #[command(flatten)]
        remote: Remote,
    },
    /// All tenants.
    #[command(after_help = "Example:\n  caisson tenant list")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One tenant: its status, quotas and settings.
    #[command(after_help = "Example:\n  caisson tenant show acme")]
    Show(OneTenant),
    /// Let none of a tenant's keys in until it is resumed.
    #[command(after_help = "Example:\n  caisson tenant suspend acme")]
    Suspend(NamedTenant),
    /// Let a suspended tenant's keys in again.
    #[command(after_help = "Example:\n  caisson tenant resume acme")]
    Resume(NamedTenant),
    /// Delete a tenant that owns nothing any more, for good: its name is never given out again.
    #[command(after_help = "Example:\n  caisson tenant delete acme")]
    Delete(NamedTenant),
    /// Show a tenant's own quotas, or change some of them.
    #[command(after_help = format!("Examples:\n  caisson tenant quotas acme\n  \
        caisson tenant quotas acme --set requests_per_second=50 --set models=200 --unset plugins\n\n{QUOTA_HELP}"))]
    Quotas {
        #[command(flatten)]
        of: OneTenant,
        /// Set a quota; the others stay.
        #[arg(long, value_name = "NAME=AMOUNT", value_parser = args::amount)]
        set: Vec<(String, Value)>,
        /// Leave a quota to the server's default.
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Show what a tenant decides for itself, or change some of it.
    #[command(after_help = "Examples:
  caisson tenant settings
  caisson tenant settings --signing-key release=release.pem.pub --require-signed-plugins true
  caisson tenant settings --protect-alias champion
  caisson tenant settings --log-predictions false")]
    Settings {
        #[command(flatten)]
        of: OneTenant,
        #[command(flatten)]
        changes: SettingsChanges,
    },
    /// What a tenant uses of its quotas.
    #[command(after_help = "Example:\n  caisson tenant usage")]
    Usage(OneTenant),
}

/// A tenant that must be named, because what is done to it can't be meant of the caller's own.
#[derive(Debug, Args)]
pub(crate) struct NamedTenant {
    /// The tenant.
    name: String,
    #[command(flatten)]
    remote: Remote,
}

/// A tenant.
#[derive(Debug, Args)]
pub(crate) struct OneTenant {
    /// The tenant; the key's own if absent.
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl OneTenant {
    /// A client, and the tenant's path.
    fn open(&self) -> anyhow::Result<(Client, String)> {
        let client = Client::new(&self.remote)?;
        let path = path(&client.tenant(self.name.as_deref())?);
        Ok((client, path))
    }
}

/// What of the settings is to change.
#[derive(Debug, Args)]
pub(crate) struct SettingsChanges {
    /// Take plugins only with a signature of one of the signing keys.
    #[arg(long, value_name = "BOOL")]
    require_signed_plugins: Option<bool>,
    /// Make keys only with an owner, and let only another person approve what someone asked for.
    #[arg(long, value_name = "BOOL")]
    require_key_owners: Option<bool>,
    /// Record each prediction call in the audit log; what was predicted is logged by a deployment's `log`.
    #[arg(long, value_name = "BOOL")]
    log_predictions: Option<bool>,
    /// A name and a public key's file, as `caisson plugin keygen` writes it; may be given more than once.
    #[arg(long, value_name = "NAME=FILE", value_parser = args::pair)]
    signing_key: Vec<(String, String)>,
    /// The name of a signing key to forget; may be given more than once.
    #[arg(long, value_name = "NAME")]
    remove_signing_key: Vec<String>,
    /// An alias that leads to approved model versions only, and that approvers move; may be given more
    /// than once.
    #[arg(long, value_name = "ALIAS")]
    protect_alias: Vec<String>,
    /// An alias to protect no more; may be given more than once.
    #[arg(long, value_name = "ALIAS")]
    unprotect_alias: Vec<String>,
}

impl SettingsChanges {
    fn is_none(&self) -> bool {
        self.require_signed_plugins.is_none()
            && self.require_key_owners.is_none()
            && self.log_predictions.is_none()
            && self.signing_key.is_empty()
            && self.remove_signing_key.is_empty()
            && self.protect_alias.is_empty()
            && self.unprotect_alias.is_empty()
    }

    /// Settings as an answer has them, with these changes.
    fn apply(&self, mut settings: Map<String, Value>) -> anyhow::Result<Value> {
        for (name, value) in [
            ("require_signed_plugins", self.require_signed_plugins),
            ("require_key_owners", self.require_key_owners),
            ("log_predictions", self.log_predictions),
        ] {
            if let Some(value) = value {
                settings.insert(name.to_owned(), value.into());
            }
        }
        self.apply_aliases(&mut settings)?;
        let keys = settings.entry("signing_keys").or_insert_with(|| json!({}));
        let keys = keys
            .as_object_mut()
            .context("the server's signing_keys are no object")?;
        for name in &self.remove_signing_key {
            if keys.remove(name).is_none() {
                bail!("there is no signing key `{}`", output::one_line(name));
            }
        }
        for (name, file) in &self.signing_key {
            let pem = client::read_text(&PathBuf::from(file))?;
            let key = PublicKey::from_pem(&pem).with_context(|| format!("--signing-key {name}={file}"))?;
            keys.insert(name.clone(), BASE64.encode(key.to_bytes()).into());
        }
        Ok(settings.into())
    }

    fn apply_aliases(&self, settings: &mut Map<String, Value>) -> anyhow::Result<()> {
        if self.protect_alias.is_empty() && self.unprotect_alias.is_empty() {
            return Ok(());
        }
        let mut aliases: BTreeSet<String> = match settings.get("protected_aliases") {
            Some(list) => serde_json::from_value(list.clone()).context("protected_aliases")?,
            None => BTreeSet::new(),
        };
        for alias in &self.unprotect_alias {
            if !aliases.remove(alias) {
                bail!("the alias `{}` is not protected", output::one_line(alias));
            }
        }
        aliases.extend(self.protect_alias.iter().cloned());
        settings.insert("protected_aliases".to_owned(), json!(aliases));
        Ok(())
    }
}

pub(crate) fn run(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Create {
            name,
            display_name,
            quota,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let new = json!({
                "id": name,
                "display_name": display_name.unwrap_or_default(),
                "quotas": changed_quotas(Map::new(), &quota, &[])?,
            });
            let answer = client.post_json("/v1/tenants", &new)?;
            if client.json {
                output::json(&answer);
            } else {
                println!("the tenant {name} is made; it has no key yet");
                println!("next:  caisson key create admin --role admin --tenant {name}");
            }
            Ok(())
        }
        TenantCommand::List { remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get("/v1/tenants")?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let columns = [
                ("NAME", "id"),
                ("STATUS", "status"),
                ("CREATED", "created_at"),
                ("DISPLAY NAME", "display_name"),
            ];
            output::table_of(&answer, "tenants", &columns);
            Ok(())
        }
        TenantCommand::Show(of) => {
            let (client, path) = of.open()?;
            let answer = client.get(&path)?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            for key in ["id", "display_name", "status", "created_at"] {
                println!("{key:13} {}", output::cell(&answer, key));
            }
            println!("\nquotas");
            print_fields(object(&answer, "quotas")?);
            println!("\nsettings");
            print_fields(object(&answer, "settings")?);
            Ok(())
        }
        TenantCommand::Suspend(of) => change(&of, "/suspend", "suspended: none of its keys is let in"),
        TenantCommand::Resume(of) => change(&of, "/resume", "active again"),
        TenantCommand::Delete(NamedTenant { name, remote }) => {
            let client = Client::new(&remote)?;
            let answer = client.delete(&path(&name))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{name} is deleted; its name is never given out again");
            }
            Ok(())
        }
        TenantCommand::Quotas { of, set, unset } => {
            let (client, path) = of.open()?;
            let answer = client.get(&path)?;
            let answer = if set.is_empty() && unset.is_empty() {
                answer
            } else {
                let quotas = changed_quotas(object(&answer, "quotas")?.clone(), &set, &unset)?;
                client.put_json(&format!("{path}/quotas"), &quotas)?
            };
            print_part(&client, &answer, "quotas")
        }
        TenantCommand::Settings { of, changes } => {
            let (client, path) = of.open()?;
            let answer = client.get(&path)?;
            let answer = if changes.is_none() {
                answer
            } else {
                let settings = changes.apply(object(&answer, "settings")?.clone())?;
                client.put_json(&format!("{path}/settings"), &settings)?
            };
            print_part(&client, &answer, "settings")
        }
        TenantCommand::Usage(of) => {
            let (client, path) = of.open()?;
            let answer = client.get(&format!("{path}/usage"))?;
            if client.json {
                output::json(&answer);
            } else {
                output::table(&["WHAT", "USED", "QUOTA"], &usage_rows(&answer));
            }
            Ok(())
        }
    }
}

/// The path of a tenant; those of its keys and policies are below it.
pub(crate) fn path(tenant: &str) -> String {
    format!("/v1/tenants/{}", segment(tenant))
}

fn change(of: &NamedTenant, step: &str, what: &str) -> anyhow::Result<()> {
    let client = Client::new(&of.remote)?;
    let answer = client.post_json(&format!("{}{step}", path(&of.name)), &json!({}))?;
    if client.json {
        output::json(&answer);
    } else {
        println!("{} is {what}", of.name);
    }
    Ok(())
}

/// Quotas as an answer has them, with these changes.
fn changed_quotas(
    mut quotas: Map<String, Value>,
    set: &[(String, Value)],
    unset: &[String],
) -> anyhow::Result<Value> {
    for name in unset {
        // Through the same check of names as those that are set.
        quotas.insert(name.clone(), Value::Null);
    }
    for (name, amount) in set {
        quotas.insert(name.clone(), amount.clone());
    }
    let quotas: Quotas = serde_json::from_value(quotas.into()).context("quotas")?;
    Ok(serde_json::to_value(quotas)?)
}

fn object<'a>(answer: &'a Value, key: &str) -> anyhow::Result<&'a Map<String, Value>> {
    answer
        .get(key)
        .and_then(Value::as_object)
        .with_context(|| format!("the server's answer has no `{key}`"))
}

fn print_part(client: &Client, answer: &Value, key: &str) -> anyhow::Result<()> {
    if client.json {
        output::json(answer);
        return Ok(());
    }
    print_fields(object(answer, key)?);
    Ok(())
}

/// A value, and of bytes a number that people can read.
fn amount(what: &str, value: &Value) -> String {
    match value.as_u64().filter(|_| what.contains("bytes")) {
        Some(bytes) => BinaryBytes(bytes).to_string(),
        None => output::one_line(&value.to_string()),
    }
}

fn print_fields(fields: &Map<String, Value>) {
    if fields.is_empty() {
        println!("  the server's defaults");
    }
    for (name, value) in fields {
        match value.as_object().filter(|inner| !inner.is_empty()) {
            None => println!("  {name:24} {}", amount(name, value)),
            Some(inner) => {
                println!("  {name}");
                for (name, value) in inner {
                    println!("    {name:22} {}", amount(name, value));
                }
            }
        }
    }
}

/// What is used beside what may be.
fn usage_rows(answer: &Value) -> Vec<Vec<String>> {
    let at = |what: &str, pointer: &str| match answer.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(value) => amount(what, value),
    };
    [
        ("plugins", "/usage/plugins", None),
        ("plugin versions", "/usage/plugin_versions", Some("plugins")),
        ("models", "/usage/models", None),
        ("model versions", "/usage/model_versions", Some("models")),
        ("deployments", "/usage/deployments", Some("deployments")),
        ("stored bytes", "/usage/stored_bytes", Some("stored_bytes")),
        (
            "requests in progress",
            "/requests_in_progress",
            Some("concurrent_requests"),
        ),
        ("memory bytes", "/memory_bytes", Some("memory_bytes")),
        ("CPU seconds", "/cpu_seconds", None),
        ("requests a second", "", Some("requests_per_second")),
        ("changes a day", "", Some("changes_per_day")),
        ("CPU seconds a second", "", Some("cpu_seconds_per_second")),
        ("bytes of one upload", "", Some("upload_bytes")),
    ]
    .map(|(what, used, quota)| {
        let used = if used.is_empty() {
            "-".to_owned()
        } else {
            at(what, used)
        };
        let quota = quota.map_or_else(|| "-".to_owned(), |name| at(what, &format!("/quotas/{name}")));
        vec![what.to_owned(), used, quota]
    })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn quotas_change_one_by_one_and_unknown_ones_are_refused_by_name() {
        let old = map(json!({"models": 5, "plugins": 7}));
        let set = [("models".to_owned(), json!(6))];
        assert_eq!(
            changed_quotas(old.clone(), &set, &["plugins".to_owned()]).unwrap(),
            json!({"models": 6})
        );
        let said = |result: anyhow::Result<Value>| format!("{:#}", result.unwrap_err());
        let text = said(changed_quotas(
            old.clone(),
            &[("modles".to_owned(), json!(1))],
            &[],
        ));
        assert!(text.contains("modles") && text.contains("stored_bytes"), "{text}");
        assert!(said(changed_quotas(old, &[], &["modles".to_owned()])).contains("modles"));
    }

    #[test]
    fn the_help_names_every_quota() {
        let all = Quotas {
            requests_per_second: Some(1.0),
            requests_burst: Some(1),
            concurrent_requests: Some(1),
            cpu_seconds_per_second: Some(1.0),
            cpu_burst_seconds: Some(1.0),
            changes_per_day: Some(1),
            memory_bytes: Some(1),
            stored_bytes: Some(1),
            plugins: Some(1),
            models: Some(1),
            deployments: Some(1),
            upload_bytes: Some(1),
        };
        for name in map(serde_json::to_value(all).unwrap()).keys() {
            assert!(QUOTA_HELP.contains(name), "{name}");
        }
    }

    #[test]
    fn settings_change_one_by_one() {
        let none = SettingsChanges {
            require_key_owners: None,
            require_signed_plugins: None,
            log_predictions: None,
            signing_key: Vec::new(),
            remove_signing_key: Vec::new(),
            protect_alias: Vec::new(),
            unprotect_alias: Vec::new(),
        };
        assert!(none.is_none());
        let old = map(
            json!({"require_signed_plugins": true, "signing_keys": {"a": "x"}, "log_predictions": false}),
        );
        let changes = SettingsChanges {
            require_signed_plugins: Some(false),
            remove_signing_key: vec!["a".to_owned()],
            protect_alias: vec!["champion".to_owned()],
            ..none
        };
        assert_eq!(
            changes.apply(old.clone()).unwrap(),
            json!({"require_signed_plugins": false, "signing_keys": {}, "log_predictions": false,
                   "protected_aliases": ["champion"]})
        );
        let mut without = old;
        without.remove("signing_keys");
        assert!(
            changes
                .apply(without)
                .unwrap_err()
                .to_string()
                .contains("no signing key `a`")
        );
    }
}
