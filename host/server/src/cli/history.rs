//! A deployment's past: its revisions, how they differ, and the way back to one.

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, query, segment};
use super::{Remote, deploy, output};

/// Revisions asked for at once.
const PAGE_REVISIONS: &str = "100";
/// Characters of a value in a diff: a line or two. `--json` has all of it.
const VALUE_CHARS_MAX: usize = 160;

/// Go back to an earlier revision of a deployment: a new revision with what that one had.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson rollback churn                             # to the revision before the live one
  caisson rollback churn --to 7 -m 'drift since 8'")]
pub(crate) struct RollbackArgs {
    /// The deployment.
    name: String,
    /// The revision's number; the one before the live one if absent.
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Why, for the deployment's history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl RollbackArgs {
    /// What is not given is left out.
    fn body(&self) -> Value {
        let to = self.to.map(|to| ("to".to_owned(), to.into()));
        let message = self.message.as_deref().map(|m| ("message".to_owned(), m.into()));
        Value::Object(to.into_iter().chain(message).collect())
    }
}

pub(crate) fn rollback(args: &RollbackArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let answer = client.post_json(&path(&args.name, "rollback"), &args.body())?;
    if client.json {
        output::json(&answer);
    } else {
        deploy::print_applied(&answer);
    }
    Ok(())
}

/// Print all revisions.
pub(crate) fn list(name: &str, remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let mut revisions: Vec<Value> = Vec::new();
    let mut after = 0;
    loop {
        let page = query(&[
            ("after", Some(&after.to_string())),
            ("limit", Some(PAGE_REVISIONS)),
        ]);
        let answer = client.get(&format!("{}{page}", path(name, "revisions")))?;
        let last = output::list(&answer, "revisions").filter_map(number).max();
        revisions.extend(output::list(&answer, "revisions").cloned());
        match last.filter(|&last| last > after) {
            Some(last) => after = last,
            None => break,
        }
    }
    if client.json {
        output::json(&json!({"revisions": revisions}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = revisions.iter().map(row).collect();
    output::table(&["REVISION", "", "CREATED", "BY", "HOW", "MESSAGE"], &rows);
    Ok(())
}

/// Print how two revisions differ.
pub(crate) fn diff(name: &str, from: Option<u64>, to: Option<u64>, remote: &Remote) -> anyhow::Result<()> {
    let client = Client::new(remote)?;
    let (from, to) = (from.map(|n| n.to_string()), to.map(|n| n.to_string()));
    let which = query(&[("from", from.as_deref()), ("to", to.as_deref())]);
    let answer = client.get(&format!("{}{which}", path(name, "diff")))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let revision = |key: &str| output::cell(&answer, key);
    println!("{name}, revision {} to {}", revision("from"), revision("to"));
    if output::list(&answer, "changes").next().is_none() {
        println!("  no difference");
    }
    for change in output::list(&answer, "changes") {
        println!("  {}", output::cell(change, "path"));
        for (sign, side) in [('-', "from"), ('+', "to")] {
            if let Some(value) = change.get(side) {
                println!("    {sign} {}", shown(value));
            }
        }
    }
    match answer.get("left_out").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(more) => println!("  and {more} more"),
    }
    Ok(())
}

fn path(name: &str, what: &str) -> String {
    format!("/v1/deployments/{}/{what}", segment(name))
}

fn number(revision: &Value) -> Option<u64> {
    revision.get("number").and_then(Value::as_u64)
}

fn row(revision: &Value) -> Vec<String> {
    let live = revision.get("live").and_then(Value::as_bool) == Some(true);
    let how = match revision.pointer("/origin/of") {
        Some(of) => format!("rollback to {of}"),
        None => revision
            .get("origin")
            .map_or_else(|| "-".to_owned(), |origin| output::cell(origin, "kind")),
    };
    vec![
        output::cell(revision, "number"),
        if live { "live".to_owned() } else { String::new() },
        output::cell(revision, "created_at"),
        output::cell(revision, "author"),
        how,
        output::cell(revision, "message"),
    ]
}

/// One side of a change: `{"value": …}`, or `{"bytes": …}` for one that the server cut.
fn shown(side: &Value) -> String {
    match (side.get("value"), side.get("bytes")) {
        (Some(value), _) => {
            let text = output::one_line(&value.to_string());
            match text.char_indices().nth(VALUE_CHARS_MAX) {
                None => text,
                Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
            }
        }
        (None, Some(bytes)) => format!("{bytes} bytes of JSON"),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&json!({"value": null})), "null");
        assert_eq!(shown(&json!({"bytes": 5000})), "5000 bytes of JSON");
        let long = shown(&json!({"value": "ü".repeat(5000)}));
        assert_eq!(long.chars().count(), VALUE_CHARS_MAX + 1);
    }

    #[test]
    fn a_revision_says_how_it_came_about() {
        let apply = json!({"number": 1, "live": false, "author": "acme/ci", "origin": {"kind": "apply"}, "created_at": "t"});
        assert_eq!(row(&apply), ["1", "", "t", "acme/ci", "apply", "-"]);
        let back = json!({"number": 3, "live": true, "author": "x", "origin": {"kind": "rollback", "of": 1}, "created_at": "t", "message": "m"});
        assert_eq!(row(&back), ["3", "live", "t", "x", "rollback to 1", "m"]);
    }
}
