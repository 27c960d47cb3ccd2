//! The contract's types (`wit/types.wit`) as they cross the boundary.
//!
//! What goes in is borrowed from the host's batch, what comes out is owned and moved into one, so a
//! numeric list crosses as one memory copy each way. wasmtime checks these types against the
//! component's before the first call; a difference is [`UploadError::Contract`].
//!
//! [`UploadError::Contract`]: crate::UploadError::Contract

use caisson_data::{Batch, Block, DataType, Field, Schema, Values, VarLen};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::error::{Cause, GUEST_TEXT_BYTES_MAX};
use crate::text::tame;

#[derive(ComponentType, Lower, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WireDataType {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "uint8")]
    Uint8,
    #[component(name = "uint16")]
    Uint16,
    #[component(name = "uint32")]
    Uint32,
    #[component(name = "uint64")]
    Uint64,
    #[component(name = "int8")]
    Int8,
    #[component(name = "int16")]
    Int16,
    #[component(name = "int32")]
    Int32,
    #[component(name = "int64")]
    Int64,
    #[component(name = "fp16")]
    Fp16,
    #[component(name = "bf16")]
    Bf16,
    #[component(name = "fp32")]
    Fp32,
    #[component(name = "fp64")]
    Fp64,
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
}

macro_rules! same_variants {
    ($($variant:ident),*) => {
        impl From<DataType> for WireDataType {
            fn from(ty: DataType) -> Self {
                match ty { $(DataType::$variant => Self::$variant),* }
            }
        }

        impl From<WireDataType> for DataType {
            fn from(ty: WireDataType) -> Self {
                match ty { $(WireDataType::$variant => Self::$variant),* }
            }
        }
    };
}

same_variants!(
    Boolean, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Text, Bytes
);

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct FieldParam<'a> {
    name: &'a str,
    #[component(name = "data-type")]
    data_type: WireDataType,
    shape: &'a [u32],
    nullable: bool,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct SchemaParam<'a> {
    fields: Vec<FieldParam<'a>>,
}

