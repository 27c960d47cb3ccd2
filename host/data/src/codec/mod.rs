//! What the codecs share: errors, limits, the JSON reader, and the way from a written value to an
//! element of a block.

mod element;
mod error;
mod json;
mod limits;
mod nested;
mod number;
mod rows;
mod sift;
mod write;

pub(crate) use element::{BytesAs, Elements, Token, out_of_range};
pub use error::{DecodeError, code};
pub(crate) use error::{cut, refuse};
pub(crate) use json::{Reader, is_plain};
pub use limits::DecodeLimits;
pub(crate) use nested::read_nested;
pub(crate) use rows::RowFiller;
pub use sift::Sifted;
pub(crate) use sift::sift;
pub(crate) use write::{BytesForm, ElementWriter, FloatForm, write_base64, write_json_string};
