//! Programs of others that tests run.
//!
//! | module | what |
//! | --- | --- |
//! | `browser` (with the feature of that name) | a headless browser that looks at a page without a network |
//! | [`python`] | virtual environments with pinned packages |

#[cfg(feature = "browser")]
pub mod browser;
pub mod python;
