//! The deployment whose live revision is swapped: both revisions, and what each answers.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::compare::caisson;
use crate::compare::fixture::{Fixture, WITH_STAGES};
use crate::http::Bytes;

/// What the other revision's standardised values are less by; `make.py` has the same number.
const SHIFT: f64 = 0.5;
/// A stage gets this much: what is looked for are wrong answers, and a busy machine must not look like one.
const DEADLINE_MS: u64 = 5_000;

/// One of the two revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revision {
    /// The booster, version 1 of the model.
    Booster,
    /// The linear model, version 2, behind stages with other numbers.
    Linear,
}

impl Revision {
    const BOTH: [Self; 2] = [Self::Booster, Self::Linear];

    /// They alternate.
    pub(super) fn of_turn(turn: u64) -> Self {
        if turn.is_multiple_of(2) {
            Self::Booster
        } else {
            Self::Linear
        }
    }

    /// Its deployment file.
    pub(super) fn spec(self, fixture: &Fixture) -> Value {
        let mut spec = caisson::with_stages(fixture);
        if let Some(stages) = spec.get_mut("transforms").and_then(Value::as_array_mut) {
            for stage in stages.iter_mut().filter_map(Value::as_object_mut) {
                stage.insert(String::from("limits"), json!({ "deadline_ms": DEADLINE_MS }));
            }
        }
        if self == Self::Linear {
            let stages = &fixture.stages;
            let means = stages.mean.iter().zip(&stages.scale);
            let means: Vec<f64> = means.map(|(mean, scale)| mean + SHIFT * scale).collect();
            if let Some(mean) = spec.pointer_mut("/transforms/1/config/columns/input/mean") {
                *mean = json!(means);
            }
            if let Some(version) = spec.pointer_mut("/model/version") {
                *version = json!(2);
            }
        }
        spec
    }

    fn expected(self, fixture: &Fixture) -> &[Vec<f64>] {
        match self {
            Self::Booster => fixture.probabilities(),
            Self::Linear => fixture.linear_probabilities(),
        }
    }
}

/// Which revision answered these rows. A mixture, or neither, is an error.
pub(super) fn of_answer(fixture: &Fixture, rows: std::ops::Range<usize>, answer: &Bytes) -> Result<Revision> {
    let mut whys = Vec::new();
    for revision in Revision::BOTH {
        let expected = revision.expected(fixture).get(rows.clone()).unwrap_or_default();
        match Fixture::check_rows(answer, expected) {
            Ok(()) => return Ok(revision),
            Err(why) => whys.push(format!("not {revision:?}'s answer of {WITH_STAGES}: {why:#}")),
        }
    }
    bail!("a wrong answer: {}", whys.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would answer with these probabilities.
    fn answer(rows: &[Vec<f64>]) -> Bytes {
        let body = json!({"outputs": [{"name": "probabilities", "data": rows}]});
        Bytes {
            status: 200,
            header_length: None,
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn either_revision_and_no_mixture() {
        let fixture = Fixture::load().unwrap();
        let (booster, linear) = (fixture.probabilities(), fixture.linear_probabilities());
        let of = |rows: &[Vec<f64>]| of_answer(&fixture, 3..7, &answer(rows));
        assert_eq!(of(&booster[3..7]).unwrap(), Revision::Booster);
        assert_eq!(of(&linear[3..7]).unwrap(), Revision::Linear);
        assert!(
            of(&[&booster[3..5], &linear[5..7]].concat()).is_err(),
            "a mixture"
        );
        assert!(of(&booster[2..6]).is_err(), "other rows");
        assert!(of(&booster[3..6]).is_err(), "a row less");
    }

    #[test]
    fn any_single_row_tells_the_revisions_apart() {
        let fixture = Fixture::load().unwrap();
        for (row, one) in fixture.linear_probabilities().iter().enumerate() {
            let found = of_answer(&fixture, row..row + 1, &answer(std::slice::from_ref(one)));
            assert_eq!(found.unwrap(), Revision::Linear, "row {row}");
        }
    }

    #[test]
    fn specs_differ_in_stages_and_model() {
        let fixture = Fixture::load().unwrap();
        let [booster, linear] = [0, 1].map(|turn| Revision::of_turn(turn).spec(&fixture));
        for pointer in ["/model/version", "/transforms/1/config/columns/input/mean"] {
            assert_ne!(
                booster.pointer(pointer).unwrap(),
                linear.pointer(pointer).unwrap()
            );
        }
        assert_eq!(
            linear.pointer("/transforms/0/limits/deadline_ms"),
            Some(&json!(DEADLINE_MS))
        );
    }
}
