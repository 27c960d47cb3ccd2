//! `caisson model stage`, and the steps from one stage to another.

use caisson_registry::Stage;
use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::model::OneVersion;
use super::output;

/// A step of a version to another stage.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    #[command(flatten)]
    of: OneVersion,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// What someone does to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asks for an approval.
    Request,
    /// Gives it.
    Approve,
    /// Refuses it.
    Reject,
    /// Takes the version out of use.
    Archive,
}

impl Step {
    fn to(self) -> Stage {
        match self {
            Self::Request => Stage::Pending,
            Self::Approve => Stage::Approved,
            Self::Reject => Stage::Draft,
            Self::Archive => Stage::Archived,
        }
    }

    fn body(self, why: &str) -> Value {
        json!({"to": self.to(), "why": why})
    }
}

/// Take a step.
pub(crate) fn take(args: &StepArgs, step: Step) -> anyhow::Result<()> {
    let client = Client::new(&args.of.remote)?;
    let path = format!("{}/stage", args.of.path());
    let answer = client.post_json(&path, &step.body(&args.why))?;
    if client.json {
        output::json(&answer);
    } else {
        println!(
            "{} version {} is {}, was {}",
            args.of.name,
            args.of.version,
            output::cell(&answer, "to"),
            output::cell(&answer, "from")
        );
    }
    Ok(())
}

/// Print a version's stage and how it got there.
pub(crate) fn show(of: &OneVersion) -> anyhow::Result<()> {
    let client = Client::new(&of.remote)?;
    let answer = client.get(&format!("{}/stage", of.path()))?;
    if client.json {
        output::json(&answer);
        return Ok(());
    }
    println!(
        "{} version {} is {}",
        of.name,
        of.version,
        output::cell(&answer, "stage")
    );
    if output::list(&answer, "history").next().is_some() {
        println!();
        let columns = [
            ("WHEN", "at"),
            ("FROM", "from"),
            ("TO", "to"),
            ("BY", "by"),
            ("WHY", "why"),
        ];
        output::table_of(&answer, "history", &columns);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_one_that_some_stage_allows() {
        let from = |stage: Stage, step: Step| stage.next().contains(&step.to());
        assert!(from(Stage::Draft, Step::Request) && from(Stage::Archived, Step::Request));
        assert!(from(Stage::Pending, Step::Approve) && from(Stage::Pending, Step::Reject));
        assert!(from(Stage::Draft, Step::Archive) && from(Stage::Approved, Step::Archive));
        assert_eq!(Step::Reject.body("no"), json!({"to": "draft", "why": "no"}));
    }
}
