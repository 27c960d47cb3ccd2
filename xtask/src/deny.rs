//! `cargo xtask deny`: licences, bans and sources of every dependency, against `deny.toml`.
//!
//! cargo-deny checks where it is installed. Where it isn't, building it would take longer than
//! everything else that a check of a change does, so the same rules of the same file are checked
//! here over `cargo metadata`: a licence outside the list, a banned crate, a crate that comes from
//! anywhere but the registry or this workspace, a wildcard version. Known vulnerabilities
//! (`--advisories`) need cargo-deny and its database, and so a network.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::{cargo, root, say};

/// Check, or fail with a line for each thing that is against the rules.
pub(crate) fn run(advisories: bool) -> Result<()> {
    let installed = cargo()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        ensure!(
            !advisories,
            "known vulnerabilities are checked by cargo-deny: cargo install --locked cargo-deny"
        );
        return say::step(
            "licences, bans and sources (cargo-deny is not installed: own check)",
            |_| own_check(),
        );
    }
    let mut checks = vec!["deny", "check", "licenses", "bans", "sources"];
    if advisories {
        checks.push("advisories");
    }
    say::step("cargo deny", |_| {
        let status = cargo().args(&checks).status()?;
        ensure!(status.success(), "cargo deny failed ({status})");
        Ok(String::from("nothing against the rules"))
    })
}

fn own_check() -> Result<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml")?;
    let rules: Rules = toml::from_str(&text).context("deny.toml")?;
    let graph = read_graph(&rules)?;
    let faults = check(&rules, &graph)?;
    if !faults.is_empty() {
        bail!("{}", faults.join("\n  "));
    }
    Ok(format!(
        "{} crates, nothing against the rules",
        graph.packages.len()
    ))
}

fn read_graph(rules: &Rules) -> Result<Graph> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    for target in &rules.graph.targets {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().context("cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

/// The part of cargo-deny's configuration that is checked here. A rule that isn't known is an
/// error, so no rule in the file goes unchecked without anyone noticing; a field with an underscore
/// takes the one level that the check below knows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: GraphRules,
    licenses: LicenseRules,
    bans: BanRules,
    #[serde(rename = "sources")]
    _sources: SourceRules,
    /// For cargo-deny alone.
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphRules {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenseRules {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<LicenseException>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenseException {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BanRules {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Allowed,
    #[serde(rename = "wildcards")]
    _wildcards: Denied,
    #[serde(rename = "allow-wildcard-paths")]
    _allow_wildcard_paths: bool,
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceRules {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Denied,
    #[serde(rename = "unknown-git")]
    _unknown_git: Denied,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Denied {
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Allowed {
    Allow,
}

#[derive(Debug, Deserialize)]
struct Graph {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Absent for a path.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

/// Every fault, a line each.
fn check(rules: &Rules, graph: &Graph) -> Result<Vec<String>> {
    let allowed = licensees(&rules.licenses.allow)?;
    let mut exceptions = BTreeMap::new();
    for exception in &rules.licenses.exceptions {
        exceptions.insert(exception.name.as_str(), licensees(&exception.allow)?);
    }
    let mut faults = Vec::new();
    for package in &graph.packages {
        let (name, version) = (&package.name, &package.version);
        let mut fault = |what: String| faults.push(format!("{name} {version}: {what}"));
        let extra = exceptions.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        if let Err(what) = check_license(package.license.as_deref(), &[&allowed, extra]) {
            fault(what);
        }
        if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == *name) {
            fault(format!("banned: {}", ban.reason));
        }
        match &package.source {
            // Not the workspace's own manifests, which wildcards are about, but what they depend on.
            Some(source) if source != CRATES => fault(format!("comes from {source}")),
            Some(_) => {}
            None => {
                let wild = package
                    .dependencies
                    .iter()
                    .filter(|d| d.req == "*" && d.path.is_none());
                wild.for_each(|d| fault(format!("depends on any version of {}", d.name)));
            }
        }
    }
    Ok(faults)
}

/// How cargo names its default registry.
const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn licensees(names: &[String]) -> Result<Vec<Licensee>> {
    names
        .iter()
        .map(|name| Licensee::parse(name).with_context(|| format!("deny.toml: `{name}`")))
        .collect()
}

fn check_license(expression: Option<&str>, allowed: &[&[Licensee]]) -> Result<(), String> {
    let text = expression.ok_or("says nothing of its licence")?;
    let expression = Expression::parse_mode(text, ParseMode::LAX)
        .map_err(|e| format!("licence `{text}`: {}", e.reason))?;
    let is_allowed = |requirement: &spdx::LicenseReq| {
        allowed
            .iter()
            .copied()
            .flatten()
            .any(|licensee| licensee.satisfies(requirement))
    };
    if expression.evaluate(is_allowed) {
        Ok(())
    } else {
        Err(format!("licence `{text}` is not on the list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [graph]
        targets = []
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ crate = "roots", allow = ["CDLA-Permissive-2.0"] }]
        [bans]
        multiple-versions = "allow"
        wildcards = "deny"
        allow-wildcard-paths = true
        deny = [{ crate = "openssl-sys", reason = "TLS is rustls" }]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        [advisories]
    "#;

    fn package(name: &str, license: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: String::from("1.0.0"),
            license: (!license.is_empty()).then(|| license.to_owned()),
            source: source.map(str::to_owned),
            dependencies: Vec::new(),
        }
    }

    fn faults(packages: Vec<Package>) -> Vec<String> {
        check(&toml::from_str(RULES).unwrap(), &Graph { packages }).unwrap()
    }

    #[test]
    fn licences() {
        for license in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(
                faults(vec![package("a", license, Some(CRATES))]),
                Vec::<String>::new(),
                "{license}"
            );
        }
        for license in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT WITH LLVM-exception",
            "not a licence",
            "",
            "CDLA-Permissive-2.0",
        ] {
            let found = faults(vec![package("a", license, Some(CRATES))]);
            assert!(
                found.len() == 1 && found[0].starts_with("a 1.0.0: "),
                "{license}: {found:?}"
            );
        }
        assert!(faults(vec![package("roots", "CDLA-Permissive-2.0", Some(CRATES))]).is_empty());
    }

    #[test]
    fn sources_bans_and_wildcards() {
        let found = faults(vec![
            package("from-git", "MIT", Some("git+https://example.com/x")),
            package("openssl-sys", "MIT", Some(CRATES)),
            Package {
                dependencies: vec![
                    Dependency {
                        name: String::from("any"),
                        req: String::from("*"),
                        path: None,
                    },
                    Dependency {
                        name: String::from("ours"),
                        req: String::from("*"),
                        path: Some(String::from("/x")),
                    },
                ],
                ..package("us", "MIT", None)
            },
        ]);
        assert_eq!(
            found,
            [
                "from-git 1.0.0: comes from git+https://example.com/x",
                "openssl-sys 1.0.0: banned: TLS is rustls",
                "us 1.0.0: depends on any version of any",
            ]
        );
    }

    #[test]
    fn a_rule_that_is_not_checked_is_refused() {
        assert!(toml::from_str::<Rules>(RULES).is_ok());
        for (from, to) in [
            ("wildcards = \"deny\"", "wildcards = \"warn\""),
            ("unknown-git = \"deny\"", "unknown-git = \"deny\"\nallow-git = []"),
        ] {
            assert!(toml::from_str::<Rules>(&RULES.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn this_workspace_keeps_its_rules() {
        own_check().unwrap();
    }
}
