//! Models as the sandbox knows them: whoever has some implements [`Graphs`] and [`Graph`].
//!
//! Types and error codes are those of `wasi:nn`; guests reach them through `crate::nn`.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::nn::{errors, tensor};

/// The models that a stage may use, by the names that its deployment grants.
pub trait Graphs: Send + Sync {
    /// The model of this name.
    ///
    /// # Errors
    ///
    /// [`GraphErrorCode::NotFound`] for a name that isn't granted, whether or not there is such a
    /// model.
    fn load_by_name(&self, name: &str) -> Result<Arc<dyn Graph>, GraphError>;
}

/// One model.
pub trait Graph: Send + Sync {
    /// Run it on named inputs; gives named outputs. The sandbox has checked that each tensor's data
    /// has the length that its dimensions and type ask for. Dropping the future cancels the run.
    fn compute(
        &self,
        inputs: Vec<(String, GraphTensor)>,
    ) -> BoxFuture<'_, Result<Vec<(String, GraphTensor)>, GraphError>>;
}

/// A tensor of `wasi:nn`: row-major, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphTensor {
    /// Its shape.
    pub dims: Vec<u32>,
    /// Its element type.
    pub ty: TensorType,
    /// Its elements.
    pub data: Vec<u8>,
}

impl GraphTensor {
    /// Bytes that the shape and the type ask for; `None` past `usize`.
    pub fn expected_bytes(&self) -> Option<usize> {
        self.dims
            .iter()
            .try_fold(self.ty.width(), |n, &d| n.checked_mul(usize::try_from(d).ok()?))
    }
}

macro_rules! same_enum {
    ($(#[$doc:meta])* $name:ident <-> $wire:path { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl From<$wire> for $name {
            fn from(wire: $wire) -> Self {
                use $wire as Wire;
                match wire { $(Wire::$variant => Self::$variant),* }
            }
        }

        impl From<$name> for $wire {
            fn from(ours: $name) -> Self {
                match ours { $($name::$variant => Self::$variant),* }
            }
        }
    };
}

same_enum! {
    /// The element types that `wasi:nn` knows.
    TensorType <-> tensor::TensorType {
        /// IEEE 754 binary16.
        Fp16,
        /// IEEE 754 binary32.
        Fp32,
        /// IEEE 754 binary64.
        Fp64,
        /// bfloat16.
        Bf16,
        /// Unsigned byte.
        U8,
        /// 32-bit integer.
        I32,
        /// 64-bit integer.
        I64,
    }
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

same_enum! {
    /// The error codes of `wasi:nn`.
    GraphErrorCode <-> errors::ErrorCode {
        /// The caller passed an argument that can't be.
        InvalidArgument,
        /// The model's encoding isn't known.
        InvalidEncoding,
        /// The run took too long.
        Timeout,
        /// The run failed.
        RuntimeError,
        /// The operation isn't offered.
        UnsupportedOperation,
        /// The model is too large.
        TooLarge,
        /// No such model, or not granted.
        NotFound,
        /// The operation isn't allowed.
        Security,
        /// Anything else.
        Unknown,
    }
}

/// Why a model can't be loaded or run; the guest reads both parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GraphError {
    /// What kind of failure.
    pub code: GraphErrorCode,
    /// For a person.
    pub message: String,
}

impl GraphError {
    /// An error of this kind.
    pub fn new(code: GraphErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
