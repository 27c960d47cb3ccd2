//! Read what an ONNX file says of itself, before ONNX Runtime's C++ sees it.
//!
//! An ONNX file is one protobuf message, `ModelProto` (onnx.proto of the ONNX project gives the
//! field numbers used here). This reader walks it without copying the weights: it finds files that
//! are cut off or no protobuf at all, collects the metadata, and refuses tensors whose data lies in
//! other files, wherever in the graph they are. Graphs nest at most [`DEPTH_MAX`] deep.

use std::collections::BTreeMap;

use crate::error::{ModelRejected, tidy};
use crate::signature::OnnxMetadata;

/// Graphs within attributes of nodes within graphs; control flow in real models nests three or four
/// deep.
const DEPTH_MAX: usize = 32;
/// Entries of `metadata_props` that are kept; exporters write a handful.
const CUSTOM_MAX: usize = 64;
/// Bytes of a key there.
const CUSTOM_KEY_BYTES_MAX: usize = 256;
/// Bytes of a value there: class lists and feature names fit, whole documents don't.
const CUSTOM_VALUE_BYTES_MAX: usize = 4096;
/// Bytes kept of names, versions and the description.
const TEXT_BYTES_MAX: usize = 1024;
/// Operator sets in a model: ONNX's own, a few vendors'.
const OPSETS_MAX: usize = 64;

/// Walk the file and give its metadata.
///
/// # Errors
///
/// Not protobuf, cut off, without a graph, in ONNX Runtime's own format, with external data, or
/// nested too deep.
pub(crate) fn inspect(bytes: &[u8]) -> Result<OnnxMetadata, ModelRejected> {
    // ONNX Runtime takes its own flatbuffer format by this mark, wherever it thinks it sees it.
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(not_onnx(
            "it is in ONNX Runtime's own .ort format; upload the .onnx file that it was made from",
        ));
    }
    let mut meta = OnnxMetadata::default();
    let mut graphs = 0usize;
    for field in Message::new(bytes, 0) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(n)) => meta.ir_version = n as i64,
            (2, Value::Bytes(b, _)) => meta.producer = text(b),
            (3, Value::Bytes(b, _)) => meta.producer_version = text(b),
            (4, Value::Bytes(b, _)) => meta.domain = text(b),
            (5, Value::Varint(n)) => meta.model_version = n as i64,
            (6, Value::Bytes(b, _)) => meta.description = text(b),
            (7, Value::Bytes(b, at)) => {
                graphs += 1;
                graph(b, at, 0, Some(&mut meta.graph_name))?;
            }
            (8, Value::Bytes(b, at)) => opset(b, at, &mut meta.opsets)?,
            (14, Value::Bytes(b, at)) => custom(b, at, &mut meta)?,
            (25, Value::Bytes(b, at)) => function(b, at)?,
            _ => {}
        }
    }
    if graphs == 0 {
        return Err(not_onnx("it holds no graph"));
    }
    if meta.opsets.is_empty() {
        return Err(not_onnx("it names no operator set"));
    }
    Ok(meta)
}

