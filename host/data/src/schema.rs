//! Names, element types and shapes of the columns of a batch, and how they pack into blocks.
//!
//! The packing rule is the plugin contract's (`wit/types.wit`, *Packing*). [`Schema::new`] is the
//! only way to make a schema, so every schema in the process has unique names, bounded sizes and a
//! layout that was computed once.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Fields in a schema. Wide tables of engineered features have thousands of columns; beyond this a
/// tensor column is the right form.
pub const FIELDS_MAX: usize = 16_384;
/// Bytes in a field's name. Names travel in every rows-JSON row and in every error.
pub const NAME_BYTES_MAX: usize = 256;
/// Dimensions of one row's value. ONNX models in the field stay at or below 5.
pub const RANK_MAX: usize = 8;
/// Elements in one row of one field: a 1024 × 1024 RGBA image in four frames. Keeps every size
/// computation far from overflow.
pub const ROW_ELEMENTS_MAX: usize = 1 << 24;

/// The type of one element: those of the Open Inference Protocol, with text told apart from bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// `false` or `true` (OIP `BOOL`).
    #[serde(alias = "BOOL", alias = "bool")]
    Boolean,
    /// `UINT8`.
    #[serde(alias = "UINT8")]
    Uint8,
    /// `UINT16`.
    #[serde(alias = "UINT16")]
    Uint16,
    /// `UINT32`.
    #[serde(alias = "UINT32")]
    Uint32,
    /// `UINT64`.
    #[serde(alias = "UINT64")]
    Uint64,
    /// `INT8`.
    #[serde(alias = "INT8")]
    Int8,
    /// `INT16`.
    #[serde(alias = "INT16")]
    Int16,
    /// `INT32`.
    #[serde(alias = "INT32")]
    Int32,
    /// `INT64`.
    #[serde(alias = "INT64")]
    Int64,
    /// IEEE 754 binary16 (`FP16`).
    #[serde(alias = "FP16")]
    Fp16,
    /// bfloat16 (`BF16`).
    #[serde(alias = "BF16")]
    Bf16,
    /// IEEE 754 binary32 (`FP32`).
    #[serde(alias = "FP32")]
    Fp32,
    /// IEEE 754 binary64 (`FP64`).
    #[serde(alias = "FP64")]
    Fp64,
    /// UTF-8 text (OIP `BYTES`).
    #[serde(alias = "TEXT", alias = "string")]
    Text,
    /// Any bytes (OIP `BYTES`).
    #[serde(alias = "BYTES")]
    Bytes,
}

impl DataType {
    /// Every type, in the order of the contract.
    pub const ALL: [Self; 15] = [
        Self::Boolean,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Text,
        Self::Bytes,
    ];

    /// The lower-case name, as in `wit/` and in deployment files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Fp32 => "fp32",
            Self::Fp64 => "fp64",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    /// The Open Inference Protocol's name; `Text` and `Bytes` are both `BYTES` there.
    pub const fn oip_name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Text | Self::Bytes => "BYTES",
        }
    }

    /// Bytes of one element; `None` for text and bytes.
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Boolean | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Text | Self::Bytes => None,
        }
    }

    /// Is this one of the four float types, which have NaN?
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

