//! `caisson alert …`: rules, alerts, silences, and who is told.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::args::When;
use super::client::{self, Client, segment};
use super::{Remote, output};

/// Rules, alerts, silences and receivers.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Write or show the rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Alerts that are pending, fire, or resolved within the last day.
    #[command(after_help = "Example:\n  caisson alert list")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Tell nobody of some alerts for some time.
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Who is told: webhooks, Alertmanagers, Slack, e-mail.
    #[command(subcommand)]
    Receiver(ReceiverCommand),
}

/// Write or show the rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Replace all rules by those of a file. What is wrong with it is printed with its line, and
    /// nothing is changed.
    #[command(after_help = "Example:
  caisson alert rules apply -f rules.yaml

with rules.yaml:
  rules:
    - name: failing
      metric: error_rate
      operator: \">\"
      threshold: 0.05
      severity: critical
      window: 5m
      for: 2m")]
    Apply {
        /// The rules file, YAML or JSON; `-` for standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print the rules, as a file that can be applied again.
    #[command(after_help = "Example:\n  caisson alert rules show > rules.yaml")]
    Show {
        #[command(flatten)]
        remote: Remote,
    },
}

/// Make, list and end silences.
#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// Silence the alerts for which all matchers hold.
    #[command(after_help = "Examples:
  caisson alert silence add alertname=failing --until 2h -m 'known; being repaired'
  caisson alert silence add deployment=churn-* severity!=critical --until 2026-12-31T18:00:00Z -m freeze")]
    Add {
        /// Matchers of labels: `alertname=failing`, `team!=churn*`.
        #[arg(required = true, value_name = "LABEL=VALUE")]
        matchers: Vec<String>,
        /// When it ends: a time (2026-12-31T18:00:00Z) or how long from now (2h).
        #[arg(long, value_name = "WHEN", value_parser = When::parse)]
        until: When,
        /// When it begins, likewise; now if absent.
        #[arg(long, value_name = "WHEN", value_parser = When::parse)]
        from: Option<When>,
        /// Why.
        #[arg(short = 'm', long, value_name = "TEXT")]
        comment: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// All silences, those that ended within the last week included.
    #[command(after_help = "Example:\n  caisson alert silence list")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// End a silence now. Who should hear of what still fires is told.
    #[command(after_help = "Example:\n  caisson alert silence end 0d4e8f3c2b1a49788f6e5d4c3b2a1908")]
    End {
        /// The silence, as `caisson alert silence list` has it.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Add, list, delete and try receivers.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiverCommand {
    /// Add a receiver, or replace the one of this name in full, secrets included.
    #[command(after_help = "Example:
  caisson alert receiver set pager -f pager.yaml

with pager.yaml:
  matchers: [severity=critical]
  webhook:
    url: https://pager.example.org/caisson
    signing_key: 32 random letters")]
    Set {
        /// The receiver.
        name: String,
        /// What it is, YAML or JSON; `-` for standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// All receivers, and how deliveries to them fare. No secrets.
    #[command(after_help = "Example:\n  caisson alert receiver list")]
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove a receiver, and what waits for it.
    #[command(after_help = "Example:\n  caisson alert receiver delete pager")]
    Delete {
        /// The receiver.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Send a test to a receiver, and say how it went.
    #[command(after_help = "Example:\n  caisson alert receiver test pager")]
    Test {
        /// The receiver.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) fn run(command: AlertCommand) -> anyhow::Result<ExitCode> {
    match command {
        AlertCommand::Rules(command) => rules(command)?,
        AlertCommand::List { remote } => {
            ask(&remote, |client| client.get("/v1/alerts"), print_alerts)?;
        }
        AlertCommand::Silence(command) => silence(command)?,
        AlertCommand::Receiver(command) => return receiver(command),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ask the server, and print its answer for people or as it came.
fn ask(
    remote: &Remote,
    question: impl FnOnce(&Client) -> anyhow::Result<Value>,
    print: impl FnOnce(&Value),
) -> anyhow::Result<Value> {
    let client = Client::new(remote)?;
    let answer = question(&client)?;
    match client.json {
        true => output::json(&answer),
        false => print(&answer),
    }
    Ok(answer)
}

fn rules(command: RulesCommand) -> anyhow::Result<()> {
    match command {
        RulesCommand::Apply { file, remote } => {
            let text = client::read_file(&file)?;
            let put = |client: &Client| client.put("/v1/alert-rules", "application/yaml", &text);
            ask(&remote, put, |answer| {
                println!("{} rules are in effect", output::list(answer, "rules").count());
            })?;
        }
        RulesCommand::Show { remote } => {
            let client = Client::new(&remote)?;
            let answer = client.get("/v1/alert-rules")?;
            if client.json {
                output::json(&answer);
            } else {
                print!(
                    "{}",
                    serde_saphyr::to_string(&answer).context("writing the rules as YAML")?
                );
            }
        }
    }
    Ok(())
}

fn print_alerts(answer: &Value) {
    let rows: Vec<Vec<String>> = output::list(answer, "alerts")
        .map(|alert| {
            let silenced = alert.get("silenced").and_then(Value::as_bool) == Some(true);
            vec![
                output::cell(alert, "state"),
                output::cell(alert, "rule"),
                output::cell(alert, "severity"),
                output::time(alert, "since"),
                (if silenced { "yes" } else { "-" }).to_owned(),
                output::cell(alert, "reason"),
            ]
        })
        .collect();
    let header = ["STATE", "RULE", "SEVERITY", "SINCE", "SILENCED", "REASON"];
    output::table(&header, &rows);
}

fn silence(command: SilenceCommand) -> anyhow::Result<()> {
    match command {
        SilenceCommand::Add {
            matchers,
            until,
            from,
            comment,
            remote,
        } => {
            let body = json!({
                "matchers": matchers,
                "from": from.map(When::to_come).transpose().context("--from")?,
                "until": until.to_come().context("--until")?,
                "comment": comment,
            });
            let made = ask(
                &remote,
                |client| client.post_json("/v1/silences", &body),
                |answer| println!("{}", output::cell(answer, "id")),
            )?;
            if !remote.json {
                eprintln!("silent until {}", output::time(&made, "until"));
            }
        }
        SilenceCommand::List { remote } => {
            let columns = [
                ("ID", "id"),
                ("MATCHERS", "matchers"),
                ("FROM", "from"),
                ("UNTIL", "until"),
                ("AUTHOR", "author"),
                ("COMMENT", "comment"),
            ];
            let print = |answer: &Value| output::table_of(answer, "silences", &columns);
            ask(&remote, |client| client.get("/v1/silences"), print)?;
        }
        SilenceCommand::End { id, remote } => {
            let path = format!("/v1/silences/{}", segment(&id));
            let print = |answer: &Value| println!("ended at {}", output::time(answer, "until"));
            ask(&remote, |client| client.delete(&path), print)?;
        }
    }
    Ok(())
}

fn receiver(command: ReceiverCommand) -> anyhow::Result<ExitCode> {
    let path = |name: &str| format!("/v1/receivers/{}", segment(name));
    match command {
        ReceiverCommand::Set { name, file, remote } => {
            let text = client::read_file(&file)?;
            let put = |client: &Client| client.put(&path(&name), "application/yaml", &text);
            ask(&remote, put, |_| {
                println!("{name} is told of what begins to fire from now on");
            })?;
        }
        ReceiverCommand::List { remote } => {
            ask(&remote, |client| client.get("/v1/receivers"), print_receivers)?;
        }
        ReceiverCommand::Delete { name, remote } => {
            let print = |_: &Value| println!("{name} is told of nothing more");
            ask(&remote, |client| client.delete(&path(&name)), print)?;
        }
        ReceiverCommand::Test { name, remote } => {
            let test = |client: &Client| client.post_json(&format!("{}/test", path(&name)), &Value::Null);
            let is_delivered =
                |answer: &Value| answer.get("delivered").and_then(Value::as_bool) == Some(true);
            let answer = ask(&remote, test, |answer| match is_delivered(answer) {
                true => println!("{name} took the test"),
                false => eprintln!("{name} was not reached: {}", output::cell(answer, "reason")),
            })?;
            if !is_delivered(&answer) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_receivers(answer: &Value) {
    const KINDS: [&str; 4] = ["webhook", "alertmanager", "slack", "email"];
    let rows: Vec<Vec<String>> = output::list(answer, "receivers")
        .map(|view| {
            let spec = view.get("receiver").unwrap_or(&Value::Null);
            let failure = view.get("last_failure").unwrap_or(&Value::Null);
            vec![
                output::cell(spec, "name"),
                KINDS
                    .into_iter()
                    .find(|kind| spec.get(kind).is_some())
                    .unwrap_or("-")
                    .to_owned(),
                output::cell(spec, "matchers"),
                output::cell(view, "waiting"),
                output::cell(view, "delivered"),
                output::cell(view, "failed_attempts"),
                output::cell(view, "last_delivery"),
                output::cell(failure, "reason"),
            ]
        })
        .collect();
    let header = [
        "NAME",
        "KIND",
        "MATCHERS",
        "WAITING",
        "DELIVERED",
        "FAILED",
        "LAST DELIVERY",
        "FAILURE",
    ];
    output::table(&header, &rows);
}
