//! What a model version was made from, and how good it is.

use std::collections::BTreeMap;

use caisson_store::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RegistryError;
use crate::names::{self, shown};
use crate::text::check_line;

/// Metrics of a version: a few for each slice of an evaluation.
const METRICS_MAX: usize = 512;
/// Bytes of a metric's name.
const METRIC_NAME_BYTES_MAX: usize = 128;
/// Entries of each part of a lineage: a training set of daily files over years has thousands.
const LINEAGE_ENTRIES_MAX: usize = 10_000;
/// Bytes of a name in a lineage: URIs are longer than names.
const LINEAGE_TEXT_BYTES_MAX: usize = 1024;

/// What a model version was made from. Nothing here keeps anything: what it names may be gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The plugins that prepared the training data, `name@version`, and their components' digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, Digest>,
    /// The data, by name or URI, and a digest or version of each in the form `sha256:…`, `md5:…`,
    /// `delta:17`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// The code.
    #[serde(default, skip_serializing_if = "Source::is_unknown")]
    pub source: Source,
    /// The versions that it was trained further from, or distilled from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
}

/// The code that made a model version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LineageSource")]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A commit's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The run, as the orchestrator or the experiment tracker names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// A model version that another was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LineageParent")]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: u64,
}

impl Source {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Lineage {
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Refuse what is too much or no text.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        for (what, entries) in [
            ("plugins of a lineage", self.plugins.len()),
            ("data of a lineage", self.data.len()),
            ("parents of a lineage", self.parents.len()),
        ] {
            check_count(what, entries, LINEAGE_ENTRIES_MAX)?;
        }
        let line = |what: &str, text: &str| check_line(what, text, LINEAGE_TEXT_BYTES_MAX);
        for plugin in self.plugins.keys() {
            line("a plugin of a lineage", plugin)?;
        }
        for (name, digest) in &self.data {
            line("the name of data of a lineage", name)?;
            check_data_digest(&format!("the digest of `{}`", shown(name)), digest)?;
        }
        line(
            "git_commit",
            self.source.git_commit.as_deref().unwrap_or_default(),
        )?;
        line("run_id", self.source.run_id.as_deref().unwrap_or_default())?;
        for parent in &self.parents {
            names::check("model", &parent.name)?;
        }
        Ok(())
    }
}

/// `algorithm:value`, one line.
pub(crate) fn check_data_digest(what: &str, text: &str) -> Result<(), RegistryError> {
    check_line(what, text, LINEAGE_TEXT_BYTES_MAX)?;
    match text.split_once(':') {
        Some((algorithm, value)) if !algorithm.is_empty() && !value.is_empty() => Ok(()),
        _ => Err(RegistryError::Text {
            what: what.to_owned(),
            reason: format!(
                "`{}` doesn't say of which kind it is: write `sha256:…`",
                shown(text)
            ),
        }),
    }
}

/// Metrics by name.
pub(crate) fn check_metrics(metrics: &BTreeMap<String, f64>) -> Result<(), RegistryError> {
    check_count("metrics", metrics.len(), METRICS_MAX)?;
    for (name, value) in metrics {
        check_line("a metric's name", name, METRIC_NAME_BYTES_MAX)?;
        // JSON has no others, and a comparison with NaN says nothing.
        if name.is_empty() || !value.is_finite() {
            return Err(RegistryError::Text {
                what: format!("the metric `{}`", shown(name)),
                reason: format!("a metric is a name and a finite number, and this is {value}"),
            });
        }
    }
    Ok(())
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), RegistryError> {
    if count <= max {
        return Ok(());
    }
    Err(RegistryError::TooMany {
        what: format!("{count} {what}"),
        max: max as u64,
    })
}
