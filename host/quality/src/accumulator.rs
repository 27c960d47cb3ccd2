//! What gathers rows at bounded memory, and the frame in which its state is kept.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Gathers rows one by one; parts gathered apart can be put together in any order and grouping.
///
/// Where a state is made of counts and sums, merging gives what one pass over all rows gives (sums
/// within rounding). Sketches keep their documented error through any merging.
pub trait Accumulator: Clone + Serialize + DeserializeOwned {
    /// One row.
    type Row<'a>;

    /// Take a row in. A row that can't be used is counted as such, never refused.
    fn add(&mut self, row: Self::Row<'_>);

    /// Take in what another gathered.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where the two were made with different settings; nothing is changed then.
    fn merge(&mut self, other: &Self) -> Result<(), Mismatch>;

    /// About how many bytes of memory it holds.
    fn bytes(&self) -> usize;
}

/// Two states that can't be put together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("can't merge: {what} is {ours} here and {theirs} there")]
pub struct Mismatch {
    what: &'static str,
    ours: String,
    theirs: String,
}

impl Mismatch {
    /// Insist that a setting is the same on both sides.
    ///
    /// # Errors
    ///
    /// It isn't.
    pub fn unless_same<T: PartialEq + std::fmt::Debug>(
        what: &'static str,
        ours: &T,
        theirs: &T,
    ) -> Result<(), Self> {
        if ours == theirs {
            Ok(())
        } else {
            Err(Self {
                what,
                ours: format!("{ours:?}"),
                theirs: format!("{theirs:?}"),
            })
        }
    }
}

/// Raise with every change of a state's fields or their meaning.
const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"CSNQUALI";
/// The largest state that is read or written. A window of 10,000 panes with a sketch of 20 KB each is
/// 200 MB; more is a setting gone wrong.
pub const STATE_BYTES_MAX: usize = 256 << 20;

/// A state that can't be kept or taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// Larger than [`STATE_BYTES_MAX`].
    #[error("the state has {0} bytes, more than {STATE_BYTES_MAX}; use fewer panes or segments")]
    TooLarge(usize),
    /// Bytes of something else.
    #[error("these bytes are no state of a quality accumulator")]
    Foreign,
    /// Written by another release.
    #[error("the state is of layout {0}, and this release reads layout {VERSION}; start it anew")]
    Version(u16),
    /// Of another kind of accumulator.
    #[error("the state is that of `{found}`, and `{expected}` is asked for")]
    Kind {
        /// What it is of.
        found: String,
        /// What it should be of.
        expected: String,
    },
    /// Cut off or changed.
    #[error("the state is damaged: {0}")]
    Damaged(String),
}

/// Frame and encode a state. `kind` says what it is of, so that it isn't read as something else: a name
/// with the settings that matter.
///
/// # Errors
///
/// [`StateError::TooLarge`], and [`StateError::Damaged`] where it can't be encoded.
pub fn save<T: Serialize>(kind: &str, state: &T) -> Result<Vec<u8>, StateError> {
    let body = postcard::to_allocvec(&(kind, state)).map_err(damaged)?;
    if body.len() > STATE_BYTES_MAX {
        return Err(StateError::TooLarge(body.len()));
    }
    let mut bytes = Vec::with_capacity(body.len() + 18);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&checksum(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Check the frame and decode the state.
///
/// # Errors
///
/// What doesn't fit, as [`StateError`] lists.
pub fn load<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Result<T, StateError> {
    if bytes.len() > STATE_BYTES_MAX {
        return Err(StateError::TooLarge(bytes.len()));
    }
    let cut = || StateError::Damaged("it is cut off".into());
    let rest = bytes.strip_prefix(MAGIC).ok_or(StateError::Foreign)?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let (sum, body) = rest.split_first_chunk().ok_or_else(cut)?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return Err(StateError::Damaged("its checksum doesn't fit".into()));
    }
    let (found, body) = postcard::take_from_bytes::<String>(body).map_err(damaged)?;
    if found != kind {
        let expected = kind.to_owned();
        return Err(StateError::Kind { found, expected });
    }
    match postcard::take_from_bytes(body) {
        Ok((state, [])) => Ok(state),
        Ok(_) => Err(StateError::Damaged("bytes are left over".into())),
        Err(e) => Err(damaged(e)),
    }
}

fn damaged(e: postcard::Error) -> StateError {
    StateError::Damaged(e.to_string())
}

/// FNV-1a: finds accidents. Nobody outside can write a state.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
