//! What ties one record to the next.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::Record;

/// A SHA-256; of nothing yet by default. Its text form is 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Hash([u8; Self::BYTES]);

impl Hash {
    /// Bytes of a SHA-256.
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let hasher = parts
            .iter()
            .fold(Sha256::new(), |hasher, part| hasher.chain_update(part));
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A record as the next one sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number; 0 before the first.
    pub(crate) seq: u64,
    /// The hash of its line.
    pub(crate) hash: Hash,
}

impl Link {
    /// What this line is to the next, whatever it holds.
    pub(crate) fn of(seq: u64, line: &[u8]) -> Self {
        Self {
            seq,
            hash: Hash::of(line),
        }
    }

    /// Does the record come right after this?
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check_next(&self, record: &Record) -> Result<(), String> {
        if record.seq != self.seq.wrapping_add(1) {
            return Err(format!(
                "is record {}, and follows record {}: records were removed, inserted or moved",
                record.seq, self.seq
            ));
        }
        if record.prev != self.hash.to_string() {
            return Err(format!(
                "doesn't follow the line before: record {} or {} was replaced",
                self.seq, record.seq
            ));
        }
        Ok(())
    }
}
