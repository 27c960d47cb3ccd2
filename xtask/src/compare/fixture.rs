//! The model, the requests, and the right answers: `benches/compare/booster`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case::{Case, Encoding};
use crate::http::Bytes;
use crate::root;

/// The model that takes raw rows, behind its two stages.
pub(crate) const WITH_STAGES: &str = "booster";
/// The model alone, which takes prepared rows.
pub(crate) const ALONE: &str = "booster-prepared";
/// What the model calls its input and the output that is asked for.
const INPUT: &str = "input";
const OUTPUT: &str = "probabilities";
/// How far an answer may be from the one that Python gave: the sum of 100 trees in fp32, in another order.
const TOLERANCE: f64 = 1e-5;

/// How a server wants its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The Open Inference Protocol.
    Oip,
    /// `{"instances": [[…], …]}` to `/booster`, as most servers that people write take it.
    Instances,
}

/// One request.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// The folder's files.
pub(crate) struct Fixture {
    pub(crate) folder: PathBuf,
    pub(crate) model: Vec<u8>,
    /// Another model with the same signature.
    pub(crate) linear: Vec<u8>,
    pub(crate) stages: Stages,
    rows: Rows,
}

/// Fitted numbers, one a column.
#[derive(Deserialize)]
pub(crate) struct Stages {
    pub(crate) fill: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) scale: Vec<f64>,
}

#[derive(Deserialize)]
struct Rows {
    /// Numbers as they stand in the file: fp32 numbers in all their digits, which is what clients send.
    raw: Vec<Vec<f64>>,
    prepared: Vec<Vec<f64>>,
    probabilities: Vec<Vec<f64>>,
    linear_probabilities: Vec<Vec<f64>>,
    gap: Vec<Option<f64>>,
    gap_probabilities: Vec<f64>,
}

impl Fixture {
    pub(crate) fn load() -> Result<Self> {
        let folder = root().join("benches/compare/booster");
        let read = |name: &str| -> Result<Vec<u8>> {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| path.display().to_string())
        };
        Ok(Self {
            model: read("model.onnx")?,
            linear: read("linear.onnx")?,
            stages: serde_json::from_slice(&read("stages.json")?).context("stages.json")?,
            rows: serde_json::from_slice(&read("rows.json")?).context("rows.json")?,
            folder,
        })
    }

    /// The request of a case.
    pub(crate) fn request(&self, form: Form, case: Case) -> Request {
        let rows = if case.stages {
            &self.rows.raw
        } else {
            &self.rows.prepared
        };
        let rows = rows.get(..case.rows).unwrap_or_default();
        match form {
            Form::Oip => oip_request(oip_path(case), case.encoding, rows),
            Form::Instances => json_request(instances_path(case), json!({ "instances": rows }).to_string()),
        }
    }

    /// The request of some of the raw rows.
    pub(crate) fn rows_request(&self, rows: Range<usize>, encoding: Encoding) -> Request {
        let rows = self.rows.raw.get(rows).unwrap_or_default();
        oip_request(oip_path(Case::json(1, 1)), encoding, rows)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.raw.len()
    }

    /// Each row's probabilities by the model, and by the other one.
    pub(crate) fn probabilities(&self) -> &[Vec<f64>] {
        &self.rows.probabilities
    }

    pub(crate) fn linear_probabilities(&self) -> &[Vec<f64>] {
        &self.rows.linear_probabilities
    }

    /// Does this Open Inference Protocol answer have these probabilities?
    pub(crate) fn check_rows(answer: &Bytes, expected: &[Vec<f64>]) -> Result<()> {
        compare(&probabilities(Form::Oip, answer)?, &expected.concat())
    }

    /// The request of one row that lacks values: `null` in JSON, NaN in binary tensors.
    pub(crate) fn gap_request(&self, form: Form, encoding: Encoding) -> Request {
        let (case, row) = (Case::json(1, 1), &self.rows.gap);
        match (form, encoding) {
            (Form::Oip, Encoding::Json) => json_request(oip_path(case), inputs(1, &json!(row))),
            (Form::Oip, Encoding::Binary) => {
                let row = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
                binary_request(oip_path(case), &[row])
            }
            (Form::Instances, _) => {
                json_request(instances_path(case), json!({ "instances": [row] }).to_string())
            }
        }
    }

    /// Is this the answer to the case's request?
    pub(crate) fn check(&self, form: Form, case: Case, answer: &Bytes) -> Result<()> {
        let expected = self.rows.probabilities.get(..case.rows).unwrap_or_default();
        compare(&probabilities(form, answer)?, &expected.concat())
    }

    /// Is this the answer to the row that lacks values?
    pub(crate) fn check_gap(&self, form: Form, answer: &Bytes) -> Result<()> {
        compare(&probabilities(form, answer)?, &self.rows.gap_probabilities)
    }
}

