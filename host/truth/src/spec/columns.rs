//! Do the columns that a file names exist, and can they be what it says?
//!
//! All is read from the prediction log, so a column that is redacted there can't be used.

use caisson_data::{DataType, Field, Schema};
use caisson_predictions::{LogSpec, Redaction};

use super::performance::label_text;
use super::{GroundTruthSpec, JoinSpec, PerformanceSpec, ScoreSpec, shown};
use crate::metric::Task;

impl GroundTruthSpec {
    /// Check the columns of a deployment. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that doesn't fit.
    pub fn check_columns(&self, log: Option<&LogSpec>, input: &Schema) -> Result<(), String> {
        let log =
            log.ok_or("ground_truth: labels are joined with the prediction log; give the file a `log`")?;
        self.feedback_schema(input)?;
        let JoinSpec::Key(key) = &self.join else {
            return Ok(());
        };
        for name in &key.columns {
            let place = "ground_truth.join.key.columns";
            let field = column(place, "input", input, name)?;
            if !field.is_scalar() || field.data_type.is_float() || field.data_type == DataType::Bytes {
                return Err(format!(
                    "{place}: `{field}` can't be a key; text, integers and truth values can"
                ));
            }
            if log.redact.contains_key(name) {
                return Err(redacted(place, name));
            }
        }
        Ok(())
    }
}

impl PerformanceSpec {
    /// Check the columns of a deployment. Gives the message.
    ///
    /// # Errors
    ///
    /// The first that doesn't fit.
    pub fn check_columns(
        &self,
        truth: Option<&GroundTruthSpec>,
        log: Option<&LogSpec>,
        input: &Schema,
        output: &Schema,
    ) -> Result<(), String> {
        let truth = truth.ok_or("performance: it is measured by labels; give the file a `ground_truth`")?;
        let log = log.ok_or("performance: it is measured on the prediction log; give the file a `log`")?;
        let label = &truth.label;
        let fits = match self.task.is_classification() {
            true => !label.data_type.is_float(),
            false => is_number(label.data_type),
        };
        if !fits {
            return Err(format!(
                "ground_truth.label: `{label}` is no label of {} predictions, which are {}",
                self.task.as_str(),
                if self.task.is_classification() {
                    "text, integers or truth values"
                } else {
                    "numbers"
                }
            ));
        }
        for value in self.classes.iter().chain(&self.positive) {
            check_label(value, label)?;
        }
        if let Some(name) = &self.prediction {
            let place = "performance.prediction";
            let field = column(place, "answer", output, name)?;
            let fits = match self.task.is_classification() {
                true => !matches!(field.data_type, DataType::Bytes | DataType::Fp16 | DataType::Bf16),
                false => is_number(field.data_type),
            };
            if !fits || !field.is_scalar() {
                return Err(format!(
                    "{place}: `{field}` is no {} prediction",
                    self.task.as_str()
                ));
            }
            not_redacted(place, log, name)?;
        }
        for score in &self.scores {
            self.check_score(score, log, output)?;
        }
        for name in &self.segments {
            let place = "performance.segments";
            if name == REVISION && input.get(name).is_none() {
                continue;
            }
            let field = column(place, "input", input, name)?;
            if !field.is_scalar() || field.data_type.is_float() || field.data_type == DataType::Bytes {
                return Err(format!(
                    "{place}: `{field}` makes no segments; text, integers and truth values do"
                ));
            }
            // Hashes tell segments apart as well.
            if log.redact.get(name) == Some(&Redaction::Drop) {
                return Err(redacted(place, name));
            }
        }
        Ok(())
    }

    fn check_score(&self, score: &ScoreSpec, log: &LogSpec, output: &Schema) -> Result<(), String> {
        let place = "performance.scores";
        let field = column(place, "answer", output, score.column())?;
        if !matches!(field.data_type, DataType::Fp32 | DataType::Fp64) {
            return Err(format!("{place}: `{field}` is neither fp32 nor fp64"));
        }
        let (has, needs) = (field.row_elements(), self.elements());
        match score {
            ScoreSpec::Column(name) if has != needs => Err(format!(
                "{place}: `{field}` has {has} elements where {needs} are needed; name one with `{{column: {}, element: …}}`",
                shown(name)
            )),
            ScoreSpec::Element { element, .. } if *element as usize >= has => Err(format!(
                "{place}: `{field}` has no element {element}; they are counted from 0"
            )),
            ScoreSpec::Element { .. } if self.task == Task::Multiclass && self.scores.len() == 1 => {
                Err(format!("{place}: one element for {} classes", self.classes.len()))
            }
            _ => not_redacted(place, log, score.column()),
        }
    }

    /// Elements of a column of scores that is named as a whole.
    fn elements(&self) -> usize {
        match self.scores.len() {
            1 if self.task == Task::Multiclass => self.classes.len(),
            _ => 1,
        }
    }
}

/// The segments of a deployment's own revisions.
pub(crate) const REVISION: &str = "revision";

/// Refuse a class that no label can be: `positive: 1` where labels are text.
fn check_label(value: &serde_json::Value, label: &Field) -> Result<(), String> {
    let (fits, wanted) = match label.data_type {
        DataType::Text => (value.is_string(), "text, in quotes"),
        DataType::Boolean => (value.is_boolean(), "true or false"),
        _ => {
            let text = label_text(value).unwrap_or_default();
            (text.parse::<i128>().is_ok(), "a whole number")
        }
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "performance: `{value}` is none of the labels, which are `{label}`: write {wanted}"
        )),
    }
}

fn column<'a>(place: &str, of: &str, schema: &'a Schema, name: &str) -> Result<&'a Field, String> {
    schema.get(name).ok_or_else(|| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
        let names = names.join(", ");
        format!(
            "{place}: the {of} has no column `{}`; it has {}",
            shown(name),
            shown(&names)
        )
    })
}

fn not_redacted(place: &str, log: &LogSpec, name: &str) -> Result<(), String> {
    match log.redact.contains_key(name) {
        true => Err(redacted(place, name)),
        false => Ok(()),
    }
}

fn redacted(place: &str, name: &str) -> String {
    let name = shown(name);
    format!(
        "{place}: `{name}` is redacted in the prediction log (`log.redact.{name}`), which it is read from"
    )
}

fn is_number(data_type: DataType) -> bool {
    !matches!(
        data_type,
        DataType::Text | DataType::Bytes | DataType::Boolean | DataType::Fp16 | DataType::Bf16
    )
}
