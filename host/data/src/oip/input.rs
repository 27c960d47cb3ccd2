//! The inputs of a request, one after the other, into one batch.

use std::borrow::Cow;
use std::sync::Arc;

use super::data::{DataReader, bytes_as};
use super::tensors::{Tensor, TensorData};
use super::{BINARY_DATA_SIZE, CONTENT_TYPE};
use crate::batch::Batch;
use crate::builder::BatchBuilder;
use crate::codec::{DecodeError, DecodeLimits, Elements, Reader, Token, code, cut, refuse};
use crate::oip_binary;
use crate::schema::{DataType, Field, RANK_MAX, Schema};

/// Bytes of the parameters of one input or output: names and flags, not data.
pub(super) const PARAMETERS_BYTES_MAX: usize = 16 << 10;

/// Inputs read so far.
pub(super) struct Inputs<'a> {
    schema: &'a Arc<Schema>,
    limits: &'a DecodeLimits,
    /// What lies behind the JSON; `None` where the request has no binary part.
    tensors: Option<&'a [u8]>,
    builder: Option<BatchBuilder>,
    given: Vec<bool>,
}

/// The members of one input.
#[derive(Default)]
struct Input<'a> {
    field: Option<usize>,
    datatype: Option<Cow<'a, str>>,
    shape: Option<Vec<u64>>,
    /// Where it came before what is needed to read it.
    data: Option<&'a str>,
    has_data: bool,
    binary_data_size: Option<usize>,
    content_type: Option<String>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(schema: &'a Arc<Schema>, limits: &'a DecodeLimits, tensors: Option<&'a [u8]>) -> Self {
        Self {
            schema,
            limits,
            tensors,
            builder: None,
            given: vec![false; schema.len()],
        }
    }

    /// Read one input, from its opening brace on.
    pub(super) fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        if !reader.opens(b'{')? {
            return refuse(code::BAD_REQUEST, "an input must be an object");
        }
        let schema = self.schema;
        let mut input = Input::default();
        let mut first = true;
        while reader.more(b'}', &mut first)? {
            let key = reader.key()?;
            self.member(reader, &mut input, &key).map_err(|e| {
                match input.field.and_then(|f| schema.field(f)) {
                    Some(field) => e.in_column(&field.name),
                    None => e,
                }
            })?;
        }
        let Some((index, field)) = input.field.and_then(|i| Some((i, schema.field(i)?))) else {
            return refuse(code::BAD_REQUEST, "an input has no `name`");
        };
        self.end(index, field, input)
            .map_err(|e| e.in_column(&field.name))
    }

    fn member(
        &mut self,
        reader: &mut Reader<'a>,
        input: &mut Input<'a>,
        key: &str,
    ) -> Result<(), DecodeError> {
        let seen = match key {
            "name" => input.field.is_some(),
            "datatype" => input.datatype.is_some(),
            "shape" => input.shape.is_some(),
            "data" => input.has_data,
            _ => false,
        };
        if seen {
            return refuse(code::BAD_REQUEST, format!("an input has two members `{key}`"));
        }
        match key {
            "name" => input.field = Some(self.claim(&read_string(reader, "name")?)?),
            "datatype" => input.datatype = Some(read_string(reader, "datatype")?),
            "shape" => input.shape = Some(read_shape(reader)?),
            "parameters" => read_parameters(reader, input)?,
            "data" => {
                input.has_data = true;
                let field = input.field.and_then(|i| Some((i, self.schema.field(i)?)));
                match (field, &input.shape, &input.datatype) {
                    // The parameters, which may still come, say how bytes are written.
                    (Some((index, field)), Some(shape), Some(datatype))
                        if field.data_type != DataType::Bytes =>
                    {
                        let shape = self.check(field, datatype, shape)?;
                        self.data(reader, index, field, &shape, None)?;
                    }
                    _ => input.data = Some(reader.skip_list()?),
                }
            }
            // Unknown members are for others to understand.
            _ => drop(reader.skip()?),
        }
        Ok(())
    }

    /// The column of this name, which no other input may have.
    fn claim(&mut self, name: &str) -> Result<usize, DecodeError> {
        let index = self.schema.index_of(name);
        match index.and_then(|index| Some((index, self.given.get_mut(index)?))) {
            Some((index, given)) if !*given => {
                *given = true;
                Ok(index)
            }
            Some(_) => refuse(code::DUPLICATE_COLUMN, "the input comes twice"),
            None => refuse(
                code::UNKNOWN_COLUMN,
                format!("no such input; the inputs are {}", self.names()),
            ),
        }
        .map_err(|e: DecodeError| e.in_column(name))
    }

    /// The start of the list of names, for a message.
    fn names(&self) -> String {
        let names: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|f| f.name.as_str())
            .take(16)
            .collect();
        cut(&names.join(", ")).to_owned()
    }

    fn end(&mut self, index: usize, field: &Field, input: Input<'a>) -> Result<(), DecodeError> {
        let (Some(datatype), Some(shape)) = (&input.datatype, &input.shape) else {
            return refuse(
                code::BAD_REQUEST,
                "an input needs `name`, `datatype`, `shape` and its data",
            );
        };
        if let Some(text) = input.data {
            let shape = self.check(field, datatype, shape)?;
            let mut reader = Reader::of_value(text);
            return self.data(&mut reader, index, field, &shape, input.content_type.as_deref());
        }
        match (input.has_data, input.binary_data_size) {
            // Some clients send the size beside the data even where no binary part follows.
            (true, _) => Ok(()),
            (false, Some(size)) => {
                let shape = self.check(field, datatype, shape)?;
                self.tensor(index, &shape, size)
            }
            (false, None) => refuse(
                code::BAD_REQUEST,
                "an input has neither `data` nor `binary_data_size`",
            ),
        }
    }

    /// Do datatype and shape suit the column, and is there room? Gives the shape in rows and the
    /// column's dimensions (with the extra 1 of a scalar column's `[rows, 1]`).
    fn check(&self, field: &Field, datatype: &str, shape: &[u64]) -> Result<Vec<u32>, DecodeError> {
        if datatype != field.data_type.oip_name() {
            return refuse(
                code::WRONG_TYPE,
                format!(
                    "the datatype is {:?} where {} is needed",
                    cut(datatype),
                    field.data_type.oip_name()
                ),
            );
        }
        let wrong = || {
            let dimensions: String = field.shape.iter().map(|d| format!(", {d}")).collect();
            refuse(
                code::WRONG_SHAPE,
                format!("the shape is {shape:?} where [rows{dimensions}] is needed"),
            )
        };
        let Some((&rows, inner)) = shape.split_first() else {
            return wrong();
        };
        let is_field_shape = inner
            .iter()
            .copied()
            .eq(field.shape.iter().map(|&d| u64::from(d)));
        let is_one_column = field.is_scalar() && inner == [1];
        if !is_field_shape && !is_one_column {
            return wrong();
        }
        let rows_max = usize::try_from(rows).unwrap_or(usize::MAX);
        self.limits.check_rows(rows_max, self.schema.row_bytes())?;
        if let Some(builder) = &self.builder
            && builder.rows() != rows_max
        {
            return refuse(
                code::WRONG_SHAPE,
                format!(
                    "the shape is {shape:?} where the inputs before it have {} rows",
                    builder.rows()
                ),
            );
        }
        match shape.iter().map(|&d| u32::try_from(d)).collect() {
            Ok(shape) => Ok(shape),
            Err(_) => wrong(),
        }
    }

    /// The batch, which the first input makes. `bytes_left` bounds what may come: a shape that needs
    /// more is refused before anything is allocated for it.
    fn builder(
        &mut self,
        shape: &[u32],
        bytes_each: usize,
        bytes_left: usize,
    ) -> Result<&mut BatchBuilder, DecodeError> {
        let elements = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d as usize));
        if elements.saturating_mul(bytes_each) > bytes_left.saturating_add(1) {
            return refuse(
                code::WRONG_SHAPE,
                format!("the shape {shape:?} needs {elements} elements, more than the body can hold"),
            );
        }
        let rows = shape.first().map_or(0, |&rows| rows as usize);
        match &mut self.builder {
            Some(builder) => Ok(builder),
            none => Ok(none.insert(BatchBuilder::new(self.schema.clone(), rows)?)),
        }
    }

    fn data(
        &mut self,
        reader: &mut Reader<'_>,
        index: usize,
        field: &Field,
        shape: &[u32],
        content_type: Option<&str>,
    ) -> Result<(), DecodeError> {
        // An element takes at least a digit and a comma.
        let bytes_left = reader.bytes_left();
        let builder = self.builder(shape, 2, bytes_left)?;
        let missing = match builder.destination(index, None) {
            Some((_, destination)) => {
                let elements = Elements::new(field.data_type, destination, bytes_as(content_type));
                DataReader::new(elements, field).read(reader, shape)?
            }
            None => return refuse(code::UNKNOWN_COLUMN, "no such input"),
        };
        for row in missing {
            if !field.nullable {
                return refuse(
                    code::MISSING_VALUE,
                    "the value is null and the column is not nullable",
                )
                .map_err(|e: DecodeError| e.in_row(row));
            }
            builder.set_missing(index, row);
        }
        Ok(())
    }

    fn tensor(&mut self, index: usize, shape: &[u32], size: usize) -> Result<(), DecodeError> {
        let Some(tensors) = self.tensors else {
            return refuse(
                code::BAD_TENSOR,
                "`binary_data_size` without a binary part: the header Inference-Header-Content-Length is absent",
            );
        };
        let Some((tensor, rest)) = tensors.split_at_checked(size) else {
            return refuse(
                code::BAD_TENSOR,
                format!(
                    "`binary_data_size` is {size} and the body has {} bytes left",
                    tensors.len()
                ),
            );
        };
        self.tensors = Some(rest);
        self.raw(index, shape, tensor)
    }

    /// The raw elements of one input.
    fn raw(&mut self, index: usize, shape: &[u32], tensor: &[u8]) -> Result<(), DecodeError> {
        let builder = self.builder(shape, 1, tensor.len())?;
        oip_binary::read_tensor(builder, index, tensor)
    }

    /// An input that another form of the protocol has taken apart.
    pub(super) fn put(&mut self, tensor: &Tensor<'_>) -> Result<(), DecodeError> {
        let index = self.claim(tensor.name)?;
        let schema = self.schema;
        let Some(field) = schema.field(index) else {
            return refuse(code::UNKNOWN_COLUMN, "no such input");
        };
        self.put_in(index, field, tensor)
            .map_err(|e| e.in_column(&field.name))
    }

    fn put_in(&mut self, index: usize, field: &Field, tensor: &Tensor<'_>) -> Result<(), DecodeError> {
        if tensor.shape.len() > RANK_MAX + 1 {
            return bad_shape();
        }
        let dimensions = tensor.shape.iter().map(|&d| u64::try_from(d));
        let Ok(shape) = dimensions.collect::<Result<Vec<u64>, _>>() else {
            return bad_shape();
        };
        let shape = self.check(field, tensor.datatype, &shape)?;
        let contents = match &tensor.data {
            TensorData::Raw(raw) => return self.raw(index, &shape, raw),
            TensorData::Contents(contents) => contents,
        };
        contents.check(field.data_type, &shape)?;
        // One element is there for each that is allocated.
        let builder = self.builder(&shape, 0, 0)?;
        match builder.destination(index, None) {
            Some((_, destination)) => contents.copy_to(destination, field),
            None => refuse(code::UNKNOWN_COLUMN, "no such input"),
        }
    }

    /// The batch of all inputs.
    pub(super) fn finish(self) -> Result<Batch, DecodeError> {
        if let Some(rest) = self.tensors
            && !rest.is_empty()
        {
            return refuse(
                code::BAD_TENSOR,
                format!("{} bytes lie behind the last tensor", rest.len()),
            );
        }
        let mut builder = match self.builder {
            Some(builder) => builder,
            None if self.schema.is_empty() => return refuse(code::BAD_REQUEST, "there is no input"),
            // Nobody said how many rows: all the columns are absent.
            None => BatchBuilder::new(self.schema.clone(), 0)?,
        };
        let no_input = !self.given.contains(&true);
        for (index, field) in self.schema.fields().iter().enumerate() {
            if self.given.get(index) == Some(&true) {
                continue;
            }
            if !field.nullable || no_input {
                return refuse(code::MISSING_COLUMN, "the input is absent")
                    .map_err(|e: DecodeError| e.in_column(&field.name));
            }
            for row in 0..builder.rows() {
                builder.set_missing(index, row);
            }
        }
        Ok(builder.finish()?)
    }
}