fn oip_path(case: Case) -> String {
    format!(
        "/v2/models/{}/infer",
        if case.stages { WITH_STAGES } else { ALONE }
    )
}

fn instances_path(case: Case) -> String {
    format!("/{}", if case.stages { WITH_STAGES } else { ALONE })
}

fn oip_request(path: String, encoding: Encoding, rows: &[Vec<f64>]) -> Request {
    match encoding {
        Encoding::Json => {
            let data: Vec<f64> = rows.iter().flatten().copied().collect();
            json_request(path, inputs(rows.len(), &json!(data)))
        }
        Encoding::Binary => binary_request(path, rows),
    }
}

fn json_request(path: String, body: String) -> Request {
    Request {
        path,
        headers: vec![("Content-Type", String::from("application/json"))],
        body: body.into_bytes(),
    }
}

/// One tensor, its members in the order in which public clients write them.
fn inputs(rows: usize, data: &Value) -> String {
    let columns = data.as_array().map_or(0, Vec::len) / rows.max(1);
    format!(
        r#"{{"inputs":[{{"name":"{INPUT}","shape":[{rows},{columns}],"datatype":"FP32","data":{data}}}]}}"#
    )
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the file's numbers are fp32 numbers"
)]
fn binary_request(path: String, rows: &[Vec<f64>]) -> Request {
    let data: Vec<u8> = rows
        .iter()
        .flatten()
        .flat_map(|number| (*number as f32).to_le_bytes())
        .collect();
    let columns = rows.first().map_or(0, Vec::len);
    let header = json!({
        "inputs": [{
            "name": INPUT, "shape": [rows.len(), columns], "datatype": "FP32",
            "parameters": {"binary_data_size": data.len()},
        }],
        "parameters": {"binary_data_output": true},
    })
    .to_string();
    Request {
        path,
        headers: vec![
            ("Content-Type", String::from("application/octet-stream")),
            (crate::http::HEADER_LENGTH, header.len().to_string()),
        ],
        body: [header.into_bytes(), data].concat(),
    }
}

/// The probabilities of an answer, row after row.
fn probabilities(form: Form, answer: &Bytes) -> Result<Vec<f64>> {
    let (head, tail) = match answer.header_length {
        Some(length) => answer
            .body
            .split_at_checked(length)
            .with_context(|| format!("the answer is shorter than its header of {length} bytes"))?,
        None => (answer.body.as_slice(), &[] as &[u8]),
    };
    let json: Value =
        serde_json::from_slice(head).with_context(|| String::from_utf8_lossy(head).into_owned())?;
    let data = match form {
        Form::Instances => json.get(OUTPUT),
        Form::Oip => {
            let outputs = json.get("outputs").and_then(Value::as_array);
            let outputs = outputs.with_context(|| format!("no outputs: {json}"))?;
            // Some servers rename a model's only output.
            let named = |output: &&Value| output.get("name").is_some_and(|name| name == OUTPUT);
            let lone = outputs.first().filter(|_| outputs.len() == 1);
            let output = outputs.iter().find(named).or(lone);
            let output = output.with_context(|| format!("no output `{OUTPUT}`: {json}"))?;
            if let Some(size) = output.pointer("/parameters/binary_data_size") {
                ensure!(
                    size.as_u64() == Some(tail.len() as u64),
                    "{size} bytes of `{OUTPUT}` are announced, {} came",
                    tail.len()
                );
                let chunks = tail.as_chunks::<4>().0.iter();
                return Ok(chunks
                    .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
                    .collect());
            }
            output.get("data")
        }
    };
    let mut flat = Vec::new();
    flatten(data.with_context(|| format!("no `{OUTPUT}`: {json}"))?, &mut flat)?;
    Ok(flat)
}

/// All the numbers of nested lists.
fn flatten(value: &Value, into: &mut Vec<f64>) -> Result<()> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|item| flatten(item, into)),
        _ => {
            into.push(value.as_f64().with_context(|| format!("{value} is no number"))?);
            Ok(())
        }
    }
}

