//! A deployment's past: its revisions, how they differ, and the way back to one.

use clap::Args;
use serde_json::Value;

use super::client::{Client, query, segment};
use super::{Remote, deploy, output};

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

/// Which revisions of a deployment to list.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caisson deployment history churn\n  caisson deployment history churn -n 100 --before 40"
)]
pub(crate) struct HistoryArgs {
    /// The deployment.
    name: String,
    /// How many; at most 1000.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Only revisions before this one.
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

/// Print revisions, the newest first.
pub(crate) fn list(args: &HistoryArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    let before = args.before.map(|n| n.to_string());
    let page = query(&[
        ("limit", Some(&args.limit.to_string())),
        ("before", before.as_deref()),
    ]);
    let answer = client.get(&format!("{}{page}", path(&args.name, "revisions")))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = output::list(&answer, "revisions").map(row).collect();
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
        output::time(revision, "created_at"),
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
    use serde_json::json;

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
