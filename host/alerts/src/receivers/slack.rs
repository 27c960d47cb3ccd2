//! Incoming webhooks as Slack has them, and Mattermost, Discord (`/slack`) and others take them.
//!
//! The URL is the credential, so it is a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeliveryError, Secret, Sender, http};
use crate::AlertsError;
use crate::network::Network;
use crate::notification::Notification;

/// An incoming webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackSpec {
    /// Its URL.
    pub url: Secret,
}

impl SlackSpec {
    pub(super) fn check(&self, network: &Network) -> Result<(), AlertsError> {
        // A message with the URL would show the secret.
        http::check_url("slack.url", self.url.expose(), network)
            .map(drop)
            .map_err(|e| {
                let message = e.to_string();
                let why = message.rsplit(": ").next().unwrap_or_default();
                AlertsError::Invalid(format!("slack.url: the URL can't be used: {why}"))
            })
    }
}

/// The three characters that mean something in a message.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn text(notification: &Notification) -> String {
    let mut lines = vec![
        format!("*{}*", escaped(&notification.title())),
        escaped(&notification.reason),
    ];
    if !notification.description.is_empty() {
        lines.push(escaped(&notification.description));
    }
    if let Some(link) = &notification.evidence {
        lines.push(format!("<{}|evidence>", escaped(link).replace('|', "%7C")));
    }
    lines.push(format!("`{}`", notification.id));
    lines.join("\n")
}

impl Sender {
    pub(super) async fn slack(
        &self,
        spec: &SlackSpec,
        notification: &Notification,
    ) -> Result<(), DeliveryError> {
        let body = super::json(&serde_json::json!({ "text": text(notification) }))?;
        self.post(spec.url.expose(), http::headers(notification)?, body)
            .await
    }
}