fn compare(found: &[f64], expected: &[f64]) -> Result<()> {
    ensure!(
        found.len() == expected.len(),
        "{} probabilities came where {} were expected",
        found.len(),
        expected.len()
    );
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Written so that NaN is wrong too.
        let right = (found - expected).abs() <= TOLERANCE;
        if !right {
            bail!("probability {at} is {found}, not {expected}");
        }
    }
    Ok(())
}

/// The repository's path of a file of this comparison.
pub(crate) fn file(name: &str) -> PathBuf {
    root().join("benches/compare").join(Path::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8], header_length: Option<usize>) -> Bytes {
        Bytes {
            status: 200,
            header_length,
            body: body.to_vec(),
        }
    }

    #[test]
    fn requests_have_the_numbers_of_the_file() {
        let fixture = Fixture::load().unwrap();
        let one = fixture.request(Form::Oip, Case::json(1, 8));
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(one.path, "/v2/models/booster/infer");
        assert_eq!(body.pointer("/inputs/0/shape"), Some(&json!([1, 30])));
        assert_eq!(
            body.pointer("/inputs/0/data/0"),
            Some(&json!(fixture.rows.raw[0][0]))
        );
        let many = fixture.request(Form::Instances, Case::json(64, 8).prepared());
        let body: Value = serde_json::from_slice(&many.body).unwrap();
        assert_eq!(many.path, "/booster-prepared");
        assert_eq!(
            body.pointer("/instances/63/29"),
            Some(&json!(fixture.rows.prepared[63][29]))
        );
        let gap = fixture.gap_request(Form::Oip, Encoding::Json);
        let gap: Value = serde_json::from_slice(&gap.body).unwrap();
        assert_eq!(gap.pointer("/inputs/0/data/0"), Some(&Value::Null));
        let binary = fixture.request(Form::Oip, Case::json(64, 8).binary());
        let length: usize = binary.headers[1].1.parse().unwrap();
        assert_eq!(binary.body.len() - length, 64 * 30 * 4);
    }

    #[test]
    fn right_answers_of_every_form() {
        let fixture = Fixture::load().unwrap();
        let case = Case::json(1, 8);
        let right = &fixture.rows.probabilities[0];
        let native = json!({"probabilities": [right]}).to_string();
        let oip =
            json!({"outputs": [{"name": "label", "data": [1]}, {"name": "probabilities", "data": right}]});
        let renamed = json!({"outputs": [{"name": "output", "data": [right]}]}).to_string();
        let head = json!({"outputs": [{"name": "probabilities", "parameters": {"binary_data_size": 8}}]});
        let head = head.to_string().into_bytes();
        let tail: Vec<u8> = right
            .iter()
            .flat_map(|number| (*number as f32).to_le_bytes())
            .collect();
        let binary = answer(&[head.clone(), tail].concat(), Some(head.len()));
        let check = |form, answer: &Bytes| fixture.check(form, case, answer).unwrap();
        check(Form::Instances, &answer(native.as_bytes(), None));
        check(Form::Oip, &answer(oip.to_string().as_bytes(), None));
        check(Form::Oip, &answer(renamed.as_bytes(), None));
        check(Form::Oip, &binary);
    }

    #[test]
    fn wrong_answers() {
        let fixture = Fixture::load().unwrap();
        let case = Case::json(1, 8);
        let p = fixture.rows.probabilities[0][0];
        for body in [
            json!({"probabilities": [[p]]}),
            json!({"probabilities": [[p, 1.0 - p + 1e-4]]}),
            json!({"probabilities": [[p, null]]}),
            json!({"predictions": [[p, 1.0 - p]]}),
        ] {
            let body = answer(body.to_string().as_bytes(), None);
            assert!(fixture.check(Form::Instances, case, &body).is_err());
        }
        let head = br#"{"outputs": [{"name": "probabilities", "parameters": {"binary_data_size": 8}}]}"#;
        assert!(
            fixture
                .check(Form::Oip, case, &answer(head, Some(head.len())))
                .is_err()
        );
        assert!(fixture.check(Form::Oip, case, &answer(head, Some(9999))).is_err());
        assert!(
            compare(&[f64::NAN], &[0.5]).is_err(),
            "not a number is not near one"
        );
    }
}
