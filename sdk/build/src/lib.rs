//! Turns plugin crates into WebAssembly components.
//!
//! Two steps, each usable alone:
//!
//! 1. [`Toolchain`] finds, or puts in place, a compiler that can target `wasm32-unknown-unknown`:
//!    rustup's target where it is there or can be had, else Debian's `rustc-web` with the standard
//!    library built from source.
//! 2. [`build_component`] and [`build_packages`] run cargo with it and encode the core modules as
//!    components, validated.
//!
//! What fails: no compiler and none to be had ([`ToolchainError`] lists every place looked at); a
//! crate that doesn't compile ([`BuildError::Cargo`] carries the compiler's own words); a crate
//! that compiles and is no plugin ([`BuildError::Encode`]).
//!
//! Guests are built in a target folder of their own (`target/guests`): another compiler version,
//! or another cargo that holds the host's lock, never gets in the way of the host's builds.

mod build;
mod encode;
mod metadata;
mod run;
mod toolchain;

pub use build::{BuildError, BuildOptions, Built, Guest, build_component, build_packages};
pub use encode::{EncodeError, encode};
pub use metadata::{Metadata, Package};
pub use run::RunError;
pub use toolchain::{Programs, Route, Search, Toolchain, ToolchainError};

/// The target that guests are built for: no WASI, so a component imports only what its world says.
pub const TARGET: &str = "wasm32-unknown-unknown";
