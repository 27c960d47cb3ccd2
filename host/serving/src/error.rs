//! One error for everything that can go wrong between a request and its answer.
//!
//! An error says what kind it is (the server turns that into a status), carries a stable code for
//! machines and a sentence for people, and names the stage, row and column where there are any.
//! Whether it is the caller's fault, the plugin's or ours is decided here, once.

use std::fmt;
use std::ops::Deref;

use caisson_registry::RegistryError;
use caisson_registry::signature::SignatureError;
use caisson_sandbox::Violation;

/// Whose fault, in terms that a protocol edge can map to its own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request or file is not what the interface takes (HTTP 400).
    Invalid,
    /// Well-formed, and refused for its values (HTTP 422).
    Unprocessable,
    /// No such thing (HTTP 404).
    NotFound,
    /// Collides with what exists (HTTP 409).
    Conflict,
    /// Past a size limit (HTTP 413).
    TooLarge,
    /// The tenant has what its quota allows (HTTP 429).
    Quota,
    /// Try again later (HTTP 503).
    Busy,
    /// A stage ran past its deadline (HTTP 504).
    Deadline,
    /// The tenant's plugin or model failed (HTTP 500).
    Stage,
    /// No room to store it (HTTP 507).
    Full,
    /// The host failed (HTTP 500).
    Internal,
}

/// What an error carries.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Whose fault.
    pub kind: Kind,
    /// Stable and machine-readable, kebab-case.
    pub code: &'static str,
    /// For a person.
    pub message: String,
    /// The stage, such as `transforms[0] impute@0.1.0`.
    pub stage: Option<String>,
    /// Row, from 0.
    pub row: Option<u64>,
    /// Column.
    pub column: Option<String>,
    /// Every `reject` violation, where validators refused the request.
    pub violations: Vec<Violation>,
}

/// The boxed [`Fault`]: errors travel through every call of the request path, so they stay small.
#[derive(Debug, Clone)]
pub struct ServingError(Box<Fault>);

impl ServingError {
    /// An error without a place.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            kind,
            code,
            message: message.into(),
            stage: None,
            row: None,
            column: None,
            violations: Vec::new(),
        }))
    }

    /// The same error, in this stage.
    #[must_use]
    pub fn in_stage(mut self, stage: impl Into<String>) -> Self {
        self.0.stage = Some(stage.into());
        self
    }

    /// The same error, at this row and column.
    #[must_use]
    pub fn at(mut self, row: Option<u64>, column: Option<String>) -> Self {
        self.0.row = row;
        self.0.column = column;
        self
    }

    /// The registry's refusal of a reference in a deployment file. Over HTTP a thing that isn't there
    /// is a 404; a file that names one is a 422, for the file itself is there.
    #[must_use]
    pub(crate) fn in_reference(mut self, place: &str) -> Self {
        if matches!(self.0.kind, Kind::NotFound | Kind::Invalid) {
            self.0.kind = Kind::Unprocessable;
        }
        self.in_stage(place)
    }

    /// A failure of a model or plugin, where it is the answer to someone who wants to use it: what they
    /// ask for is refused.
    #[must_use]
    pub(crate) fn refusing(mut self) -> Self {
        if self.0.kind == Kind::Stage {
            self.0.kind = Kind::Unprocessable;
        }
        self
    }

    /// The same error of a part of a batch that begins at row `start`.
    #[must_use]
    pub fn rows_from(mut self, start: u64) -> Self {
        self.0.row = self.0.row.map(|row| row + start);
        self
    }

    /// The same error with the violations behind it.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.0.violations = violations;
        self
    }
}

impl Deref for ServingError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl fmt::Display for ServingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "{stage}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ServingError {}

impl From<RegistryError> for ServingError {
    fn from(error: RegistryError) -> Self {
        let kind = match &error {
            RegistryError::Name { .. }
            | RegistryError::Version { .. }
            | RegistryError::Text { .. }
            | RegistryError::Signature(
                SignatureError::Form(_) | SignatureError::Unknown { .. } | SignatureError::Required { .. },
            ) => Kind::Invalid,
            RegistryError::Yanked { .. } => Kind::Unprocessable,
            RegistryError::NotFound { .. } => Kind::NotFound,
            RegistryError::PluginConflict { .. }
            | RegistryError::AliasMoved { .. }
            | RegistryError::InUse { .. }
            | RegistryError::IllegalTransition { .. }
            | RegistryError::StageMoved { .. }
            | RegistryError::FourEyes { .. }
            | RegistryError::Unowned { .. }
            | RegistryError::NotYanked(_)
            | RegistryError::PluginGone { .. }
            | RegistryError::PinMismatch { .. } => Kind::Conflict,
            RegistryError::TooMany { .. } => Kind::TooLarge,
            RegistryError::Contended(_) => Kind::Busy,
            error if error.is_full() => Kind::Full,
            _ => Kind::Internal,
        };
        Self::new(kind, error.code(), error.to_string())
    }
}
