//! The parameters of a request: what is understood, what is refused, and what is only carried.
//!
//! A parameter that asks for something that isn't there is refused, for an answer without it would be
//! another answer. Parameters that mean nothing here are the client's own affair.

use std::time::Duration;

use caisson_data::oip::{InferRequest, NanPolicy};
use caisson_registry::shown;
use caisson_serving::CallOptions;
use serde_json::{Map, Value};

use super::super::error::ApiError;

/// What the parameters of a request say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) options: CallOptions,
    pub(crate) nan: NanPolicy,
}

impl Parameters {
    /// Read what is understood.
    ///
    /// # Errors
    ///
    /// 400 for values that mean nothing, and for features that aren't there.
    pub(crate) fn of(request: &InferRequest) -> Result<Self, ApiError> {
        let given = &request.parameters;
        for name in ["sequence_id", "sequence_start", "sequence_end"] {
            if given.get(name).is_some_and(asks) {
                return Err(refused(
                    name,
                    "sequences are not kept here: every request stands for itself",
                ));
            }
        }
        for output in &request.outputs {
            for name in ["classification", "shared_memory_region"] {
                if output.parameters.get(name).is_some_and(asks) {
                    return Err(refused(name, "an output is given as it is, in the answer"));
                }
            }
        }
        let priority = u32::try_from(integer(given, "priority")?).map_err(|_| {
            refused(
                "priority",
                "1 is the most urgent, and a deployment has few levels",
            )
        })?;
        let timeout = Some(integer(given, "timeout")?)
            .filter(|&micros| micros > 0)
            .map(Duration::from_micros);
        let nan = match given.get("nan") {
            None => NanPolicy::Null,
            Some(Value::String(text)) if text == "null" => NanPolicy::Null,
            Some(Value::String(text)) if text == "token" => NanPolicy::Token,
            Some(_) => return Err(refused("nan", "it is \"null\" or \"token\"")),
        };
        Ok(Self {
            options: CallOptions { priority, timeout },
            nan,
        })
    }
}

/// Does a client that sets this ask for it? Some send the default.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// 0 where it is absent.
fn integer(parameters: &Map<String, Value>, name: &str) -> Result<u64, ApiError> {
    match parameters.get(name) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| refused(name, "it is an integer, 0 or more")),
    }
}

fn refused(name: &str, why: &str) -> ApiError {
    ApiError::bad_request("bad-parameter", format!("the parameter `{}`: {why}", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_data::{DataType, DecodeLimits, Field, Schema, oip};
    use serde_json::json;
    use std::sync::Arc;

    fn read(parameters: Value, output: Value) -> Result<Parameters, ApiError> {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Fp32)]).unwrap());
        let body = json!({
            "parameters": parameters,
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}],
            "outputs": [{"name": "x", "parameters": output}],
        });
        let limits = DecodeLimits::default();
        let request = oip::decode_request(&schema, body.to_string().as_bytes(), &limits).unwrap();
        Parameters::of(&request)
    }

    #[test]
    fn what_is_understood() {
        let read = read(
            json!({"priority": 2, "timeout": 1500, "nan": "token", "tenant": "a", "sequence_id": 0}),
            json!({"binary_data": false, "classification": 0}),
        );
        let expected = Parameters {
            options: CallOptions {
                priority: 2,
                timeout: Some(Duration::from_micros(1500)),
            },
            nan: NanPolicy::Token,
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (parameters, output, named) in [
            (json!({"sequence_id": 7}), json!({}), "sequence_id"),
            (json!({"sequence_id": "a"}), json!({}), "sequence_id"),
            (json!({"sequence_start": true}), json!({}), "sequence_start"),
            (json!({"priority": -1}), json!({}), "priority"),
            (json!({"priority": 5_000_000_000_u64}), json!({}), "priority"),
            (json!({"timeout": "soon"}), json!({}), "timeout"),
            (json!({"nan": 1}), json!({}), "nan"),
            (json!({}), json!({"classification": 3}), "classification"),
            (
                json!({}),
                json!({"shared_memory_region": "r"}),
                "shared_memory_region",
            ),
        ] {
            let error = read(parameters, output).unwrap_err();
            assert_eq!(error.status(), 400, "{named}");
            assert!(error.message().contains(named), "{named}: {error:?}");
        }
    }
}
