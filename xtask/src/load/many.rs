//! Many deployments: how soon a server is ready with them, and what memory each takes.
//!
//! Each has two sandboxed stages and a model. There are ten plugins and one model, and of the first
//! [`CONFIGS`] deployments every stage's config is one that no other stage has; then they repeat, as in
//! files that teams copy from each other.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::{Options, Report};
use crate::http::Api;
use crate::process;
use crate::say;
use crate::site::{self, Site};

/// Deployments, unless told otherwise.
const DEPLOYMENTS: u64 = 100;
/// Deployments whose stages' configs differ: each takes two compilations.
const CONFIGS: u64 = 100;
/// Starts that are measured; the first may read from the disk.
const STARTS: usize = 3;
/// With 100 deployments, from the start of the process to readiness.
const START_MAX: Duration = Duration::from_secs(2);
/// Resident memory of an idle deployment beyond its model's.
const DEPLOYMENT_BYTES_MAX: f64 = (1 << 20) as f64;
/// Connections that deploy during set-up: more than there are cores, as compiling is not all.
const DEPLOYERS: u64 = 4;
/// The features of the example's model.
const FEATURES: usize = 9;
const MODEL: &str = "small";

/// The ten plugins, and a config of each.
const PLUGINS: [&str; 10] = [
    "test-guests/affine",
    "plugins/clip",
    "plugins/impute",
    "plugins/log1p",
    "plugins/standardize",
    "plugins/bucketize",
    "plugins/ratio",
    "plugins/one-hot",
    "plugins/range",
    "plugins/allowed-values",
];

/// Whether a plugin is a validator, and its stage with the config number `k`.
fn stage(plugin: &str, k: u64) -> (bool, Value) {
    let name = plugin.rsplit('/').next().unwrap_or(plugin);
    let config = match name {
        "affine" => json!({ "scale": k }),
        "clip" => json!({"columns": {"f0": {"max": k}}}),
        "impute" => json!({"columns": {"spare": k}}),
        "log1p" => json!({"columns": ["f1"], "suffix": format!("_log{k}")}),
        "standardize" => json!({"columns": {"f2": {"mean": k, "scale": 2.0}}}),
        "bucketize" => json!({"columns": {"other": {"edges": [0.0, k]}}}),
        "ratio" => json!({"ratios": [{"name": format!("ratio{k}"), "numerator": "f0", "denominator": "f1"}]}),
        "one-hot" => json!({"columns": {"word": {"categories": [format!("w{k}"), "rest"]}}}),
        "range" => json!({"columns": {"f3": {"max": k}}}),
        _ => json!({"columns": {"code": {"values": [k, 0]}}}),
    };
    let validator = matches!(name, "range" | "allowed-values");
    (validator, json!({"plugin": name, "config": config}))
}

fn spec(number: u64) -> Value {
    let count = PLUGINS.len() as u64;
    let like = number % CONFIGS;
    let first = like % count;
    // Each pair of different plugins comes up.
    let second = (first + 1 + (like / count) % (count - 1)) % count;
    let mut input: Vec<Value> = (0..FEATURES)
        .map(|i| json!({"name": format!("f{i}"), "type": "fp32"}))
        .collect();
    input.extend([
        json!({"name": "spare", "type": "fp32", "nullable": true}),
        json!({"name": "other", "type": "fp32", "nullable": true}),
        json!({"name": "word", "type": "text"}),
        json!({"name": "code", "type": "int64"}),
    ]);
    let (mut validators, mut transforms) = (Vec::new(), Vec::new());
    let k = like + 1;
    for plugin in [first, second] {
        let plugin = usize::try_from(plugin).ok().and_then(|at| PLUGINS.get(at));
        let (validator, stage) = stage(plugin.copied().unwrap_or_default(), k);
        if validator {
            validators.push(stage);
        } else {
            transforms.push(stage);
        }
    }
    let features: Vec<String> = (0..FEATURES).map(|i| format!("f{i}")).collect();
    json!({
        "name": format!("d{number}"), "input": input, "validators": validators, "transforms": transforms,
        "model": {"name": MODEL, "version": 1, "columns": {"X": features}, "outputs": ["probabilities"]},
    })
}

/// Upload everything, and deploy so many.
fn set_up(api: &Api, deployments: u64) -> Result<()> {
    for plugin in PLUGINS {
        site::push(api, &site::component(plugin)?)?;
    }
    site::push_model(api, MODEL)?;
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let deployers: Vec<_> = (0..DEPLOYERS)
            .map(|first| {
                scope.spawn(move || -> Result<()> {
                    let mut number = first;
                    while number < deployments {
                        api.post_json("/v1/deployments", &spec(number))?.ok()?;
                        number += DEPLOYERS;
                    }
                    Ok(())
                })
            })
            .collect();
        deployers
            .into_iter()
            .map(|deployer| {
                deployer
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a client panicked")))
            })
            .collect()
    });
    outcomes.into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub(super) fn run(options: &Options) -> Result<Report> {
    let count = options.deployments.unwrap_or(DEPLOYMENTS);
    let site = Site::new(&options.program, &[])?;
    let key = site.tenant("many")?;
    // What a server takes that has been started and has done nothing yet.
    let (site, _) = site.restart(&options.program, &[])?;
    let empty = process::memory(site.server.pid())?;
    let api = site.server.api().with_key_of(&key);
    say::step(&format!("{count} deployments, every stage compiled once"), |_| {
        set_up(&api, count).map(|()| String::from("deployed"))
    })?;
    let mut site = site;
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let (again, ready) = site.restart(&options.program, &[])?;
        took.push(ready.as_millis());
        site = again;
    }
    // The model's own memory is in the first deployment's.
    let full = process::memory(site.server.pid())?;
    let each = |with: u64, without: u64| (with as f64 - without as f64) / count as f64;
    let (resident, private) = (
        each(full.resident, empty.resident),
        each(full.private, empty.private),
    );
    let starts: Vec<String> = took.iter().map(|ms| format!("{ms} ms")).collect();
    let kib = |bytes: f64| format!("{:.0} KiB", bytes / 1024.0);
    Ok(Report {
        title: format!(
            "{count} deployments of two sandboxed stages and a model (100: ready within {} ms; {} resident each)",
            START_MAX.as_millis(),
            kib(DEPLOYMENT_BYTES_MAX)
        ),
        header: &["", ""],
        rows: vec![
            vec![String::from("start to ready"), starts.join(", ")],
            vec![String::from("resident, without them"), say::bytes(empty.resident)],
            vec![String::from("resident, with them"), say::bytes(full.resident)],
            vec![String::from("resident, each"), kib(resident)],
            vec![
                String::from("of that not in the system's file cache, each"),
                kib(private),
            ],
        ],
        json: json!({
            "deployments": count, "ready_ms": took, "ready_target_ms": START_MAX.as_millis(),
            "resident_bytes": full.resident, "resident_bytes_empty": empty.resident,
            "resident_bytes_each": resident, "anonymous_bytes_each": private,
            "resident_target_bytes_each": DEPLOYMENT_BYTES_MAX,
        }),
    })
}
