//! Why a model is refused, and why a run fails.

use std::path::PathBuf;

use caisson_data::DataType;
use serde::{Deserialize, Serialize};

use crate::signature::Dimensions;

/// Bytes of a message of ONNX Runtime's that are kept: enough for its longest useful ones, and a
/// bound on what a crafted model can make us log and send.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2048;

/// Why an uploaded file isn't accepted as a model. Crosses from the checking process as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModelRejected {
    /// Larger than the limit.
    #[error("the model has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Not an ONNX file, or one cut off.
    #[error("this is not a whole ONNX file: {message}")]
    NotOnnx {
        /// What is wrong, and at which byte.
        message: String,
    },
    /// Weights in other files.
    #[error(
        "tensor `{tensor}` has its data outside of the file; save the model with all weights inside \
         (onnx.save_model(model, path, save_as_external_data=False))"
    )]
    ExternalData {
        /// The tensor.
        tensor: String,
    },
    /// An input or output that is no tensor.
    #[error(
        "{side} `{name}` is a {kind}, which is no tensor; export scikit-learn classifiers with \
         zipmap=False: to_onnx(model, X, options={{id(model): {{\"zipmap\": False}}}})"
    )]
    NotATensor {
        /// `input` or `output`.
        side: String,
        /// Its name.
        name: String,
        /// `sequence`, `map` or `optional value`.
        kind: String,
    },
    /// An element type that no column can have.
    #[error("{side} `{name}` has elements of type {element}, which no column can carry")]
    ElementType {
        /// `input` or `output`.
        side: String,
        /// Its name.
        name: String,
        /// ONNX Runtime's name of the type.
        element: String,
    },
    /// Too many or too long inputs, outputs or names.
    #[error("{message}")]
    OutOfBounds {
        /// What is too large, and the bound.
        message: String,
    },
    /// ONNX Runtime can't load it: an operator that it doesn't have, types that don't fit.
    #[error("ONNX Runtime {version} can't load the model: {message}")]
    Unsupported {
        /// The library's version.
        version: String,
        /// What it says.
        message: String,
    },
    /// Loading took more than the limits allow, or crashed.
    #[error("loading the model in a separate process failed: {message}")]
    Crashed {
        /// The limit, or the signal.
        message: String,
    },
    /// The check itself couldn't run: the host's fault, not the model's.
    #[error("the model could not be checked: {message}")]
    CheckFailed {
        /// What the host lacks.
        message: String,
    },
}

impl ModelRejected {
    /// Is it the host that failed, rather than the model?
    pub fn is_host_fault(&self) -> bool {
        matches!(self, Self::CheckFailed { .. })
    }

    pub(crate) fn failed(what: &str, error: impl std::fmt::Display) -> Self {
        Self::CheckFailed {
            message: format!("{what}: {error}"),
        }
    }
}

/// Why loading or running a model failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The library isn't there, isn't ONNX Runtime, or is too old.
    #[error("ONNX Runtime can't be loaded from {path}: {message}")]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// The loader's message.
        message: String,
    },
    /// Another library is in use already.
    #[error("this process already uses ONNX Runtime from {loaded}; it can't also use {asked}")]
    SecondLibrary {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// The file can't be read.
    #[error("the model file {path} can't be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no model.
    #[error(transparent)]
    Rejected(#[from] ModelRejected),
    /// The execution provider isn't available and the options don't allow the CPU instead.
    #[error("the execution provider {provider} is not available: {message}")]
    Provider {
        /// `cuda`.
        provider: &'static str,
        /// ONNX Runtime's message.
        message: String,
    },
    /// Session options that make no sense.
    #[error("{0}")]
    Options(String),
    /// An input that the model doesn't have, or one that it has and that wasn't given.
    #[error("{what} input `{name}`; the model takes {expected}")]
    Inputs {
        /// `unknown`, `missing` or `repeated`.
        what: &'static str,
        /// The input.
        name: String,
        /// All inputs of the model.
        expected: String,
    },
    /// An output that the model doesn't have, or one asked for twice.
    #[error("{what} output `{name}`; the model gives {expected}")]
    Outputs {
        /// `unknown` or `repeated`.
        what: &'static str,
        /// The output.
        name: String,
        /// All outputs of the model.
        expected: String,
    },
    /// An input of another type.
    #[error("input `{input}` is {expected} and got {found}")]
    Type {
        /// The input.
        input: String,
        /// Its type.
        expected: DataType,
        /// What was given.
        found: DataType,
    },
    /// An input of another shape.
    #[error("input `{input}` takes the shape {} and got {found:?}", Dimensions(.expected))]
    Shape {
        /// The input.
        input: String,
        /// Its shape, -1 for any size.
        expected: Vec<i64>,
        /// What was given.
        found: Vec<usize>,
    },
    /// As many elements as the shape doesn't say.
    #[error("input `{input}`: the shape {shape:?} needs {needed} and the data holds {found}")]
    Length {
        /// The input.
        input: String,
        /// The shape given.
        shape: Vec<usize>,
        /// Elements or bytes, in words.
        needed: String,
        /// Elements or bytes, in words.
        found: String,
    },
    /// An element that ONNX Runtime can't take.
    #[error("input `{input}`: {message}")]
    Element {
        /// The input.
        input: String,
        /// Which element, and why.
        message: String,
    },
    /// A value that the model needs isn't there.
    #[error(
        "row {row} of column `{column}` is missing and the model's input `{input}` can't take a missing value"
    )]
    Missing {
        /// Row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// The model's input.
        input: String,
    },
    /// A batch of another schema than the binding was planned for.
    #[error("the batch has the columns {found} and the model was bound to {expected}")]
    OtherSchema {
        /// The schema of the plan.
        expected: String,
        /// The batch's.
        found: String,
    },
    /// The run reached its deadline.
    #[error("the model reached its deadline and was stopped")]
    Deadline,
    /// Too many runs are waiting.
    #[error("the model has {waiting} runs waiting, which is the limit; try again later")]
    Overloaded {
        /// Runs that wait.
        waiting: usize,
    },
    /// ONNX Runtime refused or failed the run.
    #[error("running the model failed: {0}")]
    Run(String),
    /// An output came in a form that the signature doesn't have.
    #[error("output `{output}`: {message}")]
    Output {
        /// The output.
        output: String,
        /// What is wrong.
        message: String,
    },
}

/// A message of ONNX Runtime's, for one line: cut at [`MESSAGE_BYTES_MAX`], control characters
/// escaped, because names in a model file end up in it.
pub(crate) fn tidy(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(MESSAGE_BYTES_MAX));
    for c in message.trim().chars() {
        if out.len() + c.len_utf8() > MESSAGE_BYTES_MAX {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_bounded_line() {
        assert_eq!(tidy(" a\nb\u{1b}[0m "), "a\\nb\\u{1b}[0m");
        let long = tidy(&"é".repeat(MESSAGE_BYTES_MAX));
        assert!(long.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && long.ends_with('…'));
    }

    #[test]
    fn a_rejection_survives_the_pipe() {
        let rejected = ModelRejected::ExternalData { tensor: "w".into() };
        let json = serde_json::to_string(&rejected).unwrap();
        assert_eq!(serde_json::from_str::<ModelRejected>(&json).unwrap(), rejected);
        assert!(json.contains("\"external-data\""));
    }
}
