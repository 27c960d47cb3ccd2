//! Models that the host runs, for [`Predictor`](crate::Predictor)s: `wasi:nn`, by name.
//!
//! A deployment grants a predictor the models that it may use. [`Models::load`] finds one by the
//! name that the deployment gave it, [`Model::run`] runs it on named tensors. The session is the
//! host's: nothing is loaded from bytes, and a model that is used by several deployments is in
//! memory once.
//!
//! ```
//! use caisson_plugin::prelude::*;
//!
//! fn score(models: &mut Models, rows: u32, features: &[f32]) -> Result<Vec<f32>, Error> {
//!     let outputs = models.load("churn")?.run(&[("X", &[rows, 3], features.into())])?;
//!     outputs.get("probability")?.to_fp32s()
//! }
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::Error;

/// The type of a tensor's elements: those of `wasi:nn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in wasi:nn")]
pub enum TensorType {
    Fp16,
    Fp32,
    Fp64,
    Bf16,
    U8,
    I32,
    I64,
}

impl TensorType {
    /// Bytes of one element.
    pub const fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::Fp16 | Self::Bf16 => 2,
            Self::Fp32 | Self::I32 => 4,
            Self::Fp64 | Self::I64 => 8,
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
            Self::Fp64 => "fp64",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::I64 => "i64",
        })
    }
}

/// Elements of an input, borrowed: a slice of numbers turns into this by `into()`. For the half
/// types, which Rust doesn't have, name the variant: the slice holds their bits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "named as in wasi:nn")]
pub enum Elements<'a> {
    Fp16(&'a [u16]),
    Fp32(&'a [f32]),
    Fp64(&'a [f64]),
    Bf16(&'a [u16]),
    U8(&'a [u8]),
    I32(&'a [i32]),
    I64(&'a [i64]),
}

impl<'a> Elements<'a> {
    /// Type of the elements.
    pub fn tensor_type(self) -> TensorType {
        match self {
            Self::Fp16(_) => TensorType::Fp16,
            Self::Fp32(_) => TensorType::Fp32,
            Self::Fp64(_) => TensorType::Fp64,
            Self::Bf16(_) => TensorType::Bf16,
            Self::U8(_) => TensorType::U8,
            Self::I32(_) => TensorType::I32,
            Self::I64(_) => TensorType::I64,
        }
    }

    /// Their bytes, without a copy.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Fp16(v) | Self::Bf16(v) => bytemuck::cast_slice(v),
            Self::Fp32(v) => bytemuck::cast_slice(v),
            Self::Fp64(v) => bytemuck::cast_slice(v),
            Self::U8(v) => v,
            Self::I32(v) => bytemuck::cast_slice(v),
            Self::I64(v) => bytemuck::cast_slice(v),
        }
    }
}

macro_rules! elements_from {
    ($($variant:ident, $ty:ty;)*) => {$(
        impl<'a> From<&'a [$ty]> for Elements<'a> {
            fn from(elements: &'a [$ty]) -> Self {
                Self::$variant(elements)
            }
        }

        impl<'a> From<&'a Vec<$ty>> for Elements<'a> {
            fn from(elements: &'a Vec<$ty>) -> Self {
                Self::$variant(elements)
            }
        }
    )*};
}

elements_from! {
    Fp32, f32;
    Fp64, f64;
    U8, u8;
    I32, i32;
    I64, i64;
}

/// Name, dimensions and elements of one input of a model. The dimensions include the batch's, and
/// their product is the number of elements.
pub type Input<'a> = (&'a str, &'a [u32], Elements<'a>);

/// A model's output: dimensions and elements, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    dimensions: Vec<u32>,
    tensor_type: TensorType,
    data: Vec<u8>,
}

