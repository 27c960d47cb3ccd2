//! `caisson model alias …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, query, segment};
use super::{Remote, model, output};

/// Point aliases at versions.
#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// Point an alias at a version.
    #[command(after_help = "Examples:
  caisson model alias set churn champion 3
  caisson model alias set churn champion 3 --expect 2       # only if it points at 2 now
  caisson model alias set churn challenger 4 --expect none  # only if there is no such alias")]
    Set {
        /// The model's name.
        name: String,
        /// The alias.
        alias: String,
        /// The version's number.
        version: u64,
        /// Where it must point now, a version or `none`; anywhere if absent.
        #[arg(long, value_name = "VERSION", value_parser = expectation)]
        expect: Option<Expectation>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove an alias. The version that it points at stays.
    #[command(after_help = "Example:\n  caisson model alias remove churn challenger --expect 4")]
    Remove {
        /// The model's name.
        name: String,
        /// The alias.
        alias: String,
        /// The version that it must point at now; any if absent.
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Where a model's aliases point, and where they pointed before.
    #[command(after_help = "Example:\n  caisson model alias list churn")]
    List {
        /// The model's name.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Where an alias points before it is moved: at a version, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expectation(Option<u64>);

fn expectation(text: &str) -> Result<Expectation, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Expectation(None)),
        (_, Ok(version)) => Ok(Expectation(Some(version))),
        _ => Err("write a version's number, or `none`".to_owned()),
    }
}

pub(crate) fn run(command: AliasCommand) -> anyhow::Result<()> {
    match command {
        AliasCommand::Set {
            name,
            alias,
            version,
            expect,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let answer = client.put_json(&path(&name, &alias), &set_body(version, expect))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{name}@{alias} is version {version}{}", before(&answer));
            }
        }
        AliasCommand::Remove {
            name,
            alias,
            expect,
            remote,
        } => {
            let client = Client::new(&remote)?;
            let expect = expect.map(|version| version.to_string());
            let query = query(&[("expect", expect.as_deref())]);
            let answer = client.delete(&format!("{}{query}", path(&name, &alias)))?;
            if client.json {
                output::json(&answer);
            } else {
                println!("{name}@{alias} is removed{}", before(&answer));
            }
        }
        AliasCommand::List { name, remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get(&format!("{}/aliases", model::path(&name)))?;
            if client.json {
                output::json(&answer);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = answer
                .get("aliases")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(alias, version)| vec![output::one_line(alias), version.to_string()])
                .collect();
            output::table(&["ALIAS", "VERSION"], &rows);
            if output::list(&answer, "history").next().is_some() {
                println!();
                let columns = [
                    ("CHANGED", "at"),
                    ("ALIAS", "alias"),
                    ("FROM", "from"),
                    ("TO", "to"),
                    ("BY", "by"),
                ];
                output::table_of(&answer, "history", &columns);
            }
        }
    }
    Ok(())
}

fn path(name: &str, alias: &str) -> String {
    format!("{}/aliases/{}", model::path(name), segment(alias))
}

/// What is expected is left out where nothing is: `null` means that there must be no such alias.
fn set_body(version: u64, expect: Option<Expectation>) -> Value {
    match expect {
        None => json!({"version": version}),
        Some(Expectation(expect)) => json!({"version": version, "expect": expect}),
    }
}

fn before(change: &Value) -> String {
    match change.get("from").and_then(Value::as_u64) {
        Some(version) => format!(", was {version}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_expected_and_no_alias_expected_are_two_things() {
        assert_eq!(set_body(3, None), json!({"version": 3}));
        let none = expectation("none").unwrap();
        assert_eq!(set_body(3, Some(none)), json!({"version": 3, "expect": null}));
        let two = expectation("2").unwrap();
        assert_eq!(set_body(3, Some(two)), json!({"version": 3, "expect": 2}));
        assert!(expectation("latest").is_err());
    }
}
