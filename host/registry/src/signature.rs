//! Signatures of plugins: Ed25519 over a short text that names the plugin, its version and its
//! component.
//!
//! ```text
//! caisson plugin signature v1
//! impute@0.1.0
//! sha256:<64 hexadecimal digits>
//! ```
//!
//! each line ended by a newline. A signature is 64 bytes, written as base64. Keys are PEM files as
//! `openssl genpkey -algorithm ed25519` writes them, so that a key may live where a person keeps
//! keys and `openssl pkeyutl -sign -rawin` can use it.
//!
//! Nothing here touches a store or a file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caisson_store::Digest;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{SECRET_KEY_LENGTH, SIGNATURE_LENGTH, Signer as _, SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::shown;

/// What is signed starts with this line, so that no signature made for something else is one of a
/// plugin.
const DOMAIN: &str = "caisson plugin signature v1";
/// Bytes of a key file: PEM of an Ed25519 key has 120.
const PEM_BYTES_MAX: usize = 4096;
/// Keys of a policy: each is tried on each upload.
pub const SIGNATURE_KEYS_MAX: usize = 64;

/// Why a key or a signature is none, or doesn't verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not a key in the form that keys have.
    #[error("this is no Ed25519 {what} key: {reason}")]
    Key {
        /// `private` or `public`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Not a signature.
    #[error("`{0}` is no signature: it is 64 bytes, written as base64")]
    Form(String),
    /// No key of the policy made it.
    #[error(
        "the signature of {plugin} was made by none of the keys that this server knows ({known}), or for another name, version or component"
    )]
    Unknown {
        /// `name@version`.
        plugin: String,
        /// The keys' names.
        known: String,
    },
    /// The policy wants one.
    #[error("{plugin} is not signed, and this server takes signed plugins only; keys that it knows: {known}")]
    Required {
        /// `name@version`.
        plugin: String,
        /// The keys' names.
        known: String,
    },
    /// The machine has no randomness to make a key of.
    #[error("no random numbers from the operating system: {0}")]
    Random(String),
}

impl SignatureError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key { .. } => "bad-key",
            Self::Form(_) => "bad-signature",
            Self::Unknown { .. } => "signature-unknown",
            Self::Required { .. } => "signature-required",
            Self::Random(_) => "no-randomness",
        }
    }
}

/// A key that signs. It is wiped from memory when dropped, and its debug form doesn't show it.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// A new key, of the operating system's randomness.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Random`].
    pub fn generate() -> Result<Self, SignatureError> {
        let mut seed = [0; SECRET_KEY_LENGTH];
        getrandom::fill(&mut seed).map_err(|e| SignatureError::Random(e.to_string()))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// From PEM, `-----BEGIN PRIVATE KEY-----`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        check_pem("private", text)?;
        SigningKey::from_pkcs8_pem(text.trim())
            .map(Self)
            .map_err(|e| key_error("private", e))
    }

    /// As PEM, in the form that openssl reads: PKCS #8 without the public key.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`]; no key that is one has it.
    pub fn to_pem(&self) -> Result<String, SignatureError> {
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF);
        Ok(pem.map_err(|e| key_error("private", e))?.as_str().to_owned())
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Sign a plugin.
    pub fn sign(&self, name: &str, version: &str, component: &Digest) -> PluginSignature {
        let message = message(name, version, component);
        PluginSignature(self.0.sign(message.as_bytes()).to_bytes())
    }
}

/// A key that verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From PEM, `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        check_pem("public", text)?;
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(|e| key_error("public", e))?;
        Self::checked(key)
    }

    /// From its 32 bytes.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        Self::checked(VerifyingKey::from_bytes(bytes).map_err(|e| key_error("public", e))?)
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    fn checked(key: VerifyingKey) -> Result<Self, SignatureError> {
        // Such keys verify signatures that nobody made.
        if key.is_weak() {
            return Err(key_error("public", "it is one of the few weak ones"));
        }
        Ok(Self(key))
    }

    /// As PEM.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`]; no key that is one has it.
    pub fn to_pem(&self) -> Result<String, SignatureError> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| key_error("public", e))
    }

    /// Was this signature made by this key for this plugin?
    pub fn verifies(
        &self,
        name: &str,
        version: &str,
        component: &Digest,
        signature: &PluginSignature,
    ) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0
            .verify_strict(message(name, version, component).as_bytes(), &signature)
            .is_ok()
    }
}

/// A signature; as text, base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct PluginSignature([u8; SIGNATURE_LENGTH]);

impl FromStr for PluginSignature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        BASE64
            .decode(text.trim())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| SignatureError::Form(shown(text)))
    }
}

impl TryFrom<String> for PluginSignature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        text.parse()
    }
}

impl From<PluginSignature> for String {
    fn from(signature: PluginSignature) -> Self {
        signature.to_string()
    }
}

impl fmt::Display for PluginSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

/// Whose signatures are believed, and whether there must be one.
#[derive(Debug, Clone, Default)]
pub struct SignaturePolicy {
    required: bool,
    keys: BTreeMap<String, PublicKey>,
}

impl SignaturePolicy {
    /// A policy. A signature that no key verifies is an error whether one is required or not.
    ///
    /// # Errors
    ///
    /// More than [`SIGNATURE_KEYS_MAX`] keys; one is required, and there is no key to make it.
    pub fn new(required: bool, keys: BTreeMap<String, PublicKey>) -> Result<Self, SignatureError> {
        if keys.len() > SIGNATURE_KEYS_MAX {
            return Err(key_error(
                "public",
                format!("{} of them; at most {SIGNATURE_KEYS_MAX} are allowed", keys.len()),
            ));
        }
        if required && keys.is_empty() {
            return Err(key_error(
                "public",
                "signatures are required and no key is given that could make one",
            ));
        }
        Ok(Self { required, keys })
    }

