//! The WebAssembly side of the contract. Nothing here is compiled natively.
