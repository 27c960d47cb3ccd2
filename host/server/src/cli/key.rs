//! `caisson key …` and `caisson whoami`.
//!
//! A key's text is printed once, alone on standard output, and everything else about it on standard
//! error, so that `KEY=$(caisson key create …)` holds the key.

use std::collections::BTreeSet;

use anyhow::Context as _;
use caisson_access::{KeyText, NewKey, Role};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::args::When;
use super::client::{Client, segment};
use super::remote::OfTenant;
use super::{Remote, output, tenant};

/// Make, list and revoke keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, and print it: this once, as nothing keeps its secret.
    #[command(after_help = "Examples:
  caisson key create ci --role developer --expires 90d
  caisson key create ann-laptop --role approver --owner ann@example.org
  CAISSON_KEY=$(caisson key create shop --role predictor --deployment churn)
  caisson key create admin --role admin --tenant acme      # an operator, for a new tenant

Roles:
  viewer      reads
  predictor   calls deployments, and reads nothing
  developer   viewer and predictor; uploads, registers and deploys
  approver    viewer; decides which models may serve
  admin       everything in its tenant; of the tenant `system`: an operator of the whole server")]
    Create {
        /// Its name, for people, policies and the audit log.
        name: String,
        /// What it may do.
        #[arg(long, value_parser = role_parser())]
        role: Role,
        /// The person whose key it is: nobody approves with one key what they asked for with another.
        #[arg(long, value_name = "PERSON")]
        owner: Option<String>,
        /// When it ends: a time (2026-12-31T18:00:00Z) or how long from now (90d); never if absent.
        #[arg(long, value_name = "WHEN", value_parser = When::parse)]
        expires: Option<When>,
        /// A deployment that it is for, and no other; may be given more than once.
        #[arg(long, value_name = "NAME")]
        deployment: Vec<String>,
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// All keys of a tenant, without their secrets.
    #[command(after_help = "Example:\n  caisson key list")]
    List {
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take a key back: from now on it opens nothing.
    #[command(after_help = "Example:\n  caisson key revoke Ab3dEf6hIj9k")]
    Revoke {
        /// The key's id, as `caisson key list` has it; the part after `csn_`.
        id: String,
        #[command(flatten)]
        of: OfTenant,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print a new random key, asking no server: for the operator's key that a server is started with.
    #[command(after_help = "Example:
  caisson key generate > operator.key

It opens nothing until a server is started with it.")]
    Generate,
}

/// Whose key this is, and what it may do.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caisson whoami")]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    remote: Remote,
}

fn role_parser() -> impl clap::builder::TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|text| {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .context("no such role")
    })
}

/// The id in what may be a whole key: `csn_ID_SECRET`. The secret must not get into a URL, which is logged.
fn key_id(text: &str) -> &str {
    let text = text.trim();
    let id = text.strip_prefix("csn_").unwrap_or(text);
    id.split_once('_').map_or(id, |(id, _)| id)
}

pub(crate) fn run(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create {
            name,
            role,
            owner,
            expires,
            deployment,
            of,
            remote,
        } => {
            let deployments: BTreeSet<String> = deployment.into_iter().collect();
            let new = NewKey {
                name,
                owner,
                role,
                expires_at: expires.map(When::to_come).transpose().context("--expires")?,
                deployments: (!deployments.is_empty()).then_some(deployments),
            };
            create(&Client::new(&remote)?, &of, &new)
        }
        KeyCommand::List { of, remote } => list(&Client::new(&remote)?, &of),
        KeyCommand::Revoke { id, of, remote } => {
            let id = key_id(&id);
            let client = Client::new(&remote)?;
            let answer = client.delete(&format!("{}/{}", path(&client, &of)?, segment(id)))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{id} ({}) is revoked", output::cell(&answer, "name"));
            }
            Ok(())
        }
        KeyCommand::Generate => {
            println!("{}", KeyText::generate()?.expose());
            eprintln!("a new key; it opens nothing until a server is started with it");
            Ok(())
        }
    }
}

fn path(client: &Client, of: &OfTenant) -> anyhow::Result<String> {
    Ok(format!(
        "{}/keys",
        tenant::path(&client.tenant(of.tenant.as_deref())?)
    ))
}

fn create(client: &Client, of: &OfTenant, new: &NewKey) -> anyhow::Result<()> {
    let answer = client.post_json(&path(client, of)?, &serde_json::to_value(new)?)?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let key = answer.get("key").and_then(Value::as_str);
    println!("{}", key.context("the server's answer has no key")?);
    let record = answer.get("record").unwrap_or(&Value::Null);
    let until = match record.get("expires_at") {
        Some(Value::String(_)) => format!("until {}", output::time(record, "expires_at")),
        _ => "until it is revoked".to_owned(),
    };
    eprintln!(
        "the key {} of {} ({}), {until}; keep it now: nobody can show it again",
        output::cell(record, "id"),
        output::cell(record, "name"),
        output::cell(record, "role"),
    );
    Ok(())
}

fn list(client: &Client, of: &OfTenant) -> anyhow::Result<()> {
    let answer = client.get(&path(client, of)?)?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let columns = [
        ("ID", "id"),
        ("NAME", "name"),
        ("OWNER", "owner"),
        ("ROLE", "role"),
        ("CREATED", "created_at"),
        ("BY", "created_by"),
        ("EXPIRES", "expires_at"),
        ("REVOKED", "revoked_at"),
        ("DEPLOYMENTS", "deployments"),
    ];
    output::table_of(&answer, "keys", &columns);
    Ok(())
}

/// Print who the key belongs to.
pub(crate) fn whoami(args: &WhoamiArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let answer = client.get("/v1/whoami")?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let key = answer.get("key").unwrap_or(&Value::Null);
    let operator = answer.get("operator").and_then(Value::as_bool) == Some(true);
    println!(
        "{} of the tenant {}: {}{}, key {}",
        output::cell(key, "name"),
        output::cell(&answer, "tenant"),
        output::cell(key, "role"),
        if operator { ", operator of this server" } else { "" },
        output::cell(key, "id"),
    );
    if let Some(only) = key.get("deployments").filter(|only| !only.is_null()) {
        println!(
            "for these deployments only: {}",
            output::one_line(&only.to_string())
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_key_is_its_id() {
        for text in [
            "Ab3dEf6hIj9k",
            "csn_Ab3dEf6hIj9k",
            "csn_Ab3dEf6hIj9k_secretsecret",
            " csn_Ab3dEf6hIj9k_s\n",
        ] {
            assert_eq!(key_id(text), "Ab3dEf6hIj9k", "{text}");
        }
    }
}
