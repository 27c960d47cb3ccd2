//! A whole request.

use std::sync::Arc;

use super::input::{Inputs, PARAMETERS_BYTES_MAX, read_string};
use super::{InferRequest, RequestedOutput};
use crate::codec::{DecodeError, DecodeLimits, Reader, Token, code, refuse};
use crate::schema::{FIELDS_MAX, Schema};

/// Bytes of a request's id, which is echoed and logged. Clients send UUIDs.
const ID_BYTES_MAX: usize = 1024;

/// Read a request whose data is all JSON.
///
/// # Errors
///
/// Whatever isn't as the module says, with row and column where there is one, and what passes a
/// limit.
pub fn decode_request(
    schema: &Arc<Schema>,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    limits.check_body(body)?;
    decode_with_tensors(schema, body, None, limits)
}

/// Read a request whose binary tensors, if it may have any, are given apart.
pub(crate) fn decode_with_tensors(
    schema: &Arc<Schema>,
    json: &[u8],
    tensors: Option<&[u8]>,
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    let mut reader = Reader::new(json, true)?;
    if !reader.opens(b'{')? {
        return refuse(code::BAD_REQUEST, "the body must be an object");
    }
    let mut inputs = Inputs::new(schema, limits, tensors);
    let mut has_inputs = false;
    let mut id = None;
    let mut parameters = None;
    let mut outputs = None;
    let mut first = true;
    while reader.more(b'}', &mut first)? {
        match reader.key()?.as_ref() {
            "id" => id = read_id(&mut reader)?,
            "parameters" => parameters = reader.object("parameters", PARAMETERS_BYTES_MAX)?,
            "inputs" if has_inputs => return refuse(code::BAD_REQUEST, "there are two members `inputs`"),
            "inputs" => {
                has_inputs = true;
                if !reader.opens(b'[')? {
                    return refuse(code::BAD_REQUEST, "`inputs` must be a list");
                }
                let mut first = true;
                while reader.more(b']', &mut first)? {
                    inputs.read(&mut reader)?;
                }
            }
            "outputs" if outputs.is_some() => {
                return refuse(code::BAD_REQUEST, "there are two members `outputs`");
            }
            "outputs" => outputs = Some(read_outputs(&mut reader)?),
            // Clients send more than the protocol names, such as `model_name`.
            _ => drop(reader.skip()?),
        }
    }
    reader.end()?;
    if !has_inputs {
        return refuse(code::BAD_REQUEST, "the request has no `inputs`");
    }
    Ok(InferRequest {
        id,
        parameters: parameters.unwrap_or_default(),
        batch: inputs.finish()?,
        outputs: outputs.unwrap_or_default(),
    })
}

fn read_id(reader: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    match reader.token()? {
        Token::Null => Ok(None),
        Token::String(id) => check_id(&id).map(|()| Some(id.into_owned())),
        _ => bad_id(),
    }
}

/// May a request have this id?
///
/// # Errors
///
/// It is too long.
pub fn check_id(id: &str) -> Result<(), DecodeError> {
    if id.len() <= ID_BYTES_MAX {
        Ok(())
    } else {
        bad_id()
    }
}

fn bad_id<T>() -> Result<T, DecodeError> {
    refuse(
        code::BAD_REQUEST,
        format!("`id` must be a string of at most {ID_BYTES_MAX} bytes"),
    )
}

fn read_outputs(reader: &mut Reader<'_>) -> Result<Vec<RequestedOutput>, DecodeError> {
    let mut outputs = Vec::new();
    if reader.null()? {
        return Ok(outputs);
    }
    if !reader.opens(b'[')? {
        return refuse(code::BAD_REQUEST, "`outputs` must be a list");
    }
    let mut first = true;
    while reader.more(b']', &mut first)? {
        if !reader.opens(b'{')? {
            return refuse(code::BAD_REQUEST, "an output must be an object");
        }
        if outputs.len() == FIELDS_MAX {
            return refuse(
                code::BAD_REQUEST,
                format!("more than {FIELDS_MAX} outputs are asked for"),
            );
        }
        let mut name = None;
        let mut parameters = None;
        let mut first = true;
        while reader.more(b'}', &mut first)? {
            match reader.key()?.as_ref() {
                "name" => name = Some(read_string(reader, "name")?.into_owned()),
                "parameters" => parameters = reader.object("parameters", PARAMETERS_BYTES_MAX)?,
                _ => drop(reader.skip()?),
            }
        }
        match name {
            Some(name) => outputs.push(RequestedOutput {
                name,
                parameters: parameters.unwrap_or_default(),
            }),
            None => return refuse(code::BAD_REQUEST, "an output has no `name`"),
        }
    }
    Ok(outputs)
}
