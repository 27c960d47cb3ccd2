//! `caisson audit …`: who did what, and is the log what was written?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use caisson_audit::{Report, TAIL_RECORDS_MAX};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use ureq::http::Method;

use super::args::When;
use super::client::{Client, query};
use super::{Remote, download, output};
use crate::app::AUDIT_DIR;

/// Between two questions for what is new: a person who watches doesn't notice, nor does the server.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);

/// Read and check the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// The newest records, oldest first. An operator sees those of all tenants.
    #[command(after_help = "Examples:
  caisson audit tail
  caisson audit tail -n 100 --action key:create --from 24h
  caisson audit tail --follow --outcome refused")]
    Tail {
        /// How many; at most 1000.
        #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT",
              value_parser = clap::value_parser!(u64).range(1..=TAIL_RECORDS_MAX as u64))]
        lines: u64,
        /// Go on printing what is new, until interrupted. With --json a record is a line.
        #[arg(short, long, conflicts_with = "to")]
        follow: bool,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        remote: Remote,
    },
    /// All records as they are in the log, a line of JSON each.
    #[command(
        after_help = "Example:\n  caisson audit export --from 2026-01-01T00:00:00Z --out january.jsonl"
    )]
    Export {
        /// A file that isn't there yet; standard output if absent.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        remote: Remote,
    },
    /// Check that no record was changed, removed, inserted or moved. Exits 2 when one was.
    #[command(after_help = "Examples:
  caisson audit verify                                  # ask the server
  caisson audit verify --data-dir /var/lib/caisson      # a stopped server's folder, with this program

A server that somebody has tampered with may say anything: check a copy of its folder elsewhere.")]
    Verify {
        /// Check the log in a stopped server's data folder, and ask no server.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which records.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Of this tenant only; an operator's choice.
    #[arg(long)]
    tenant: Option<String>,
    /// Of this key only, by its id.
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Of this action only, such as `key:create`.
    #[arg(long)]
    action: Option<String>,
    /// With this outcome only.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// From this time on (2026-12-31T18:00:00Z), or from this long ago on (24h).
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    from: Option<When>,
    /// Before this time, or before this long ago.
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    to: Option<When>,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed, or made no sense.
    Refused,
    /// It was allowed, and went wrong.
    Failed,
}

/// Filters with their times resolved.
struct Query<'a> {
    filters: &'a Filters,
    from: Option<String>,
    to: Option<String>,
}

impl Filters {
    fn resolve(&self) -> anyhow::Result<Query<'_>> {
        Ok(Query {
            filters: self,
            from: self.from.map(When::gone_by).transpose().context("--from")?,
            to: self.to.map(When::gone_by).transpose().context("--to")?,
        })
    }
}

impl Query<'_> {
    fn text(&self, tail: Option<u64>) -> String {
        let Filters {
            tenant,
            key_id,
            action,
            outcome,
            ..
        } = self.filters;
        let outcome = outcome.and_then(|o| o.to_possible_value());
        let tail = tail.map(|n| n.to_string());
        query(&[
            ("tail", tail.as_deref()),
            ("tenant", tenant.as_deref()),
            ("key_id", key_id.as_deref()),
            ("action", action.as_deref()),
            ("outcome", outcome.as_ref().map(|o| o.get_name())),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
        ])
    }
}

