//! The one place with `unsafe`: taking compiled code into the process.

#![allow(
    unsafe_code,
    reason = "wasmtime can't check that native code is what its compiler made; the type below carries that proof"
)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code whose origin is known: our own compiling child, directly or by way of a file
/// that carries our authentication code. Nothing uploaded ever becomes one.
pub(crate) struct Trusted(Vec<u8>);

impl Trusted {
    /// What the compiling child just wrote into its pipe.
    pub(super) fn from_child(code: Vec<u8>) -> Self {
        Self(code)
    }

    /// What [`crate::cache`] read and whose HMAC it found right.
    pub(super) fn from_cache(code: Vec<u8>) -> Self {
        Self(code)
    }

    /// The bytes, to be kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Load the code. wasmtime itself refuses code of another version, another processor or other
    /// settings.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` needs bytes that wasmtime's compiler made and nobody changed since.
        // A `Trusted` is made in two places only (see its constructors' callers): from the answer
        // of the compiling child, which runs `Engine::precompile_component`, and from a cache file
        // after its HMAC-SHA256, under a key that never leaves this host, was verified over all of
        // these bytes. They are owned and immutable from then on.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
