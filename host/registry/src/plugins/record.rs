//! What is kept of a plugin version.

use caisson_store::Digest;
use caisson_store::record::Record;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::signature::PluginSignature;

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// `transform`, `validator`, `drift-check` or `predictor`.
    pub world: String,
    /// The component's digest.
    pub digest: Digest,
    /// The component's bytes.
    pub size: u64,
    /// JSON Schema of its config, as text.
    pub config_schema: String,
    /// A paragraph of help.
    pub help: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// The version of the plugin contract that it was built for; absent if it names none.
    pub wit_version: Option<String>,
    /// When it was uploaded, RFC 3339.
    pub created_at: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Provenance::is_unknown")]
    pub provenance: Provenance,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureRecord>,
    /// Why nothing new may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<Yank>,
}

impl Record for PluginRecord {
    const KIND: &'static str = "plugin";
    /// 2: a version may be yanked, which a release that doesn't know it would choose.
    const FORMAT: u32 = 2;
}

/// Who uploaded something, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// An account or a key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_by: Option<String>,
    /// A peer address or a client, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_from: Option<String>,
}

impl Provenance {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// A signature that verified when it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignatureRecord {
    /// The name of the key in the policy of that time.
    pub signed_by: String,
    /// Base64.
    pub signature: PluginSignature,
}

/// A version that nothing new may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Yank {
    /// Who yanked it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A checked upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of PluginRecord")]
pub struct PluginUpload {
    pub name: String,
    /// A semantic version.
    pub version: String,
    pub world: String,
    pub config_schema: String,
    pub help: String,
    pub imports: Vec<String>,
    pub wit_version: Option<String>,
    pub provenance: Provenance,
    pub signature: Option<PluginSignature>,
}
