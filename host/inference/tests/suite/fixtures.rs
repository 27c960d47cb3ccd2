//! Models and expected results that `fixtures/make.py` made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use caisson_data::{DataType, Values, VarLen};
use caisson_inference::{Input, Model, Runtime, SessionOptions};
use serde::Deserialize;

pub(crate) fn file(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{model}.onnx"))
}

pub(crate) fn library() -> PathBuf {
    let library = std::env::var_os("CAISSON_ONNXRUNTIME").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.caisson/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    );
    assert!(
        library.exists(),
        "there is no ONNX Runtime at {}; run `cargo xtask setup` or set CAISSON_ONNXRUNTIME",
        library.display()
    );
    library
}

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(&library()).unwrap())
}

pub(crate) fn model(name: &str) -> Model {
    with_sessions(name, 2)
}

pub(crate) fn with_sessions(name: &str, sessions: usize) -> Model {
    let options = SessionOptions {
        sessions: Some(sessions),
        ..SessionOptions::default()
    };
    Model::load(runtime(), &file(name), &options).unwrap()
}

/// A deadline that no test should reach.
pub(crate) fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) model: String,
    pub(crate) inputs: Vec<Expected>,
    pub(crate) outputs: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) data_type: DataType,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Data {
    Hex(String),
    Texts(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct File {
    cpu: BTreeSet<String>,
    cases: Vec<Case>,
}

fn expected() -> File {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/expected.json"));
    serde_json::from_str(&text.unwrap()).unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    expected().cases
}

/// Has this machine the vector instructions of the one that made the expected results?
fn same_processor() -> bool {
    static SAME: OnceLock<bool> = OnceLock::new();
    *SAME.get_or_init(|| {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = info.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
        let vector = |f: &&str| ["avx", "fma", "amx"].iter().any(|p| f.starts_with(p));
        let here = flags.split_whitespace().filter(vector).map(str::to_owned).collect();
        let same = expected().cpu == here;
        if !same {
            eprintln!("the expected results are of a processor with other vector instructions: six digits must agree");
        }
        same
    })
}

/// The same bits; on a processor of another kind, the same but for the last digits of floats.
pub(crate) fn assert_bits(found: &Values, expected: &Values, what: &str) {
    if same_processor() {
        assert_eq!(bits(found), bits(expected), "{what}");
        return;
    }
    let close = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    match (found, expected) {
        (Values::Fp32(a), Values::Fp32(b)) => {
            assert_eq!(a.len(), b.len(), "{what}");
            assert!(
                a.iter().zip(b).all(|(&a, &b)| close(a.into(), b.into())),
                "{what}: {a:?} {b:?}"
            );
        }
        _ => assert_eq!(bits(found), bits(expected), "{what}"),
    }
}

impl Expected {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::Hex(hex) => hex::decode(hex).unwrap(),
            Data::Texts(_) => panic!("{} is text", self.name),
        }
    }

    pub(crate) fn values(&self) -> Values {
        if let Data::Texts(texts) = &self.data {
            return Values::Text(varlen(texts));
        }
        self.values_of(&self.bytes())
    }

    /// These bytes as elements of the same type.
    pub(crate) fn values_of(&self, bytes: &[u8]) -> Values {
        macro_rules! list {
            ($ty:ty) => {
                bytes
                    .chunks_exact(size_of::<$ty>())
                    .map(|c| <$ty>::from_le_bytes(c.try_into().unwrap()))
                    .collect()
            };
        }
        match self.data_type {
            DataType::Boolean => Values::Boolean(bytes.to_vec()),
            DataType::Uint8 => Values::Uint8(bytes.to_vec()),
            DataType::Uint16 => Values::Uint16(list!(u16)),
            DataType::Uint32 => Values::Uint32(list!(u32)),
            DataType::Uint64 => Values::Uint64(list!(u64)),
            DataType::Int8 => Values::Int8(list!(i8)),
            DataType::Int16 => Values::Int16(list!(i16)),
            DataType::Int32 => Values::Int32(list!(i32)),
            DataType::Int64 => Values::Int64(list!(i64)),
            DataType::Fp16 => Values::Fp16(list!(u16)),
            DataType::Bf16 => Values::Bf16(list!(u16)),
            DataType::Fp32 => Values::Fp32(list!(f32)),
            DataType::Fp64 => Values::Fp64(list!(f64)),
            DataType::Text | DataType::Bytes => panic!("{} has no bytes", self.name),
        }
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input::owned(&self.name, &self.shape, self.values())
    }
}

pub(crate) fn varlen<S: AsRef<str>>(texts: &[S]) -> VarLen {
    let mut all = VarLen::default();
    for text in texts {
        all.push(text.as_ref().as_bytes()).unwrap();
    }
    all
}

/// Little-endian bytes, for comparisons that see every bit; text as its elements, end to end with
/// their offsets.
pub(crate) fn bits(values: &Values) -> Vec<u8> {
    macro_rules! bytes {
        ($list:expr) => {
            $list.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
    }
    match values {
        Values::Boolean(list) | Values::Uint8(list) => list.clone(),
        Values::Uint16(list) | Values::Fp16(list) | Values::Bf16(list) => bytes!(list),
        Values::Uint32(list) => bytes!(list),
        Values::Uint64(list) => bytes!(list),
        Values::Int8(list) => bytes!(list),
        Values::Int16(list) => bytes!(list),
        Values::Int32(list) => bytes!(list),
        Values::Int64(list) => bytes!(list),
        Values::Fp32(list) => bytes!(list),
        Values::Fp64(list) => bytes!(list),
        Values::Text(list) | Values::Bytes(list) => list
            .offsets
            .iter()
            .flat_map(|o| o.to_le_bytes())
            .chain(list.data.iter().copied())
            .collect(),
    }
}
