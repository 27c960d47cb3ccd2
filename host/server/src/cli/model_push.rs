//! `caisson model push`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use caisson_registry::{Digest, Lineage};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::client::{self, Client, FormPart};
use super::model::{self, print_signature};
use super::{Remote, args, output};

const EXAMPLES: &str = "\
Examples:
  caisson model push churn model.onnx --metadata model.json --baseline baseline.csv
  caisson model push churn model.onnx --description 'Gradient boosting' --tag team=growth \\
      --metric auc=0.81 --training-data-digest sha256:9f86… --lineage lineage.json

with lineage.json, every part of which may be left out:
  {\"data\": {\"s3://lake/purchases\": \"delta:17\"}, \"plugins\": {\"impute@0.1.0\": \"sha256:…\"},
   \"source\": {\"git_commit\": \"3adc955\", \"run_id\": \"nightly-412\"},
   \"parents\": [{\"name\": \"churn\", \"version\": 2}]}";

/// A version to register.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PushArgs {
    /// The model's name.
    name: String,
    /// The ONNX file.
    file: PathBuf,
    /// A JSON object about the model, which is kept as it is.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Reference rows as CSV, in the columns that callers send; drift is measured against them.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// A page for people; `caisson model describe` changes it.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A tag; may be given more than once. `caisson model tag` changes them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = args::pair)]
    tag: Vec<(String, String)>,
    /// How good it is, such as `auc=0.81`; may be given more than once.
    #[arg(long, value_name = "NAME=NUMBER", value_parser = args::metric)]
    metric: Vec<(String, f64)>,
    /// The training data's digest, such as `sha256:…`.
    #[arg(long, value_name = "DIGEST")]
    training_data_digest: Option<String>,
    /// A JSON file that says what the model was made from.
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// The form's part `details`.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Details {
    /// Of the model, so that what arrives is what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metrics: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_data_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
}

impl Details {
    fn of(args: &PushArgs) -> anyhow::Result<Self> {
        let lineage = match &args.lineage {
            None => None,
            Some(path) => Some(
                serde_json::from_slice(&client::read_file(path)?)
                    .with_context(|| format!("--lineage {}", path.display()))?,
            ),
        };
        Ok(Self {
            digest: None,
            description: args.description.clone(),
            tags: once_each("--tag", &args.tag)?,
            metrics: once_each("--metric", &args.metric)?,
            training_data_digest: args.training_data_digest.clone(),
            lineage,
        })
    }
}

/// Pairs as a map; two of one key contradict each other.
fn once_each<V: Clone>(flag: &str, pairs: &[(String, V)]) -> anyhow::Result<BTreeMap<String, V>> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.insert(key.clone(), value.clone()).is_some() {
            bail!("{flag} {key}=… is given twice");
        }
    }
    Ok(map)
}

pub(crate) fn run(args: &PushArgs) -> anyhow::Result<()> {
    let mut details = Details::of(args)?;
    let model = client::read_file(&args.file)?;
    details.digest = Some(Digest::of(&model));
    let metadata = args.metadata.as_deref().map(client::read_file).transpose()?;
    if let Some(text) = &metadata {
        serde_json::from_slice::<serde_json::Map<String, Value>>(text)
            .context("--metadata is no JSON object")?;
    }
    let baseline = args.baseline.as_deref().map(client::read_file).transpose()?;
    let details = Some(serde_json::to_vec(&details)?);
    let mut parts = vec![FormPart {
        name: "model",
        content_type: "application/octet-stream",
        bytes: &model,
    }];
    for (name, content_type, bytes) in [
        ("metadata", "application/json", &metadata),
        ("baseline", "text/csv", &baseline),
        ("details", "application/json", &details),
    ] {
        if let Some(bytes) = bytes {
            parts.push(FormPart {
                name,
                content_type,
                bytes,
            });
        }
    }
    let client = Client::new(&args.remote)?;
    let answer = client.post_form(&model::path(&args.name), &parts)?;
    if client.json {
        output::json(&answer);
    } else {
        println!(
            "{} version {} ({}, {} bytes)",
            args.name,
            output::cell(&answer, "version"),
            output::cell(&answer, "result"),
            model.len()
        );
        print_signature(&answer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: PushArgs,
    }

    fn details(flags: &[&str]) -> anyhow::Result<Value> {
        let typed = ["push", "churn", "model.onnx"]
            .into_iter()
            .chain(flags.iter().copied());
        Ok(serde_json::to_value(Details::of(
            &Line::try_parse_from(typed)?.args,
        )?)?)
    }

    #[test]
    fn what_is_typed_becomes_the_details() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lineage = json!({"source": {"run_id": "r1"}, "parents": [{"name": "churn", "version": 2}]});
        std::fs::write(file.path(), lineage.to_string()).unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(details(&[]).unwrap(), json!({}));
        assert_eq!(
            details(&[
                "--description",
                "d",
                "--tag",
                "a=b",
                "--metric",
                "auc=0.81",
                "--lineage",
                path
            ])
            .unwrap(),
            json!({"description": "d", "tags": {"a": "b"}, "metrics": {"auc": 0.81}, "lineage": lineage})
        );
        std::fs::write(file.path(), "{\"sauce\": {}}").unwrap();
        let said = format!("{:#}", details(&["--lineage", path]).unwrap_err());
        assert!(said.contains("sauce") && said.contains("line 1"), "{said}");
        assert!(details(&["--tag", "a=b", "--tag", "a=c"]).is_err());
        assert!(details(&["--metric", "auc=good"]).is_err());
    }
}
