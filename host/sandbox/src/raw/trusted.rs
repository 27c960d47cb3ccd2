//! Taking compiled code into the process. wasmtime can't check that native code is what its compiler made;
//! [`Trusted`] carries that proof.

use std::fs::File;
use std::os::fd::AsRawFd;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code whose origin is known: our own compiling child, directly or by way of a file
/// that carries our authentication code. Nothing uploaded ever becomes one.
pub(crate) enum Trusted {
    /// Held in memory.
    Bytes(Vec<u8>),
    /// In a file: what is used of it is in memory, and what several processes use only once.
    Kept(File),
}

impl Trusted {
    /// What the compiling child just wrote into its pipe.
    pub(crate) fn from_child(code: Vec<u8>) -> Self {
        Self::Bytes(code)
    }

    /// A file that begins with what [`crate::cache`] wrote, and whose HMAC it found right.
    pub(crate) fn from_cache(file: File) -> Self {
        Self::Kept(file)
    }

    /// Load the code. wasmtime itself refuses code of another version, another processor or other
    /// settings.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: both functions need what wasmtime's compiler made and nobody changed since. A
        // `Trusted` is made in two places only (see its constructors' callers). From the answer of
        // the compiling child, which runs `Engine::precompile_component`: those bytes are owned and
        // immutable. And from a cache file after its HMAC-SHA256, under a key that never leaves this
        // host, was verified over all of its code: the very file that was verified is mapped, not
        // another one that its name may lead to by now. Files of the cache are written under a
        // temporary name and never again once they have theirs, and the folder is this user's alone
        // (mode 0700); whoever can write there all the same has the key too, and this process.
        unsafe {
            match self {
                Self::Bytes(code) => Component::deserialize(engine, code),
                Self::Kept(file) => {
                    Component::deserialize_file(engine, format!("/proc/self/fd/{}", file.as_raw_fd()))
                }
            }
        }
    }
}
