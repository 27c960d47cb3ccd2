//! `caisson model …`: what there is, and what is said about it.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, query, segment};
use super::model_alias::{self, AliasCommand};
use super::model_push::{self, PushArgs};
use super::model_stage::{self, Step, StepArgs};
use super::{Remote, args, client, output};

/// Register, describe, approve, list and delete models; their aliases.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Register a new version of a model. The same files again give the version that exists.
    Push(Box<PushArgs>),
    /// All models with their latest versions.
    #[command(after_help = "Example:\n  caisson model list --json")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One version of a model: its signature, stage, metrics, lineage and metadata.
    #[command(after_help = "Example:\n  caisson model show churn 3")]
    Show {
        /// The model's name.
        name: String,
        /// A version, an alias or `latest`.
        #[arg(default_value = "latest")]
        version: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Names such as `champion` that point at a version.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// The stage of a version (draft, pending, approved, archived), and how it got there.
    #[command(after_help = "Example:\n  caisson model stage churn 3")]
    Stage(OneVersion),
    /// Ask for a version to be approved: draft or archived to pending.
    #[command(after_help = "Example:\n  caisson model request churn 3 --why 'AUC 0.83 on May, was 0.81'")]
    Request(StepArgs),
    /// Approve a version: pending to approved.
    #[command(after_help = "Example:\n  caisson model approve churn 3 --why 'reviewed, fair across regions'")]
    Approve(StepArgs),
    /// Reject a version: pending to draft.
    #[command(after_help = "Example:\n  caisson model reject churn 3 --why 'trained on the test set'")]
    Reject(StepArgs),
    /// Take a version out of use: draft or approved to archived.
    #[command(after_help = "Example:\n  caisson model archive churn 2 --why 'superseded by 3'")]
    Archive(StepArgs),
    /// Set and remove tags of a version.
    #[command(after_help = "Example:\n  caisson model tag churn 3 team=growth region=eu --remove draft")]
    Tag {
        #[command(flatten)]
        of: OneVersion,
        /// Tags to set; the others stay.
        #[arg(value_name = "KEY=VALUE", value_parser = args::pair)]
        tags: Vec<(String, String)>,
        /// The key of a tag to remove; may be given more than once.
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Describe a version, in place of its description.
    #[command(after_help = "Examples:
  caisson model describe churn 3 'Gradient boosting, 12 months of purchases.'
  caisson model describe churn 3 --file model-card.md")]
    Describe {
        #[command(flatten)]
        of: OneVersion,
        /// The description; empty for none.
        #[arg(required_unless_present = "file")]
        text: Option<String>,
        /// A file with the description; `-` for standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "text")]
        file: Option<std::path::PathBuf>,
    },
    /// Delete a version that no alias points at and no live deployment is built on, for good: its
    /// number is never given out again.
    #[command(
        after_help = "Example:\n  caisson model delete churn 1 --why 'trained on data of a customer who left'"
    )]
    Delete {
        #[command(flatten)]
        of: OneVersion,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

/// A version of a model, by its number: what an alias means may change between looking and acting.
#[derive(Debug, Args)]
pub(crate) struct OneVersion {
    /// The model's name.
    pub(crate) name: String,
    /// The version's number.
    pub(crate) version: u64,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl OneVersion {
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", path(&self.name), self.version)
    }
}

/// The path of a model.
pub(crate) fn path(name: &str) -> String {
    format!("/v1/models/{}", segment(name))
}

pub(crate) fn run(command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Push(args) => model_push::run(&args),
        ModelCommand::List { remote } => list(&remote),
        ModelCommand::Show {
            name,
            version,
            remote,
        } => show(&name, &version, &remote),
        ModelCommand::Alias(command) => model_alias::run(command),
        ModelCommand::Stage(of) => model_stage::show(&of),
        ModelCommand::Request(args) => model_stage::take(&args, Step::Request),
        ModelCommand::Approve(args) => model_stage::take(&args, Step::Approve),
        ModelCommand::Reject(args) => model_stage::take(&args, Step::Reject),
        ModelCommand::Archive(args) => model_stage::take(&args, Step::Archive),
        ModelCommand::Tag { of, tags, remove } => {
            let tags = tag_changes(tags, remove)?;
            change(&of, &json!({"tags": tags}), "tagged")
        }
        ModelCommand::Describe { of, text, file } => {
            let text = match file {
                Some(path) => client::read_text(&path)?,
                None => text.unwrap_or_default(),
            };
            change(&of, &json!({"description": text}), "described")
        }
        ModelCommand::Delete { of, why } => {
            let client = Client::new(&of.remote)?;
            let query = query(&[("why", Some(&why))]);
            let answer = client.delete(&format!("{}{query}", of.path()))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{} version {} is deleted", of.name, of.version);
            }
            Ok(())
        }
    }
}

