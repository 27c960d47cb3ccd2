//! `ModelInfer`: from a message to a batch, and from a prediction to a message.
//!
//! An answer has the form of its request: raw for raw, typed lists for typed lists. Outputs in FP16 or
//! BF16, which have no list, make the whole answer raw.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use caisson_data::oip::{InferRequest, OutputChoice, RequestedOutput, check_id, decode_tensors};
use caisson_data::{Batch, DecodeError, DecodeLimits, Schema};
use caisson_registry::TenantId;
use caisson_serving::Revision;
use prost::Message as _;
use serde_json::{Map, Value};

use super::contents;
use super::proto::infer_parameter::ParameterChoice;
use super::proto::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::http::error::ApiError;
use crate::http::oip::parameters::Parameters;
use crate::http::{Context, sized};

/// Predict for the tensors of a message.
///
/// # Errors
///
/// What isn't right with the request, as over REST; what the revision fails with; an output whose type
/// can't say that a value is missing.
pub(super) async fn infer(
    context: &Context,
    tenant: &TenantId,
    revision: &Arc<Revision>,
    message: ModelInferRequest,
    limits: &DecodeLimits,
) -> Result<ModelInferResponse, ApiError> {
    let start = Instant::now();
    let is_raw = !message.raw_input_contents.is_empty();
    let (size, schema, limits) = (message.encoded_len(), Arc::clone(revision.input()), *limits);
    let request = sized(context, tenant, size, move || decode(&schema, message, &limits)).await?;
    // Before the work: what can't be answered needs no prediction.
    let parameters = Parameters::of(&request)?;
    let outputs = request.choose_outputs(revision.output())?;
    revision.statistics().decoded(start.elapsed());
    let ticket = revision.ticket(request.id.as_deref())?;
    // A request to a deployment with a log is told what it is called there.
    let id = request.id.or_else(|| Some(ticket.as_ref()?.id().to_string()));
    let prediction = revision
        .predict_as(ticket, request.batch, parameters.options)
        .await?;

    let start = Instant::now();
    let mut answer = ModelInferResponse {
        model_name: revision.name().to_owned(),
        model_version: revision.number().to_string(),
        id: id.unwrap_or_default(),
        ..ModelInferResponse::default()
    };
    let answer = sized(context, tenant, prediction.batch.byte_len(), move || {
        encode(&mut answer, &prediction.batch, &outputs, is_raw).map(|()| answer)
    })
    .await?;
    revision.statistics().encoded(start.elapsed());
    Ok(answer)
}

fn decode(
    schema: &Arc<Schema>,
    message: ModelInferRequest,
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    check_id(&message.id)?;
    let tensors = contents::inputs(&message.inputs, &message.raw_input_contents)?;
    Ok(InferRequest {
        batch: decode_tensors(schema, tensors, limits)?,
        id: Some(message.id).filter(|id| !id.is_empty()),
        parameters: parameters(message.parameters),
        outputs: message
            .outputs
            .into_iter()
            .map(|output| RequestedOutput {
                name: output.name,
                parameters: parameters(output.parameters),
            })
            .collect(),
    })
}

/// Parameters as JSON has them.
fn parameters(parameters: HashMap<String, InferParameter>) -> Map<String, Value> {
    let value = |parameter: InferParameter| match parameter.parameter_choice? {
        ParameterChoice::BoolParam(value) => Some(Value::from(value)),
        ParameterChoice::Int64Param(value) => Some(Value::from(value)),
        ParameterChoice::StringParam(value) => Some(Value::from(value)),
        ParameterChoice::DoubleParam(value) => Some(Value::from(value)),
        ParameterChoice::Uint64Param(value) => Some(Value::from(value)),
    };
    parameters
        .into_iter()
        .filter_map(|(name, parameter)| Some((name, value(parameter)?)))
        .collect()
}

fn encode(
    answer: &mut ModelInferResponse,
    batch: &Batch,
    outputs: &[OutputChoice],
    is_raw: bool,
) -> Result<(), DecodeError> {
    let columns: Vec<_> = outputs
        .iter()
        .filter_map(|output| batch.column(output.column))
        .collect();
    let is_raw = is_raw
        || columns
            .iter()
            .any(|column| contents::is_raw_only(column.field().data_type));
    for column in &columns {
        contents::check_missing(column)?;
        let mut output = contents::head(column);
        if is_raw {
            answer.raw_output_contents.push(contents::raw(column));
        } else {
            output.contents = Some(contents::typed(column));
        }
        answer.outputs.push(output);
    }
    Ok(())
}
