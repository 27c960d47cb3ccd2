//! `cargo xtask observability`: the files in `examples/observability` that are made from the list of metrics.

mod dashboard;
mod list;
mod rules;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{root, say};

/// Where they are.
const FOLDER: &str = "examples/observability";

/// Every file with what it has to say.
fn files() -> Vec<(&'static str, String)> {
    vec![
        ("grafana/caisson.json", dashboard::text()),
        ("prometheus/caisson.rules.yaml", rules::text()),
        ("metrics.md", list::text()),
    ]
}

/// Write all of them.
pub(crate) fn run() -> Result<()> {
    say::step("observability", |progress| {
        let folder = root().join(FOLDER);
        for (name, text) in files() {
            write(&folder.join(name), &text)?;
            progress(name);
        }
        Ok(format!("written to {FOLDER}"))
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_metrics::{Kind, catalogue};

    #[test]
    fn what_is_committed_is_what_the_list_gives() {
        for (name, text) in files() {
            let path = root().join(FOLDER).join(name);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            // The order of an object's keys depends on what else is built with this.
            let same = match name.ends_with(".json") {
                true => json(&committed) == json(&text),
                false => committed == text,
            };
            assert!(same, "{}: run `cargo xtask observability`", path.display());
        }
    }

    fn json(text: &str) -> Option<serde_json::Value> {
        serde_json::from_str(text).ok()
    }

    /// All queries of a dashboard.
    fn queries(dashboard: &serde_json::Value) -> String {
        let panels = dashboard["panels"].as_array().unwrap().iter();
        let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
        targets
            .map(|target| target["expr"].as_str().unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The names of metrics in a text: words that begin as ours do.
    fn named(text: &str) -> Vec<&str> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .filter(|word| word.starts_with("caisson_") || word.starts_with("process_"))
            .collect()
    }

    #[test]
    fn only_metrics_of_the_list_are_used_and_as_what_they_are() {
        for file in ["grafana/caisson.json", "prometheus/caisson.rules.yaml"] {
            let text = files().into_iter().find(|(name, _)| *name == file).unwrap().1;
            let queries = match json(&text) {
                Some(dashboard) => queries(&dashboard),
                None => text,
            };
            let names = named(&queries);
            assert!(names.len() > 10, "{file}: {names:?}");
            for name in names {
                let known = catalogue::ALL.iter().any(|metric| match metric.kind {
                    Kind::Durations | Kind::Sizes => ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|suffix| name.strip_suffix(suffix) == Some(metric.name)),
                    Kind::Counter | Kind::Gauge => name == metric.name,
                });
                assert!(known, "{file} uses {name}");
            }
        }
        let dashboard = dashboard::text();
        for metric in catalogue::ALL {
            assert!(dashboard.contains(metric.name), "{} is not shown", metric.name);
        }
    }
}