fn list(remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let answer = client.get("/v1/models")?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let columns = [
        ("NAME", "name"),
        ("VERSION", "version"),
        ("STAGE", "stage"),
        ("CREATED", "created_at"),
        ("DIGEST", "digest"),
    ];
    output::table_of(&answer, "models", &columns);
    Ok(())
}

fn show(name: &str, version: &str, remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let answer = client.get(&format!("{}/{}", path(name), segment(version)))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    println!(
        "{name} version {}, {}",
        output::cell(&answer, "version"),
        output::cell(&answer, "digest")
    );
    print_signature(&answer);
    for key in ["stage", "created_at", "created_by", "training_data_digest"] {
        if let Some(text) = answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()) {
            println!("  {key}: {}", output::one_line(text));
        }
    }
    let description = output::text(&answer, "description");
    if !description.is_empty() {
        println!("  description:");
        for line in description.lines() {
            println!("    {line}");
        }
    }
    for key in ["tags", "metrics", "lineage", "metadata"] {
        if let Some(value) = answer
            .get(key)
            .filter(|v| v.as_object().is_some_and(|o| !o.is_empty()))
        {
            println!("  {key}: {value:#}");
        }
    }
    Ok(())
}

/// Change what may be changed of a version.
fn change(of: &OneVersion, changes: &Value, what: &str) -> anyhow::Result<()> {
    let client = Client::new(&of.remote)?;
    let answer = client.patch_json(&of.path(), changes)?;
    if client.json {
        output::json(&answer);
    } else {
        println!("{} version {} is {what}", of.name, of.version);
    }
    Ok(())
}

/// Values to set, and nulls to remove.
fn tag_changes(set: Vec<(String, String)>, remove: Vec<String>) -> anyhow::Result<Map<String, Value>> {
    let mut changes: BTreeMap<String, Value> = BTreeMap::new();
    let removed = remove.into_iter().map(|key| (key, Value::Null));
    let set = set.into_iter().map(|(key, value)| (key, Value::String(value)));
    for (key, value) in removed.chain(set) {
        if changes.insert(key.clone(), value).is_some() {
            bail!("the tag `{key}` is given twice");
        }
    }
    if changes.is_empty() {
        bail!("give a tag to set, KEY=VALUE, or one to remove, --remove KEY");
    }
    Ok(changes.into_iter().collect())
}

/// The tensors of a model.
pub(crate) fn print_signature(model: &Value) {
    for (key, arrow) in [("inputs", "<-"), ("outputs", "->")] {
        let signature = model.get("signature").unwrap_or(&Value::Null);
        for tensor in output::list(signature, key) {
            println!(
                "  {arrow} {}: {}{}",
                output::cell(tensor, "name"),
                output::cell(tensor, "type"),
                output::cell(tensor, "shape")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_set_or_removed() {
        let set = |key: &str| vec![(key.to_owned(), "x".to_owned())];
        let changes = tag_changes(set("a"), vec!["b".to_owned()]).unwrap();
        assert_eq!(Value::from(changes), json!({"a": "x", "b": null}));
        assert!(tag_changes(set("a"), vec!["a".to_owned()]).is_err());
        assert!(tag_changes(Vec::new(), Vec::new()).is_err());
    }
}
