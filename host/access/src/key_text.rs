//! A key as its holder has it: `csn_<id>_<secret>`.
//!
//! The id is public: it finds the key, and stands in lists and logs. The secret is 43 random
//! characters of 62, which is 256 bits, and leaves this process once, when the key is made. What is
//! kept is its SHA-256. A slow hash (Argon2, bcrypt) makes guessing *likely* secrets dear; among
//! 2^256 equally likely ones there is nothing to guess, so a fast hash gives away just as little, and
//! a request doesn't wait 50 ms for it.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::AccessError;

/// What every key begins with, for people and for scanners that look for leaked secrets.
const PREFIX: &str = "csn_";
/// Characters of an id: 71 bits, so that two never meet.
const ID_CHARS: usize = 12;
/// Characters of a secret: the fewest of 62 that hold 32 bytes.
const SECRET_CHARS: usize = 43;
/// Letters and digits, so that a double click selects a whole part.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Different characters in a secret that a person gives. A random one has 31 on average, and fewer
/// than this 5 times in 10^12; `aaaa…`, repeated words and hexadecimal digits have fewer.
const GIVEN_DISTINCT_CHARS_MIN: usize = 17;

/// A whole key, secret included: shown once, to who asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// A new random one. It opens nothing until it is stored.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, AccessError> {
        let (id, secret) = (random_text(ID_CHARS)?, random_text(SECRET_CHARS)?);
        Ok(Self(format!("{PREFIX}{id}_{secret}")))
    }

    /// One that a person gives, if it has the form and its secret could be random.
    pub(crate) fn given(text: &str) -> Option<Self> {
        Parts::of(text)
            .filter(|parts| parts.looks_random())
            .map(|_| Self(text.to_owned()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without the secret, so that no log line has it by accident.
impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// An id as keys in memory are found by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId([u8; ID_CHARS]);

impl KeyId {
    /// The id, if the text has as many bytes as one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }
}

/// The two parts of a presented key.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) id: &'a str,
    pub(crate) key_id: KeyId,
    secret: &'a str,
}

impl<'a> Parts<'a> {
    /// The parts, if the text has the form of a key.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let key_id = KeyId::of(id)?;
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        (secret.len() == SECRET_CHARS && plain(id) && plain(secret)).then_some(Self { id, key_id, secret })
    }

    pub(crate) fn secret_hash(self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret).into())
    }

    /// Could this secret have come from a random generator?
    fn looks_random(self) -> bool {
        let distinct: std::collections::BTreeSet<u8> = self.secret.bytes().collect();
        distinct.len() >= GIVEN_DISTINCT_CHARS_MIN
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub(crate) struct SecretHash([u8; 32]);

impl SecretHash {
    /// What an unknown key is compared with, so that it takes as long as a known one.
    pub(crate) const NONE: Self = Self([0; 32]);

    /// Equal? Takes the same time wherever the two differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// A name without the secret, if somebody gave a whole key for it: for what is written down.
pub fn without_secret(name: &str) -> Cow<'_, str> {
    match name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) {
        Some((id, _)) => Cow::Owned(format!("{PREFIX}{id}_…")),
        None => Cow::Borrowed(name),
    }
}

/// Characters of the alphabet, each as likely as any other.
fn random_text(chars: usize) -> Result<String, AccessError> {
    // 248 is the largest multiple of 62 in a byte: what is above would favour the first letters.
    const FAIR: u8 = 248;
    let mut text = String::with_capacity(chars);
    let mut bytes = [0; 64];
    loop {
        getrandom::fill(&mut bytes).map_err(AccessError::Random)?;
        for byte in bytes.into_iter().filter(|&byte| byte < FAIR) {
            if text.len() == chars {
                return Ok(text);
            }
            if let Some(&letter) = ALPHABET.get(usize::from(byte) % ALPHABET.len()) {
                text.push(char::from(letter));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_form_and_looks_random() {
        for _ in 0..1000 {
            let key = KeyText::generate().unwrap();
            let parts = Parts::of(key.expose()).unwrap();
            assert!(parts.looks_random(), "{}", key.expose());
        }
        let key = KeyText::generate().unwrap();
        assert!(!format!("{key:?}").contains(key.expose().get(4..16).unwrap()));
    }

    #[test]
    fn a_key_in_the_place_of_a_name_loses_its_secret() {
        let key = KeyText::generate().unwrap();
        let id = &key.expose()[..16];
        assert_eq!(without_secret(key.expose()), format!("{id}_…"));
        for name in ["churn", "csn_", "csn_abc", "xcsn_a_b", ""] {
            assert_eq!(without_secret(name), name);
        }
    }

    #[test]
    fn every_letter_is_as_likely() {
        let mut counts = [0_u32; 128];
        for _ in 0..200 {
            for b in random_text(310).unwrap().bytes() {
                counts[usize::from(b)] += 1;
            }
        }
        // 1,000 expected of each; 6 standard deviations are 190.
        for &letter in ALPHABET {
            let count = counts[usize::from(letter)];
            assert!((810..1190).contains(&count), "{}: {count}", char::from(letter));
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = KeyText::generate().unwrap();
        let good = good.expose();
        let cut = &good[..good.len() - 1];
        for bad in [
            "",
            "csn_",
            "csn__",
            cut,
            &format!("{good}x"),
            &format!("x{good}"),
            &good.replace("csn_", "CSN_"),
            &format!("{cut}ü"),
            &format!("{cut}_"),
            &format!("{cut} "),
        ] {
            assert!(Parts::of(bad).is_none(), "{bad}");
        }
    }
}
