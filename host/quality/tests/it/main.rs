//! The metrics against values of scikit-learn, and what must hold for any rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod binary;
mod classes;
mod reference;
mod regression;
mod sketches;
mod windows;