macro_rules! typed_vecs {
    ($($(#[$doc:meta])* $name:ident, $variant:pat, $ty:ty, $expected:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// [`Error::Internal`] for a tensor of another type.
        pub fn $name(&self) -> Result<Vec<$ty>, Error> {
            match self.tensor_type {
                $variant => Ok(bytemuck::pod_collect_to_vec(&self.data)),
                other => Err(Error::Internal(format!(
                    concat!("the tensor holds {} where ", $expected, " was asked for"),
                    other
                ))),
            }
        }
    )*};
}

impl Tensor {
    /// A tensor of these elements, as a fake model gives it.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the product of the dimensions isn't the number of elements.
    pub fn new(dimensions: &[u32], elements: Elements<'_>) -> Result<Self, Error> {
        Self::from_bytes(
            dimensions.to_vec(),
            elements.tensor_type(),
            elements.as_bytes().to_vec(),
        )
    }

    pub(crate) fn from_bytes(
        dimensions: Vec<u32>,
        tensor_type: TensorType,
        data: Vec<u8>,
    ) -> Result<Self, Error> {
        check_length(&dimensions, tensor_type, data.len()).map_err(Error::Internal)?;
        Ok(Self {
            dimensions,
            tensor_type,
            data,
        })
    }

    /// Its dimensions, the batch's among them.
    pub fn dimensions(&self) -> &[u32] {
        &self.dimensions
    }

    /// Type of the elements.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.tensor_type.width()
    }

    /// Has it no element?
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The bytes of the elements, little-endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    typed_vecs! {
        /// The elements of an `fp32` tensor.
        to_fp32s, TensorType::Fp32, f32, "fp32";
        /// The elements of an `fp64` tensor.
        to_fp64s, TensorType::Fp64, f64, "fp64";
        /// The bits of the elements of an `fp16` or `bf16` tensor.
        to_half_bits, TensorType::Fp16 | TensorType::Bf16, u16, "fp16 or bf16";
        /// The elements of a `u8` tensor.
        to_u8s, TensorType::U8, u8, "u8";
        /// The elements of an `i32` tensor.
        to_i32s, TensorType::I32, i32, "i32";
        /// The elements of an `i64` tensor.
        to_i64s, TensorType::I64, i64, "i64";
    }
}

fn check_length(dimensions: &[u32], tensor_type: TensorType, bytes: usize) -> Result<(), String> {
    let expected = dimensions
        .iter()
        .try_fold(tensor_type.width(), |n, &d| n.checked_mul(d as usize));
    if expected == Some(bytes) {
        return Ok(());
    }
    Err(format!(
        "dimensions {dimensions:?} don't fit {} elements of type {tensor_type}",
        bytes / tensor_type.width()
    ))
}

/// What a model gave, by output name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs(Vec<(String, Tensor)>);

impl Outputs {
    /// The outputs of a model, or of a fake one.
    pub fn new(outputs: Vec<(String, Tensor)>) -> Self {
        Self(outputs)
    }

    /// The output of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`], naming the outputs that there are.
    pub fn get(&self, name: &str) -> Result<&Tensor, Error> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| {
                let names: Vec<_> = self.0.iter().map(|(n, _)| format!("`{n}`")).collect();
                Error::Internal(format!(
                    "the model has no output `{name}`; its outputs are {}",
                    names.join(", ")
                ))
            })
    }

    /// All outputs, in the model's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// One loaded model, whatever runs it.
pub(crate) trait Session {
    fn compute(&self, inputs: &[Input<'_>]) -> Result<Outputs, String>;
}

/// Finds a model by name.
pub(crate) type Loader = Box<dyn Fn(&str) -> Result<Box<dyn Session>, String>>;

/// The models that the deployment grants. Under `cargo test`, see
/// [`testing::models`](crate::testing::models).
pub struct Models {
    loader: Loader,
    loaded: BTreeMap<String, Box<dyn Session>>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models")
            .field("loaded", &self.loaded.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Models {
    pub(crate) fn new(loader: Loader) -> Self {
        Self {
            loader,
            loaded: BTreeMap::new(),
        }
    }

    /// Where models come from; for adding to it.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn into_loader(self) -> Loader {
        self.loader
    }

    /// The model of this name. Loaded once for an instance, so asking again costs nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the deployment doesn't grant the model or the host can't load it.
    pub fn load(&mut self, name: &str) -> Result<Model<'_>, Error> {
        if !self.loaded.contains_key(name) {
            let session = (self.loader)(name)
                .map_err(|e| Error::Internal(format!("model `{name}` can't be loaded: {e}")))?;
            self.loaded.insert(name.to_owned(), session);
        }
        match self.loaded.get_key_value(name) {
            Some((name, session)) => Ok(Model {
                name,
                session: session.as_ref(),
            }),
            None => Err(Error::Internal(format!("model `{name}` was lost"))),
        }
    }
}

/// A loaded model.
pub struct Model<'a> {
    name: &'a str,
    session: &'a dyn Session,
}

impl fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.name).finish()
    }
}

impl Model<'_> {
    /// Run the model.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for dimensions that don't fit the elements (the input is named), and for
    /// whatever the host's runtime refuses, with its own words.
    pub fn run(&self, inputs: &[Input<'_>]) -> Result<Outputs, Error> {
        for (input, dimensions, elements) in inputs {
            check_length(dimensions, elements.tensor_type(), elements.as_bytes().len())
                .map_err(|e| Error::Internal(format!("model `{}`, input `{input}`: {e}", self.name)))?;
        }
        self.session
            .compute(inputs)
            .map_err(|e| Error::Internal(format!("model `{}`: {e}", self.name)))
    }
}
