//! The Open Inference Protocol, version 2: JSON requests and responses.
//!
//! An input is the column of its name; its `shape` is `[rows, …]` with the column's own shape after
//! the rows, and all inputs agree on the rows. A scalar column is `[rows]` or `[rows, 1]`. The
//! `datatype` must be the column's. `data` is flat in row-major order, or lists in lists as the
//! shape says. An absent input is missing in every row, if its column is nullable.
//!
//! # Missing, NaN and infinities
//!
//! `null` is missing; a value with a shape is missing when its row is `null` or holds nothing else.
//! A `null` among other elements of a float row is NaN, for the protocol has no other way to say
//! that one element of a tensor is unknown, and clients use it so; in other types it is an error.
//! NaN and infinities are read as the bare tokens `NaN`, `Infinity` and `-Infinity`, which is what
//! Python clients write, or in quotes; [`NanPolicy`] says how they are written. Which NaN it was
//! (its payload) is lost.
//!
//! # Text and bytes
//!
//! Both are `BYTES`, whose elements are strings in JSON. A bytes column takes a string's UTF-8; an
//! input with `"parameters": {"content_type": "base64"}` (MLServer's convention) is base64. It is
//! written in base64 with that parameter when an element isn't UTF-8.
//!
//! # Binary tensors
//!
//! [`oip_binary`](crate::oip_binary) reads requests with the binary tensor extension, and
//! [`encode_response`] answers in it where [`OutputChoice::binary`] asks for it. [`decode_tensors`]
//! takes the inputs of a request that isn't JSON at all.

mod data;
mod input;
mod request;
mod response;
mod tensors;

use serde_json::{Map, Value};

use crate::batch::Batch;
use crate::codec::{DecodeError, code, refuse};
use crate::schema::Schema;

pub(crate) use request::decode_with_tensors;
pub use request::{check_id, decode_request};
pub use response::{Encoded, ResponseHead, encode_request, encode_response};
pub use tensors::{Contents, Tensor, TensorData, decode_tensors};

/// The parameter that tells how bytes are written in JSON.
const CONTENT_TYPE: &str = "content_type";
/// The content type of bytes that aren't text.
const BASE64: &str = "base64";
/// The parameter of a tensor that lies behind the JSON: its length in bytes.
const BINARY_DATA_SIZE: &str = "binary_data_size";
/// The parameter of a request whose outputs are to be binary.
pub(crate) const BINARY_DATA_OUTPUT: &str = "binary_data_output";

/// How NaN and infinities are written in JSON, which has no such numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NanPolicy {
    /// As the bare tokens `NaN`, `Infinity`, `-Infinity`: Python clients read them, and nothing is
    /// lost; strict JSON parsers refuse the response.
    #[default]
    Token,
    /// As `null`, as MLServer and KServe do: always JSON, but the reader can't tell NaN from
    /// missing.
    Null,
}

/// What an inference request says.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// To be echoed.
    pub id: Option<String>,
    /// Top-level parameters.
    pub parameters: Map<String, Value>,
    /// The inputs.
    pub batch: Batch,
    /// The outputs asked for; empty for all.
    pub outputs: Vec<RequestedOutput>,
}

/// One output that a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Map<String, Value>,
}

/// One output to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputChoice {
    /// The column of the answer.
    pub column: usize,
    /// As a binary tensor, rather than as JSON?
    pub binary: bool,
}

impl InferRequest {
    /// The outputs that the request wants of an answer with this schema, in its order: those it
    /// names, or all. Binary where the output's `binary_data` says so, or where that is absent the
    /// request's `binary_data_output`.
    ///
    /// # Errors
    ///
    /// An output that the schema doesn't have, or that is asked for twice.
    pub fn choose_outputs(&self, schema: &Schema) -> Result<Vec<OutputChoice>, DecodeError> {
        let flag = |parameters: &Map<String, Value>, name| parameters.get(name).and_then(Value::as_bool);
        let default = flag(&self.parameters, BINARY_DATA_OUTPUT).unwrap_or(false);
        if self.outputs.is_empty() {
            return Ok((0..schema.len())
                .map(|column| OutputChoice {
                    column,
                    binary: default,
                })
                .collect());
        }
        let mut chosen = vec![false; schema.len()];
        let mut choices = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let column = schema.index_of(&output.name);
            match column.and_then(|column| Some((column, chosen.get_mut(column)?))) {
                Some((column, chosen)) if !*chosen => {
                    *chosen = true;
                    let binary = flag(&output.parameters, "binary_data").unwrap_or(default);
                    choices.push(OutputChoice { column, binary });
                }
                Some(_) => {
                    return refuse(code::DUPLICATE_COLUMN, "the output is asked for twice")
                        .map_err(|e: DecodeError| e.in_column(&output.name));
                }
                None => {
                    return refuse(
                        code::UNKNOWN_COLUMN,
                        format!("no such output; there are {schema}"),
                    )
                    .map_err(|e: DecodeError| e.in_column(&output.name));
                }
            }
        }
        Ok(choices)
    }
}