/// A member that must be a string.
pub(super) fn read_string<'a>(reader: &mut Reader<'a>, what: &str) -> Result<Cow<'a, str>, DecodeError> {
    match reader.token()? {
        Token::String(text) => Ok(text),
        _ => refuse(code::BAD_REQUEST, format!("`{what}` must be a string")),
    }
}

fn read_shape(reader: &mut Reader<'_>) -> Result<Vec<u64>, DecodeError> {
    if !reader.opens(b'[')? {
        return bad_shape();
    }
    let mut shape = Vec::new();
    let mut first = true;
    while reader.more(b']', &mut first)? {
        let dimension = match reader.token()? {
            Token::Number(text) => text.parse().ok(),
            _ => None,
        };
        match dimension {
            // One more than a column's own: the rows.
            Some(dimension) if shape.len() <= RANK_MAX => shape.push(dimension),
            _ => return bad_shape(),
        }
    }
    Ok(shape)
}

fn bad_shape<T>() -> Result<T, DecodeError> {
    refuse(
        code::BAD_REQUEST,
        format!(
            "`shape` must be a list of up to {} integers, 0 or more",
            RANK_MAX + 1
        ),
    )
}

fn read_parameters(reader: &mut Reader<'_>, input: &mut Input<'_>) -> Result<(), DecodeError> {
    let Some(parameters) = reader.object("parameters", PARAMETERS_BYTES_MAX)? else {
        return Ok(());
    };
    if let Some(size) = parameters.get(BINARY_DATA_SIZE) {
        match size.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) => input.binary_data_size = Some(size),
            None => {
                return refuse(
                    code::BAD_TENSOR,
                    format!("`{BINARY_DATA_SIZE}` must be an integer, 0 or more"),
                );
            }
        }
    }
    if let Some(content_type) = parameters.get(CONTENT_TYPE).and_then(|v| v.as_str()) {
        input.content_type = Some(content_type.to_owned());
    }
    Ok(())
}