/// Every name that is read. The derive knows the canonical ones alone.
#[cfg(feature = "codecs")]
impl schemars::JsonSchema for DataType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DataType".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let canonical = Self::ALL.iter().map(|t| t.name());
        let protocol = Self::ALL.iter().map(|t| t.oip_name()).filter(|n| *n != "BYTES");
        let names: Vec<&str> = canonical
            .chain(protocol)
            .chain(["bool", "string", "TEXT", "BYTES"])
            .collect();
        schemars::json_schema!({
            "type": "string",
            "description": "The type of one element. Answers use the lower-case names.",
            "enum": names,
        })
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One column: `{"name": "recency", "type": "fp32", "shape": [], "nullable": false}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "codecs", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Unique in its schema, 1 to [`NAME_BYTES_MAX`] bytes.
    #[cfg_attr(feature = "codecs", schemars(length(min = 1, max = NAME_BYTES_MAX)))]
    pub name: String,
    /// Element type.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Shape of one row's value; empty for a scalar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<u32>,
    /// May a row lack the value?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nullable: bool,
}

impl Field {
    /// A scalar field that every row has.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            shape: Vec::new(),
            nullable: false,
        }
    }

    /// The same field with this per-row shape.
    #[must_use]
    pub fn with_shape(mut self, shape: impl Into<Vec<u32>>) -> Self {
        self.shape = shape.into();
        self
    }

    /// The same field, with missing values allowed.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Is one row's value a single element?
    pub fn is_scalar(&self) -> bool {
        self.shape.is_empty()
    }

    /// Elements in one row: the product of the shape, 1 for a scalar. Saturates, so that a shape
    /// means the same in a 32-bit plugin as here.
    pub fn row_elements(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |n: usize, &d| n.saturating_mul(d as usize))
    }
}

impl fmt::Display for Field {
    /// `recency: fp32`, `image: uint8[3, 224, 224]?` (`?` for nullable).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.data_type)?;
        if !self.shape.is_empty() {
            write!(f, "{:?}", self.shape)?;
        }
        if self.nullable {
            f.write_str("?")?;
        }
        Ok(())
    }
}

/// Why a list of fields is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// More than [`FIELDS_MAX`] fields.
    #[error("a schema has {0} fields; at most {FIELDS_MAX} are allowed: use a column with a shape")]
    TooManyFields(usize),
    /// An empty or overlong name.
    #[error("field {index} has a name of {bytes} bytes; names have 1 to {NAME_BYTES_MAX}")]
    BadName {
        /// Position, from 0.
        index: usize,
        /// Length of the name.
        bytes: usize,
    },
    /// Two fields of one name.
    #[error("two fields are named `{0}`")]
    DuplicateName(String),
    /// More than [`RANK_MAX`] dimensions.
    #[error("field `{name}` has {rank} dimensions; at most {RANK_MAX} are allowed")]
    RankTooHigh {
        /// The field.
        name: String,
        /// Its dimensions.
        rank: usize,
    },
    /// More than [`ROW_ELEMENTS_MAX`] elements in a row.
    #[error("field `{0}` has more than {ROW_ELEMENTS_MAX} elements in a row")]
    RowTooLarge(String),
}

/// Where a field's elements lie: block `block`, column `column` of that block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Index of the block.
    pub block: usize,
    /// Index among the block's fields; 0 in a block of a field with a shape.
    pub column: usize,
}

/// What one block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLayout {
    /// Type of every element.
    pub data_type: DataType,
    /// Indices of the fields, in schema order: one or more scalars, or exactly one with a shape.
    pub fields: Vec<usize>,
    /// Elements in one row of one field.
    pub row_elements: usize,
}

impl BlockLayout {
    /// Elements that the block holds for `rows` rows; `None` past `usize`.
    pub fn elements(&self, rows: usize) -> Option<usize> {
        rows.checked_mul(self.row_elements)?
            .checked_mul(self.fields.len())
    }

    /// Bytes of the validity bitmap for `rows` rows.
    pub fn validity_bytes(&self, rows: usize) -> usize {
        self.fields.len() * rows.div_ceil(8)
    }
}

/// The columns of a batch and their packing. Cheap to share: hold it in an `Arc`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "codecs", derive(schemars::JsonSchema))]
#[serde(try_from = "Vec<Field>", into = "Vec<Field>")]
pub struct Schema {
    fields: Vec<Field>,
    blocks: Vec<BlockLayout>,
    slots: Vec<Slot>,
    by_name: HashMap<String, usize>,
}

impl Schema {
    /// Check the fields and compute their layout.
    ///
    /// # Errors
    ///
    /// Names that are empty, overlong or not unique; too many fields, dimensions or elements.
    pub fn new(fields: Vec<Field>) -> Result<Self, SchemaError> {
        if fields.len() > FIELDS_MAX {
            return Err(SchemaError::TooManyFields(fields.len()));
        }
        let mut by_name = HashMap::with_capacity(fields.len());
        let mut blocks: Vec<BlockLayout> = Vec::new();
        let mut slots = Vec::with_capacity(fields.len());
        let mut scalar_block: HashMap<DataType, usize> = HashMap::new();
        for (index, field) in fields.iter().enumerate() {
            let bytes = field.name.len();
            if bytes == 0 || bytes > NAME_BYTES_MAX {
                return Err(SchemaError::BadName { index, bytes });
            }
            if field.shape.len() > RANK_MAX {
                return Err(SchemaError::RankTooHigh {
                    name: field.name.clone(),
                    rank: field.shape.len(),
                });
            }
            let row_elements = field.row_elements();
            if row_elements > ROW_ELEMENTS_MAX {
                return Err(SchemaError::RowTooLarge(field.name.clone()));
            }
            if by_name.insert(field.name.clone(), index).is_some() {
                return Err(SchemaError::DuplicateName(field.name.clone()));
            }
            let known = if field.is_scalar() {
                scalar_block.get(&field.data_type).copied()
            } else {
                None
            };
            match known.and_then(|b| blocks.get_mut(b).map(|layout| (b, layout))) {
                Some((block, layout)) => {
                    slots.push(Slot {
                        block,
                        column: layout.fields.len(),
                    });
                    layout.fields.push(index);
                }
                None => {
                    if field.is_scalar() {
                        scalar_block.insert(field.data_type, blocks.len());
                    }
                    slots.push(Slot {
                        block: blocks.len(),
                        column: 0,
                    });
                    blocks.push(BlockLayout {
                        data_type: field.data_type,
                        fields: vec![index],
                        row_elements,
                    });
                }
            }
        }
        Ok(Self {
            fields,
            blocks,
            slots,
            by_name,
        })
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The blocks that these fields pack into.
    pub fn blocks(&self) -> &[BlockLayout] {
        &self.blocks
    }

    /// The field at a position.
    pub fn field(&self, index: usize) -> Option<&Field> {
        self.fields.get(index)
    }

    /// Where the field at a position lies.
    pub fn slot(&self, index: usize) -> Option<Slot> {
        self.slots.get(index).copied()
    }

    /// Position of the field of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.index_of(name).and_then(|i| self.fields.get(i))
    }

    /// Bytes that one row's elements take in a batch. A text or bytes element counts with its offset
    /// of 4 bytes alone. At most 2⁴¹.
    pub fn row_bytes(&self) -> usize {
        let block = |layout: &BlockLayout| {
            let width = layout.data_type.width().unwrap_or(size_of::<u32>());
            (layout.fields.len() * layout.row_elements).saturating_mul(width)
        };
        self.blocks
            .iter()
            .fold(0, |sum, layout| sum.saturating_add(block(layout)))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Has it no field at all?
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.fields).finish()
    }
}

impl fmt::Display for Schema {
    /// `(recency: fp32, frequency: fp32?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, field) in self.fields.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{field}")?;
        }
        f.write_str(")")
    }
}

impl TryFrom<Vec<Field>> for Schema {
    type Error = SchemaError;

    fn try_from(fields: Vec<Field>) -> Result<Self, SchemaError> {
        Self::new(fields)
    }
}

impl From<Schema> for Vec<Field> {
    fn from(schema: Schema) -> Self {
        schema.fields
    }
}
