//! Programs of others that tests run.
//!
//! | module | what |
//! | --- | --- |
//! | [`browser`] | a headless browser that looks at a page without a network |
//! | [`python`] | virtual environments with pinned packages |

pub mod browser;
pub mod python;
