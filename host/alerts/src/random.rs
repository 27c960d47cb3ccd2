//! Random numbers and ids.

use crate::AlertsError;

/// Bytes of an id, before they are hexadecimal.
const ID_BYTES: usize = 16;

/// An id that nothing else has.
pub(crate) fn id() -> Result<String, AlertsError> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(AlertsError::Random)?;
    Ok(hex::encode(bytes))
}

/// Any number, for spreading pauses; without random numbers the longest pause.
pub(crate) fn number() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