impl<'a> From<&'a Schema> for SchemaParam<'a> {
    fn from(schema: &'a Schema) -> Self {
        let fields = schema
            .fields()
            .iter()
            .map(|f| FieldParam {
                name: &f.name,
                data_type: f.data_type.into(),
                shape: &f.shape,
                nullable: f.nullable,
            })
            .collect();
        Self { fields }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireField {
    name: String,
    #[component(name = "data-type")]
    data_type: WireDataType,
    shape: Vec<u32>,
    nullable: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireSchema {
    fields: Vec<WireField>,
}

impl WireSchema {
    pub(crate) fn into_schema(self) -> Result<Schema, Cause> {
        let fields = self
            .fields
            .into_iter()
            .map(|f| Field {
                name: f.name,
                data_type: f.data_type.into(),
                shape: f.shape,
                nullable: f.nullable,
            })
            .collect();
        Schema::new(fields).map_err(|e| Cause::bad_output(&format!("a schema that can't be: {e}")))
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct VarLenParam<'a> {
    offsets: &'a [u32],
    data: &'a [u8],
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireVarLen {
    offsets: Vec<u32>,
    data: Vec<u8>,
}

impl<'a> From<&'a VarLen> for VarLenParam<'a> {
    fn from(list: &'a VarLen) -> Self {
        Self {
            offsets: &list.offsets,
            data: &list.data,
        }
    }
}

impl From<WireVarLen> for VarLen {
    fn from(wire: WireVarLen) -> Self {
        Self {
            offsets: wire.offsets,
            data: wire.data,
        }
    }
}

macro_rules! values {
    ($($variant:ident $name:literal $element:ty),*) => {
        #[derive(ComponentType, Lower)]
        #[component(variant)]
        pub(crate) enum ValuesParam<'a> {
            $(#[component(name = $name)] $variant(&'a [$element]),)*
            #[component(name = "text")]
            Text(VarLenParam<'a>),
            #[component(name = "bytes")]
            Bytes(VarLenParam<'a>),
        }

        #[derive(ComponentType, Lift)]
        #[component(variant)]
        pub(crate) enum WireValues {
            $(#[component(name = $name)] $variant(Vec<$element>),)*
            #[component(name = "text")]
            Text(WireVarLen),
            #[component(name = "bytes")]
            Bytes(WireVarLen),
        }

        impl<'a> From<&'a Values> for ValuesParam<'a> {
            fn from(values: &'a Values) -> Self {
                match values {
                    $(Values::$variant(list) => Self::$variant(list),)*
                    Values::Text(list) => Self::Text(list.into()),
                    Values::Bytes(list) => Self::Bytes(list.into()),
                }
            }
        }

        impl From<WireValues> for Values {
            fn from(wire: WireValues) -> Self {
                match wire {
                    $(WireValues::$variant(list) => Self::$variant(list),)*
                    WireValues::Text(list) => Self::Text(list.into()),
                    WireValues::Bytes(list) => Self::Bytes(list.into()),
                }
            }
        }
    };
}

values!(
    Boolean "boolean" u8,
    Uint8 "uint8" u8,
    Uint16 "uint16" u16,
    Uint32 "uint32" u32,
    Uint64 "uint64" u64,
    Int8 "int8" i8,
    Int16 "int16" i16,
    Int32 "int32" i32,
    Int64 "int64" i64,
    Fp16 "fp16" u16,
    Bf16 "bf16" u16,
    Fp32 "fp32" f32,
    Fp64 "fp64" f64
);

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BlockParam<'a> {
    values: ValuesParam<'a>,
    validity: Option<&'a [u8]>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchParam<'a> {
    rows: u32,
    blocks: Vec<BlockParam<'a>>,
}

impl<'a> From<&'a Batch> for BatchParam<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self {
            // `Batch::new` refuses more rows than `u32` counts.
            rows: u32::try_from(batch.rows()).unwrap_or(u32::MAX),
            blocks: batch
                .blocks()
                .iter()
                .map(|block| BlockParam {
                    values: (&block.values).into(),
                    validity: block.validity.as_deref(),
                })
                .collect(),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireBlock {
    values: WireValues,
    validity: Option<Vec<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireBatch {
    pub(crate) rows: u32,
    blocks: Vec<WireBlock>,
}

impl WireBatch {
    /// The blocks, moved: no element is touched.
    pub(crate) fn into_blocks(self) -> Vec<Block> {
        self.blocks
            .into_iter()
            .map(|block| Block {
                values: block.values.into(),
                validity: block.validity,
            })
            .collect()
    }
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "wasmtime makes them, from the discriminant")]
pub(crate) enum WireWorld {
    #[component(name = "transform")]
    Transform,
    #[component(name = "validator")]
    Validator,
    #[component(name = "drift-check")]
    DriftCheck,
    #[component(name = "predictor")]
    Predictor,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireManifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) world: WireWorld,
    #[component(name = "config-schema")]
    pub(crate) config_schema: String,
    pub(crate) help: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireLocation {
    pub(crate) row: Option<u32>,
    pub(crate) column: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireBadInput {
    at: WireLocation,
    message: String,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WireError {
    #[component(name = "invalid-config")]
    InvalidConfig(String),
    #[component(name = "schema-mismatch")]
    SchemaMismatch(String),
    #[component(name = "bad-input")]
    BadInput(WireBadInput),
    #[component(name = "internal")]
    Internal(String),
}

impl From<WireError> for Cause {
    fn from(wire: WireError) -> Self {
        let tamed = |text: String| tame(&text, GUEST_TEXT_BYTES_MAX);
        match wire {
            WireError::InvalidConfig(message) => Self::InvalidConfig(tamed(message)),
            WireError::SchemaMismatch(message) => Self::SchemaMismatch(tamed(message)),
            WireError::BadInput(WireBadInput { at, message }) => Self::BadInput {
                row: at.row,
                column: at.column.map(|c| tame(&c, caisson_data::NAME_BYTES_MAX)),
                message: tamed(message),
            },
            WireError::Internal(message) => Self::Internal(tamed(message)),
        }
    }
}

/// What `configure` of a transform or predictor returns.
pub(crate) type ConfiguredSchema = (Result<WireSchema, WireError>,);
/// What `configure` of a validator or drift check returns.
pub(crate) type Configured = (Result<(), WireError>,);