    /// Who signed: the name of the first key that verifies; `None` where there is no signature and
    /// none is required.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Required`], [`SignatureError::Unknown`].
    pub fn check(
        &self,
        name: &str,
        version: &str,
        component: &Digest,
        signature: Option<&PluginSignature>,
    ) -> Result<Option<&str>, SignatureError> {
        let plugin = || format!("{name}@{version}");
        let Some(signature) = signature else {
            return match self.required {
                false => Ok(None),
                true => Err(SignatureError::Required {
                    plugin: plugin(),
                    known: self.known(),
                }),
            };
        };
        self.keys
            .iter()
            .find(|(_, key)| key.verifies(name, version, component, signature))
            .map(|(signer, _)| Some(signer.as_str()))
            .ok_or_else(|| SignatureError::Unknown {
                plugin: plugin(),
                known: self.known(),
            })
    }

    fn known(&self) -> String {
        if self.keys.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<&str> = self.keys.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

fn message(name: &str, version: &str, component: &Digest) -> String {
    format!("{DOMAIN}\n{name}@{version}\n{component}\n")
}

fn check_pem(what: &'static str, text: &str) -> Result<(), SignatureError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(key_error(
            what,
            format!("{} bytes; a key file has about 120", text.len()),
        ));
    }
    Ok(())
}

fn key_error(what: &'static str, reason: impl fmt::Display) -> SignatureError {
    SignatureError::Key {
        what,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8410, section 10.3 and 10.1: the private key and its public key.
    const RFC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const RFC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    fn policy(required: bool, keys: &[(&str, &PrivateKey)]) -> SignaturePolicy {
        let keys = keys
            .iter()
            .map(|(name, key)| ((*name).to_owned(), key.public()))
            .collect();
        SignaturePolicy::new(required, keys).unwrap()
    }

    #[test]
    fn keys_are_the_files_that_others_write() {
        let private = PrivateKey::from_pem(RFC_PRIVATE).unwrap();
        assert_eq!(private.to_pem().unwrap(), RFC_PRIVATE);
        assert_eq!(private.public().to_pem().unwrap(), RFC_PUBLIC);
        let bytes = private.public().to_bytes();
        assert_eq!(PublicKey::from_bytes(&bytes).unwrap(), private.public());
        assert_eq!(PublicKey::from_pem(RFC_PUBLIC).unwrap(), private.public());
        assert!(!format!("{private:?}").contains("212"), "no secret is shown");
        let made = PrivateKey::generate().unwrap();
        let read = PrivateKey::from_pem(&made.to_pem().unwrap()).unwrap();
        assert_eq!(read.public(), made.public());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "-----BEGIN PRIVATE KEY-----", RFC_PUBLIC, &"x".repeat(5000)] {
            assert_eq!(PrivateKey::from_pem(bad).unwrap_err().code(), "bad-key");
        }
        assert!(PublicKey::from_pem(RFC_PRIVATE).is_err());
        // The neutral element verifies anything.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(PublicKey::from_bytes(&weak).is_err());
        assert!(
            SignaturePolicy::new(true, BTreeMap::new()).is_err(),
            "nothing could ever be uploaded"
        );
    }

    #[test]
    fn a_signature_is_of_one_name_version_and_component() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let digest = Digest::of(b"component");
        let signature: PluginSignature = key.sign("impute", "0.1.0", &digest).to_string().parse().unwrap();
        let policy = policy(true, &[("ann", &other), ("release", &key)]);
        let check = |name, version, digest| policy.check(name, version, digest, Some(&signature));
        assert_eq!(check("impute", "0.1.0", &digest), Ok(Some("release")));
        for refused in [
            check("imputf", "0.1.0", &digest),
            check("impute", "0.1.1", &digest),
            check("impute", "0.1.0", &Digest::of(b"other")),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.code(), "signature-unknown");
            assert!(error.to_string().contains("ann, release"), "{error}");
        }
    }

    #[test]
    fn a_missing_signature_is_an_error_only_where_one_is_required() {
        let key = PrivateKey::generate().unwrap();
        let digest = Digest::of(b"component");
        assert_eq!(policy(false, &[]).check("a", "1.0.0", &digest, None), Ok(None));
        let error = policy(true, &[("release", &key)])
            .check("a", "1.0.0", &digest, None)
            .unwrap_err();
        assert_eq!(error.code(), "signature-required");
        // Not believed is not the same as not there.
        let error = policy(false, &[])
            .check("a", "1.0.0", &digest, Some(&key.sign("a", "1.0.0", &digest)))
            .unwrap_err();
        assert_eq!(error.code(), "signature-unknown");
    }

    #[test]
    fn what_openssl_signed_verifies() {
        // openssl pkeyutl -sign -rawin -inkey KEY -in MESSAGE, with the key of the RFC; Ed25519
        // signatures have no randomness, so ours is the same.
        let key = PrivateKey::from_pem(RFC_PRIVATE).unwrap();
        let signature = key.sign("impute", "0.1.0", &Digest::of(b"component"));
        assert_eq!(signature.to_string(), OPENSSL);
    }

    const OPENSSL: &str =
        "V2C17NhDf7r+hFe4Gt61tm07gAp/xI/+7JXV4dcafUy/ZlgpbGK7d6pPxnimF6+bFV/6/rWhQOM6TQGxMTsqBA==";

    #[test]
    fn other_text_is_no_signature() {
        for bad in ["", "x", "AAAA", &"A".repeat(87)] {
            assert_eq!(
                bad.parse::<PluginSignature>().unwrap_err().code(),
                "bad-signature"
            );
        }
    }
}