/// `GraphProto`: nodes, initializers and sparse initializers.
fn graph(bytes: &[u8], at: usize, depth: usize, mut name: Option<&mut String>) -> Result<(), ModelRejected> {
    if depth > DEPTH_MAX {
        return Err(ModelRejected::OutOfBounds {
            message: format!("graphs are nested more than {DEPTH_MAX} deep"),
        });
    }
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(b, at)) => node(b, at, depth)?,
            (2, Value::Bytes(b, _)) => {
                if let Some(name) = name.as_deref_mut() {
                    *name = text(b);
                }
            }
            (5, Value::Bytes(b, at)) => tensor(b, at)?,
            (15, Value::Bytes(b, at)) => sparse_tensor(b, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// `NodeProto`: its attributes hold tensors and graphs.
fn node(bytes: &[u8], at: usize, depth: usize) -> Result<(), ModelRejected> {
    for field in Message::new(bytes, at) {
        if let Field {
            number: 5,
            value: Value::Bytes(b, at),
        } = field?
        {
            attribute(b, at, depth)?;
        }
    }
    Ok(())
}

/// `AttributeProto`.
fn attribute(bytes: &[u8], at: usize, depth: usize) -> Result<(), ModelRejected> {
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (5 | 10, Value::Bytes(b, at)) => tensor(b, at)?,
            (6 | 11, Value::Bytes(b, at)) => graph(b, at, depth + 1, None)?,
            (22 | 23, Value::Bytes(b, at)) => sparse_tensor(b, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// `FunctionProto`: nodes, and default attributes.
fn function(bytes: &[u8], at: usize) -> Result<(), ModelRejected> {
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (7, Value::Bytes(b, at)) => node(b, at, 0)?,
            (11, Value::Bytes(b, at)) => attribute(b, at, 0)?,
            _ => {}
        }
    }
    Ok(())
}

/// `TensorProto`: `external_data` (13) and `data_location` (14, 1 for external).
fn tensor(bytes: &[u8], at: usize) -> Result<(), ModelRejected> {
    let mut name = String::new();
    let mut external = false;
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (8, Value::Bytes(b, _)) => name = text(b),
            (13, Value::Bytes(..)) => external = true,
            (14, Value::Varint(location)) if location != 0 => external = true,
            _ => {}
        }
    }
    if external {
        return Err(ModelRejected::ExternalData { tensor: name });
    }
    Ok(())
}

/// `SparseTensorProto`: values and indices are tensors.
fn sparse_tensor(bytes: &[u8], at: usize) -> Result<(), ModelRejected> {
    for field in Message::new(bytes, at) {
        if let Field {
            number: 1 | 2,
            value: Value::Bytes(b, at),
        } = field?
        {
            tensor(b, at)?;
        }
    }
    Ok(())
}

/// `OperatorSetIdProto`.
fn opset(bytes: &[u8], at: usize, opsets: &mut BTreeMap<String, i64>) -> Result<(), ModelRejected> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(b, _)) => domain = text(b),
            (2, Value::Varint(n)) => version = n as i64,
            _ => {}
        }
    }
    opsets.insert(domain, version);
    if opsets.len() > OPSETS_MAX {
        return Err(ModelRejected::OutOfBounds {
            message: format!("the model names more than {OPSETS_MAX} operator sets"),
        });
    }
    Ok(())
}

/// `StringStringEntryProto` of `metadata_props`.
fn custom(bytes: &[u8], at: usize, meta: &mut OnnxMetadata) -> Result<(), ModelRejected> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Message::new(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(b, _)) => key = b,
            (2, Value::Bytes(b, _)) => value = b,
            _ => {}
        }
    }
    if meta.custom.len() >= CUSTOM_MAX
        || key.len() > CUSTOM_KEY_BYTES_MAX
        || value.len() > CUSTOM_VALUE_BYTES_MAX
    {
        meta.custom_left_out += 1;
        return Ok(());
    }
    let lossless = |b| String::from_utf8_lossy(b).into_owned();
    meta.custom.insert(lossless(key), lossless(value));
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    tidy(&String::from_utf8_lossy(
        bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes),
    ))
}

fn not_onnx(message: impl Into<String>) -> ModelRejected {
    ModelRejected::NotOnnx {
        message: message.into(),
    }
}

/// The fields of one protobuf message, in order. Stops after the first error.
struct Message<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in the file, for errors.
    start: usize,
    position: usize,
}

