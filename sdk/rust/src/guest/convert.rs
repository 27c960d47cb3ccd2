//! Between the contract's types and the SDK's, by moving.

use std::sync::Arc;

use super::types;
use crate::{
    Batch, Block, DataType, DriftReport, DriftStatus, Error, FeatureDrift, Field, Schema, Severity, Values,
    VarLen, Violation, World,
};

/// Variants that have the same name on both sides.
macro_rules! same_names {
    ($value:expr, $from:path => $to:path: $($variant:ident),*) => {{
        use $from as From;
        use $to as To;
        match $value {
            $(From::$variant => To::$variant,)*
        }
    }};
}

fn lift_data_type(data_type: types::DataType) -> DataType {
    same_names!(data_type, types::DataType => DataType:
        Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Text, Bytes)
}

fn lower_data_type(data_type: DataType) -> types::DataType {
    same_names!(data_type, DataType => types::DataType:
        Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Text, Bytes)
}

pub(super) fn world_kind(world: World) -> types::WorldKind {
    same_names!(world, World => types::WorldKind: Transform, Validator, DriftCheck, Predictor)
}

pub(super) fn lift_schema(schema: types::Schema) -> Result<Schema, Error> {
    let fields = schema
        .fields
        .into_iter()
        .map(|f| Field {
            name: f.name,
            data_type: lift_data_type(f.data_type),
            shape: f.shape,
            nullable: f.nullable,
        })
        .collect();
    Schema::new(fields).map_err(|e| Error::SchemaMismatch(e.to_string()))
}

pub(super) fn lower_schema(schema: Schema) -> types::Schema {
    let fields = Vec::from(schema)
        .into_iter()
        .map(|f: Field| types::Field {
            name: f.name,
            data_type: lower_data_type(f.data_type),
            shape: f.shape,
            nullable: f.nullable,
        })
        .collect();
    types::Schema { fields }
}

/// Move each list over. The two variable-length variants change the struct around their lists.
macro_rules! move_values {
    ($values:expr, $from:path => $to:path, $var_len:path) => {{
        use $from as From;
        use $to as To;
        use $var_len as Var;
        match $values {
            From::Boolean(v) => To::Boolean(v),
            From::Uint8(v) => To::Uint8(v),
            From::Uint16(v) => To::Uint16(v),
            From::Uint32(v) => To::Uint32(v),
            From::Uint64(v) => To::Uint64(v),
            From::Int8(v) => To::Int8(v),
            From::Int16(v) => To::Int16(v),
            From::Int32(v) => To::Int32(v),
            From::Int64(v) => To::Int64(v),
            From::Fp16(v) => To::Fp16(v),
            From::Bf16(v) => To::Bf16(v),
            From::Fp32(v) => To::Fp32(v),
            From::Fp64(v) => To::Fp64(v),
            From::Text(v) => To::Text(Var {
                offsets: v.offsets,
                data: v.data,
            }),
            From::Bytes(v) => To::Bytes(Var {
                offsets: v.offsets,
                data: v.data,
            }),
        }
    }};
}

pub(super) fn lift_batch(schema: &Arc<Schema>, batch: types::Batch) -> Batch {
    let blocks = batch
        .blocks
        .into_iter()
        .map(|block| Block {
            values: move_values!(block.values, types::Values => Values, VarLen),
            validity: block.validity,
        })
        .collect();
    Batch::trusted(schema.clone(), batch.rows as usize, blocks)
}

/// The contract's batch.
pub fn lower_batch(batch: Batch) -> types::Batch {
    // A batch has at most `u32::MAX` rows; 32-bit memory has room for no more.
    let rows = batch.rows() as u32;
    let blocks = batch
        .into_blocks()
        .into_iter()
        .map(|block| types::Block {
            values: move_values!(block.values, Values => types::Values, types::VarLen),
            validity: block.validity,
        })
        .collect();
    types::Batch { rows, blocks }
}

pub(super) fn lower_error(error: Error) -> types::Error {
    match error {
        Error::InvalidConfig(message) => types::Error::InvalidConfig(message),
        Error::SchemaMismatch(message) => types::Error::SchemaMismatch(message),
        Error::BadInput { row, column, message } => types::Error::BadInput(types::BadInput {
            at: types::Location { row, column },
            message,
        }),
        Error::Internal(message) => types::Error::Internal(message),
    }
}

/// The contract's violations.
pub fn lower_violations(violations: Vec<Violation>) -> Vec<types::Violation> {
    violations
        .into_iter()
        .map(|v| types::Violation {
            at: types::Location {
                row: v.row,
                column: v.column,
            },
            code: v.code,
            message: v.message,
            severity: same_names!(v.severity, Severity => types::Severity: Reject, Warn),
        })
        .collect()
}

fn lower_status(status: DriftStatus) -> types::DriftStatus {
    same_names!(status, DriftStatus => types::DriftStatus: Stable, Warn, Drifted, InsufficientData)
}

/// The contract's report.
pub fn lower_report(report: DriftReport) -> types::DriftReport {
    types::DriftReport {
        status: lower_status(report.status),
        features: report
            .features
            .into_iter()
            .map(|f: FeatureDrift| types::FeatureDrift {
                feature: f.feature,
                method: f.method,
                statistic: f.statistic,
                threshold: f.threshold,
                p_value: f.p_value,
                effect_size: f.effect_size,
                reference_count: f.reference_count,
                current_count: f.current_count,
                reference_missing_rate: f.reference_missing_rate,
                current_missing_rate: f.current_missing_rate,
                status: lower_status(f.status),
                detail: f.detail,
            })
            .collect(),
    }
}
