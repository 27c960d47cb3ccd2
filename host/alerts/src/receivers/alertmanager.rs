//! Alertmanager, by `POST /api/v2/alerts`.
//!
//! An Alertmanager resolves by itself what it isn't told of again, so alerts that fire are sent again
//! every [`Sender::resend`] and end four of these later; one that resolves is sent with its end. It
//! knows alerts by their labels, so a repeated delivery changes nothing.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeliveryError, Secret, Sender, http};
use crate::AlertsError;
use crate::name::Labels;
use crate::network::Network;
use crate::notification::{Notification, Status};

/// Alerts in one request: some hundred kilobytes.
pub(super) const ALERTS_PER_REQUEST_MAX: usize = 64;
/// Resends that may be lost before an Alertmanager takes an alert as resolved; Prometheus's number.
const RESENDS_LOST_MAX: i32 = 4;

/// An Alertmanager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerSpec {
    /// Where it is, without `/api/v2/alerts`: `https://alertmanager.example:9093`.
    pub url: String,
    /// What `Authorization: Bearer` says, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secret>,
}

impl AlertmanagerSpec {
    pub(super) fn check(&self, network: &Network) -> Result<(), AlertsError> {
        http::check_url("alertmanager.url", &self.url, network).map(drop)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    labels: &'a Labels,
    annotations: Labels,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

impl<'a> Alert<'a> {
    fn new(notification: &'a Notification, ends_at: Timestamp) -> Self {
        let mut annotations = Labels::new();
        for (key, value) in [
            ("summary", notification.title()),
            ("reason", notification.reason.clone()),
            ("description", notification.description.clone()),
            ("caisson_alert", notification.alert.clone()),
            ("caisson_delivery", notification.id.clone()),
        ] {
            if !value.is_empty() {
                annotations.insert(key.to_owned(), value);
            }
        }
        Self {
            labels: &notification.labels,
            annotations,
            starts_at: notification.starts_at.min(ends_at),
            ends_at,
            // Nothing but a full URL is taken.
            generator_url: notification
                .evidence
                .as_deref()
                .filter(|link| link.starts_with("http")),
        }
    }
}

impl Sender {
    pub(super) async fn alertmanager(
        &self,
        spec: &AlertmanagerSpec,
        notifications: &[Notification],
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let resend = SignedDuration::try_from(self.resend).unwrap_or(SignedDuration::MAX);
        let until = now
            .checked_add(resend.saturating_mul(RESENDS_LOST_MAX))
            .unwrap_or(Timestamp::MAX);
        let alerts: Vec<Alert<'_>> = notifications
            .iter()
            .map(|notification| {
                let ends_at = match notification.status {
                    Status::Firing => until,
                    // An end that is still to come would leave it firing.
                    Status::Resolved | Status::Test => notification.ends_at.unwrap_or(now).min(now),
                };
                Alert::new(notification, ends_at)
            })
            .collect();
        let body = super::json(&alerts)?;
        let mut headers = match notifications {
            [one] => http::headers(one)?,
            _ => HeaderMap::new(),
        };
        if let Some(token) = &spec.bearer_token {
            let mut value = http::header_value(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let url = format!("{}/api/v2/alerts", spec.url.trim_end_matches('/'));
        self.post(&url, headers, body).await
    }
}