struct Field<'a> {
    number: u64,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    /// A string, bytes, a packed list or a message, and where it starts in the file.
    Bytes(&'a [u8], usize),
    /// Four or eight bytes that nothing here needs.
    Fixed,
}

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8], start: usize) -> Self {
        Self {
            bytes,
            start,
            position: 0,
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.position)?;
            self.position += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self
            .bytes
            .get(self.position..self.position.checked_add(length)?)?;
        self.position += length;
        Some(taken)
    }

    fn field(&mut self) -> Result<Field<'a>, ModelRejected> {
        let at = self.start + self.position;
        let cut_off = || {
            not_onnx(format!(
                "the field at byte {at} runs past the end of what holds it; the file is cut off or is something else"
            ))
        };
        let tag = self.varint().ok_or_else(cut_off)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(not_onnx(format!("there is no protobuf field at byte {at}")));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint().ok_or_else(cut_off)?),
            1 => self.take(8).map(|_| Value::Fixed).ok_or_else(cut_off)?,
            2 => {
                let length = self.varint().ok_or_else(cut_off)?;
                let start = self.start + self.position;
                let length = usize::try_from(length).map_err(|_| cut_off())?;
                Value::Bytes(self.take(length).ok_or_else(cut_off)?, start)
            }
            5 => self.take(4).map(|_| Value::Fixed).ok_or_else(cut_off)?,
            _ => return Err(not_onnx(format!("there is no protobuf field at byte {at}"))),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<Field<'a>, ModelRejected>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.position = self.bytes.len();
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while n > 0x7f {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }

    /// One length-delimited field.
    fn field(number: usize, content: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(content.len()), content.to_vec()].concat()
    }

    fn model(graph: &[u8]) -> Vec<u8> {
        [vec![8, 10], field(8, &[16, 21]), field(7, graph)].concat()
    }

    #[test]
    fn a_minimal_model() {
        let meta = inspect(&model(&field(2, b"tiny"))).unwrap();
        assert_eq!((meta.ir_version, meta.graph_name.as_str()), (10, "tiny"));
        assert_eq!(meta.opsets, BTreeMap::from([(String::new(), 21)]));
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = model(&field(2, b"tiny"));
        for end in 0..whole.len() {
            let rejected = inspect(&whole[..end]).unwrap_err();
            assert!(
                matches!(rejected, ModelRejected::NotOnnx { .. }),
                "{end}: {rejected}"
            );
        }
    }

    #[test]
    fn external_data_is_found_in_every_corner() {
        let tensor = [field(8, b"w"), vec![14 << 3, 1]].concat();
        let only_paths = [field(8, b"w"), field(13, b"")].concat();
        let sparse = field(1, &tensor);
        let in_attribute = |n, t: &[u8]| field(1, &field(5, &field(n, t)));
        let subgraph = in_attribute(6, &field(5, &tensor));
        for graph in [
            field(5, &tensor),
            field(5, &only_paths),
            field(15, &sparse),
            in_attribute(5, &tensor),
            in_attribute(10, &tensor),
            in_attribute(22, &sparse),
            in_attribute(23, &sparse),
            subgraph.clone(),
            in_attribute(11, &subgraph),
        ] {
            let rejected = inspect(&model(&graph)).unwrap_err();
            assert_eq!(rejected, ModelRejected::ExternalData { tensor: "w".into() });
        }
        let function = field(7, &field(5, &field(5, &tensor)));
        let with_function = [model(b""), field(25, &function)].concat();
        assert!(matches!(
            inspect(&with_function),
            Err(ModelRejected::ExternalData { .. })
        ));
    }

    #[test]
    fn nesting_has_a_bound() {
        let nest = |depth| (0..depth).fold(Vec::new(), |inner, _| field(1, &field(5, &field(6, &inner))));
        assert!(inspect(&model(&nest(DEPTH_MAX))).is_ok());
        assert!(matches!(
            inspect(&model(&nest(DEPTH_MAX + 1))),
            Err(ModelRejected::OutOfBounds { .. })
        ));
    }

    #[test]
    fn custom_metadata_is_bounded() {
        let entry = |k: &str, v: &str| field(14, &[field(1, k.as_bytes()), field(2, v.as_bytes())].concat());
        let mut file = model(b"");
        file.extend(entry("long", &"x".repeat(CUSTOM_VALUE_BYTES_MAX + 1)));
        for i in 0..=CUSTOM_MAX {
            file.extend(entry(&i.to_string(), "v"));
        }
        let meta = inspect(&file).unwrap();
        assert_eq!((meta.custom.len(), meta.custom_left_out), (CUSTOM_MAX, 2));
    }

    #[test]
    fn other_files_are_told_apart() {
        for (bytes, says) in [
            (&b""[..], "no graph"),
            (b"\0\0\0\0ORTM    ", ".ort format"),
            (b"PK\x03\x04", "byte 2"),
            (b"\0asm", "byte 0"),
        ] {
            let message = inspect(bytes).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
