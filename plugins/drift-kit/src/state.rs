//! The frame around a sketched reference: whose it is, which layout, and whether it is whole.
//!
//! A state outlives the plugin version that wrote it, and a damaged one decodes into numbers as
//! plausible as the right ones. So it starts with a magic word, the layout's version, the method's
//! name and a checksum of what follows; [`decode`] says which of them doesn't fit.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `CSNDRIFT` |
//! | 2 | version of the layout, little-endian |
//! | 1 + n | length of the method's name, the name |
//! | 8 | FNV-1a of the rest, little-endian |
//! | rest | the sketches in postcard's wire format |

use caisson_plugin::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::features::{Feature, Kind};
use crate::words::quoted;

const MAGIC: &[u8; 8] = b"CSNDRIFT";
/// Raise with every change of a sketch's fields or their meaning.
const VERSION: u16 = 1;

/// Frame and encode sketches.
///
/// # Errors
///
/// [`Error::Internal`] where they can't be encoded.
pub fn encode<T: Serialize>(method: &str, sketches: &T) -> Result<Vec<u8>, Error> {
    let body = postcard::to_allocvec(sketches)
        .map_err(|e| Error::internal(format!("the reference can't be encoded: {e}")))?;
    let length = u8::try_from(method.len())
        .map_err(|_| Error::internal(format!("the method's name is too long: {method}")))?;
    let mut state = Vec::with_capacity(MAGIC.len() + method.len() + body.len() + 11);
    state.extend_from_slice(MAGIC);
    state.extend_from_slice(&VERSION.to_le_bytes());
    state.push(length);
    state.extend_from_slice(method.as_bytes());
    state.extend_from_slice(&checksum(&body).to_le_bytes());
    state.extend_from_slice(&body);
    Ok(state)
}

/// Check the frame and decode the sketches. What they say still has to be checked.
///
/// # Errors
///
/// [`Error::Internal`] that names what doesn't fit.
pub fn decode<T: DeserializeOwned>(method: &str, state: &[u8]) -> Result<T, Error> {
    let foreign = |what: &str| {
        Error::internal(format!(
            "the reference's state is {what}; fit the reference again"
        ))
    };
    let cut = || foreign("cut off");
    let rest = state
        .strip_prefix(MAGIC)
        .ok_or_else(|| foreign("not that of a drift check"))?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        let what = format!("of layout {version}, and this plugin reads layout {VERSION}");
        return Err(foreign(&what));
    }
    let (length, rest) = rest.split_first().ok_or_else(cut)?;
    let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(cut)?;
    if name != method.as_bytes() {
        let name = String::from_utf8_lossy(name);
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        return Err(foreign(&format!(
            "that of the method `{name}`, and this is `{method}`"
        )));
    }
    let (sum, body) = rest.split_first_chunk().ok_or_else(cut)?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return Err(foreign("damaged: its checksum doesn't fit"));
    }
    match postcard::take_from_bytes(body) {
        Ok((sketches, [])) => Ok(sketches),
        Ok(_) => Err(foreign("damaged: bytes are left over")),
        Err(e) => Err(foreign(&format!("damaged: {e}"))),
    }
}

/// The error for a state whose frame is right and whose content can't be.
pub fn unsound(what: &str) -> Error {
    Error::internal(format!(
        "the reference's state is damaged: {what}; fit the reference again"
    ))
}

/// Insist that a state is of the features that are checked now.
///
/// # Errors
///
/// [`Error::Internal`] that names the first difference.
pub fn same_features<'a>(
    fitted: impl ExactSizeIterator<Item = (&'a str, bool)>,
    checked: impl Iterator<Item = &'a Feature>,
) -> Result<(), Error> {
    let differs = |what: &str| {
        Err(Error::internal(format!(
            "the reference was fitted under another config: {what}; fit the reference again"
        )))
    };
    let count = fitted.len();
    let mut checked = checked.peekable();
    for (name, is_category) in fitted {
        match checked.next() {
            Some(feature) if feature.name != name => {
                return differs(&format!(
                    "its feature is {} where this check has `{}`",
                    quoted(name),
                    feature.name
                ));
            }
            Some(feature) if (feature.kind == Kind::Category) != is_category => {
                return differs(&format!("`{}` changed between number and category", feature.name));
            }
            Some(_) => {}
            None => return differs(&format!("it has {count} features, more than are checked now")),
        }
    }
    match checked.next() {
        None => Ok(()),
        Some(feature) => differs(&format!("it doesn't have `{}`", feature.name)),
    }
}

/// FNV-1a in 64 bits: against accidents, not against an attacker, who can't reach a tenant's state.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let sketches = (vec![1.5f64, f64::INFINITY], "a".to_owned());
        let state = encode("ks", &sketches).unwrap();
        assert_eq!(decode::<(Vec<f64>, String)>("ks", &state).unwrap(), sketches);
    }

    #[test]
    fn a_foreign_or_damaged_state_is_named_as_such() {
        type Sketches = Vec<u32>;
        let state = encode("ks", &vec![1u32, 2, 3]).unwrap();
        let error = |method: &str, state: &[u8]| decode::<Sketches>(method, state).unwrap_err().to_string();
        assert!(error("psi", &state).contains("that of the method `ks`, and this is `psi`"));
        assert!(error("ks", b"").contains("not that of a drift check"));
        assert!(error("ks", b"{\"edges\":[]}").contains("not that of a drift check"));
        let mut newer = state.clone();
        newer[8] = 9;
        assert!(error("ks", &newer).contains("of layout 9, and this plugin reads layout 1"));
        // Every cut and every flipped bit is seen.
        for end in 0..state.len() {
            assert!(decode::<Sketches>("ks", &state[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..state.len() * 8 {
            let mut flipped = state.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Sketches>("ks", &flipped).is_err(), "bit {bit}");
        }
        let mut longer = state;
        longer.push(0);
        assert!(error("ks", &longer).contains("damaged"));
    }
}