pub(crate) fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Tail {
            lines,
            follow,
            filters,
            remote,
        } => {
            let (client, query) = (Client::new(&remote)?, filters.resolve()?);
            if follow {
                return tail_and_follow(&client, query, lines);
            }
            let answer = client.get(&format!("/v1/audit{}", query.text(Some(lines))))?;
            if client.json {
                output::json(&answer);
            } else {
                for record in output::list(&answer, "records") {
                    println!("{}", line(record));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Export { out, filters, remote } => {
            let path = format!("/v1/audit/export{}", filters.resolve()?.text(None));
            let client = Client::new(&remote)?;
            match out {
                None => download::to_stdout(&client, Method::GET, &path)?,
                Some(out) => {
                    let bytes = download::to_file(&client, Method::GET, &path, &out)?;
                    println!("{} ({bytes} bytes)", out.display());
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify { data_dir, remote } => {
            let report = match data_dir {
                Some(dir) => serde_json::to_value(verify_folder(&dir)?)?,
                None => Client::new(&remote)?.post_json("/v1/audit/verify", &json!({}))?,
            };
            print_report(&report, remote.json)
        }
    }
}

/// Print the newest records, and those that come after them, for ever.
fn tail_and_follow(client: &Client, mut query: Query<'_>, lines: u64) -> anyhow::Result<ExitCode> {
    let most = TAIL_RECORDS_MAX as u64;
    let (mut last, mut count) = (None, lines);
    loop {
        let answer = client.get(&format!("/v1/audit{}", query.text(Some(count))))?;
        let (new, gap) = news(&answer, last, count == most);
        if gap {
            eprintln!(
                "more happened than one answer holds; `caisson audit export --from {}` has all of it",
                query.from.as_deref().unwrap_or_default()
            );
        }
        for record in new {
            match client.json {
                true => println!("{record}"),
                false => println!("{}", line(record)),
            }
            last = record.get("seq").and_then(Value::as_u64).or(last);
            if let Some(time) = record.get("time").and_then(Value::as_str) {
                query.from = Some(time.to_owned());
            }
        }
        count = most;
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// The records after number `last`, and whether there may be some between that a full answer left out.
fn news(answer: &Value, last: Option<u64>, whole: bool) -> (Vec<&Value>, bool) {
    let seq = |record: &Value| record.get("seq").and_then(Value::as_u64).unwrap_or(0);
    let all: Vec<&Value> = output::list(answer, "records").collect();
    let full = whole && all.len() >= TAIL_RECORDS_MAX;
    // The last one printed is asked for again: where it is missing, so may others be.
    let gap = full && last.is_some_and(|last| all.iter().all(|record| seq(record) > last));
    let new = all
        .into_iter()
        .filter(|record| last.is_none_or(|last| seq(record) > last));
    (new.collect(), gap)
}

/// A record for people: when, who, what, how it ended.
fn line(record: &Value) -> String {
    let actor = record.get("actor").unwrap_or(&Value::Null);
    let who = match actor.as_str() {
        Some(name) => output::one_line(name),
        None => format!(
            "{} ({}, {})",
            output::cell(actor, "key_name"),
            output::cell(actor, "role"),
            output::cell(actor, "key_id")
        ),
    };
    let mut line = format!(
        "{} {:>6} {:12} {who:36} {:22} {:28} {}",
        output::cell(record, "time"),
        output::cell(record, "seq"),
        output::cell(record, "tenant"),
        output::cell(record, "action"),
        output::cell(record, "resource"),
        output::cell(record, "result"),
    );
    match record.get("status").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(status) => line.push_str(&format!(" {status}")),
    }
    for key in ["code", "detail"] {
        if let Some(text) = record.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()) {
            line.push_str(&format!(" {}", output::one_line(text)));
        }
    }
    match record.get("count").and_then(Value::as_u64) {
        None | Some(0 | 1) => {}
        Some(count) => line.push_str(&format!(" ({count} times)")),
    }
    line
}

fn verify_folder(data_dir: &Path) -> anyhow::Result<Report> {
    let folder = data_dir.join(AUDIT_DIR);
    if !folder.is_dir() {
        bail!(
            "{} holds no audit log: there is no folder {AUDIT_DIR} in it",
            data_dir.display()
        );
    }
    Ok(caisson_audit::verify(&folder)?)
}

fn print_report(report: &Value, as_json: bool) -> anyhow::Result<ExitCode> {
    let breaks = report
        .get("breaks_total")
        .and_then(Value::as_u64)
        .context("the server's answer has no `breaks_total`")?;
    let code = if breaks == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    };
    if as_json {
        output::json(report);
        return Ok(code);
    }
    let position = |key: &str| match report.get(key) {
        None | Some(Value::Null) => "none".to_owned(),
        Some(at) => format!("{} of {}", output::cell(at, "seq"), output::cell(at, "time")),
    };
    println!(
        "{} records, from {} to {}",
        output::cell(report, "records"),
        position("first"),
        position("last")
    );
    if breaks == 0 {
        println!("nothing was changed, removed, inserted or moved");
        return Ok(code);
    }
    eprintln!("the audit log is not what was written: {breaks} breaks");
    for at in output::list(report, "breaks") {
        eprintln!(
            "  {}:{}: {}",
            output::cell(at, "file"),
            output::cell(at, "line"),
            output::cell(at, "what")
        );
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(seqs: impl IntoIterator<Item = u64>) -> Value {
        json!({"records": seqs.into_iter().map(|seq| json!({"seq": seq})).collect::<Vec<_>>()})
    }

    #[test]
    fn following_prints_each_record_once_and_says_what_it_missed() {
        let seqs =
            |found: &[&Value]| -> Vec<u64> { found.iter().map(|r| r["seq"].as_u64().unwrap()).collect() };
        let answer = records([3, 5, 6]);
        let (new, gap) = news(&answer, None, false);
        assert_eq!((seqs(&new), gap), (vec![3, 5, 6], false));
        let (new, gap) = news(&answer, Some(5), true);
        assert_eq!((seqs(&new), gap), (vec![6], false));
        let many = records(10..10 + TAIL_RECORDS_MAX as u64);
        assert!(news(&many, Some(5), true).1, "6 to 9 may be others");
        assert!(!news(&many, Some(10), true).1);
    }

    #[test]
    fn a_record_is_a_line() {
        let record = json!({
            "seq": 7, "time": "2026-01-02T03:04:05.000000Z", "tenant": "acme",
            "actor": {"key_id": "k1", "key_name": "ci", "role": "admin"}, "action": "a.b", "resource": "x/1",
            "result": "refused", "status": 403, "code": "forbidden", "detail": "", "count": 3,
        });
        let line = line(&record);
        for part in [
            "acme",
            "ci (admin, k1)",
            "a.b",
            "x/1",
            "refused 403 forbidden (3 times)",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
