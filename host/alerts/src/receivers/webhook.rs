//! Webhooks: the notification as JSON, signed.
//!
//! The signature is of the time and the body, so neither can be changed, and an old request can be told
//! from a new one: `Caisson-Signature: t=1800000000,v1=HEX` with HEX the HMAC-SHA256 of `t`, `.` and the
//! body under the signing key. The README shows how to verify it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{DeliveryError, Secret, Sender, http};
use crate::AlertsError;
use crate::network::Network;
use crate::notification::Notification;

/// The header with the notification's id.
pub const DELIVERY_HEADER: &str = "caisson-delivery";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "caisson-signature";
/// Bytes of a signing key: what is shorter can be guessed.
const SIGNING_KEY_BYTES_MIN: usize = 16;

/// A webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Where notifications are posted.
    pub url: String,
    /// What they are signed with; none: they aren't signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<Secret>,
}

impl WebhookSpec {
    pub(super) fn check(&self, network: &Network) -> Result<(), AlertsError> {
        http::check_url("webhook.url", &self.url, network)?;
        match &self.signing_key {
            Some(key) if key.expose().len() < SIGNING_KEY_BYTES_MIN => Err(AlertsError::Invalid(format!(
                "webhook.signing_key: it has {} bytes; use {SIGNING_KEY_BYTES_MIN} random ones or more",
                key.expose().len()
            ))),
            _ => Ok(()),
        }
    }
}

/// The value of the signature's header.
pub fn signature(key: &[u8], now: Timestamp, body: &[u8]) -> String {
    let time = now.as_second();
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

impl Sender {
    pub(super) async fn webhook(
        &self,
        spec: &WebhookSpec,
        notification: &Notification,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let body = super::json(notification)?;
        let mut headers = http::headers(notification)?;
        if let Some(key) = &spec.signing_key {
            let signature = signature(key.expose().as_bytes(), now, &body);
            headers.insert(
                HeaderName::from_static(SIGNATURE_HEADER),
                http::header_value(&signature)?,
            );
        }
        self.post(&spec.url, headers, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature() {
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(
            signature(b"0123456789abcdef", now, b"{}"),
            "t=1800000000,v1=1313ae9c874eb1a0868ad0b65f841c4243c23fdcfad69a3ada227726fad9960e"
        );
    }
}
