//! The five roles, and what each includes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a key may do, as far as no policy says otherwise. `policies/default.cedar` gives each role
/// its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Calls deployments.
    Predictor,
    /// Uploads, registers and deploys.
    Developer,
    /// Decides which models may serve.
    Approver,
    /// Everything in its tenant.
    Admin,
}

impl Role {
    /// All, from the one that may least to the one that may most.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Predictor,
        Self::Developer,
        Self::Approver,
        Self::Admin,
    ];

    /// `viewer` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Predictor => "predictor",
            Self::Developer => "developer",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// May this role do whatever `other` may? A predictor isn't a viewer: a key that sits in a
    /// shop's web server calls deployments and reads nothing else.
    pub fn includes(self, other: Self) -> bool {
        self == other
            || match self {
                Self::Viewer | Self::Predictor => false,
                Self::Developer => matches!(other, Self::Viewer | Self::Predictor),
                Self::Approver => other == Self::Viewer,
                Self::Admin => true,
            }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
