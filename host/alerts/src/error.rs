//! Why something about alerts was refused, or failed.

use caisson_store::StoreError;

/// Why something about alerts was refused, or failed. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertsError {
    /// Something given can't be used; the message names it and says why.
    #[error("{0}")]
    Invalid(String),
    /// A rules file can't be used; the message says where.
    #[error("{0}")]
    Rules(String),
    /// There is none.
    #[error("there is no {what} `{name}`{hint}")]
    NotFound {
        /// `receiver`, `silence`.
        what: &'static str,
        /// Which, cut and escaped.
        name: String,
        /// What there is, in words, or nothing.
        hint: String,
    },
    /// Past a limit.
    #[error("{what}: at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: String,
        /// The limit.
        max: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The TLS of receivers can't be set up.
    #[error(
        "TLS of receivers can't be set up: {0}; check the certificates that the machine and the configuration trust"
    )]
    Tls(String),
}

impl AlertsError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "bad-alerting",
            Self::Rules(_) => "bad-rules",
            Self::NotFound { what: "receiver", .. } => "receiver-not-found",
            Self::NotFound { what: "silence", .. } => "silence-not-found",
            Self::NotFound { .. } => "not-found",
            Self::TooMany { .. } => "too-many",
            Self::Store(e) => e.code(),
            Self::Random(_) => "no-random-numbers",
            Self::Tls(_) => "tls",
        }
    }
}
