//! A receiver as it is shown.

use jiff::Timestamp;
use serde::Serialize;

use super::http::HIDDEN_QUERY;
use super::{ReceiverSpec, Secret};

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// A receiver and how it fares. The counts are since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiverView {
    /// The receiver; secrets and queries of URLs are hidden.
    pub receiver: ReceiverSpec,
    /// Notifications that wait to be delivered.
    pub waiting: usize,
    /// Notifications delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Notifications given up after too many attempts or too long.
    pub given_up: u64,
    /// Notifications dropped because too many waited.
    pub dropped: u64,
    /// When the latest was delivered.
    pub last_delivery: Option<Timestamp>,
    /// The latest failure, until the next delivery.
    pub last_failure: Option<Failure>,
}

impl ReceiverSpec {
    /// Without its secrets, and without what may be one in a URL.
    pub(crate) fn shown(&self) -> Self {
        let mut shown = self.clone();
        for (_, secret) in shown.secrets() {
            *secret = Secret::hidden();
        }
        let urls = [
            shown.webhook.as_mut().map(|s| &mut s.url),
            shown.alertmanager.as_mut().map(|s| &mut s.url),
        ];
        for url in urls.into_iter().flatten() {
            if let Some((start, _)) = url.split_once('?') {
                *url = format!("{start}{HIDDEN_QUERY}");
            }
        }
        shown
    }
}
