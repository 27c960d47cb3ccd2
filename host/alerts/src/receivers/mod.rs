//! Who is told: webhooks, Alertmanager, Slack, e-mail.

mod alertmanager;
mod email;
mod http;
mod secret;
mod slack;
mod view;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use caisson_store::record::Record;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use alertmanager::AlertmanagerSpec;
pub use email::{EmailSpec, EmailTls};
pub use secret::Secret;
pub use slack::SlackSpec;
pub use view::{Failure, ReceiverView};
pub use webhook::{DELIVERY_HEADER, SIGNATURE_HEADER, WebhookSpec, signature};

use crate::AlertsError;
use crate::name::{self, Labels};
use crate::network::Network;
use crate::notification::{Notification, Status};
use crate::pattern::Matcher;

/// Bytes of a secret: enough for any key and token.
const SECRET_BYTES_MAX: usize = 1024;
/// The longest that a receiver's `Retry-After` is followed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// One receiver, as given: a name and exactly one of the four kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSpec {
    /// Name within the tenant: lower-case letters, digits and inner hyphens, a letter first.
    pub name: String,
    /// Which alerts it is told of: those for which all hold. None: all alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// Is it told when they resolve?
    #[serde(default = "yes")]
    pub send_resolved: bool,
    /// A webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSpec>,
    /// An Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<AlertmanagerSpec>,
    /// An incoming webhook of Slack, Mattermost or another that takes the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackSpec>,
    /// E-mail by SMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailSpec>,
}

fn yes() -> bool {
    true
}

/// The one kind that a receiver is.
pub(crate) enum Kind<'a> {
    Webhook(&'a WebhookSpec),
    Alertmanager(&'a AlertmanagerSpec),
    Slack(&'a SlackSpec),
    Email(&'a EmailSpec),
}

impl ReceiverSpec {
    /// The JSON Schema of a receiver.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    pub(crate) fn kind(&self) -> Result<Kind<'_>, AlertsError> {
        match (&self.webhook, &self.alertmanager, &self.slack, &self.email) {
            (Some(spec), None, None, None) => Ok(Kind::Webhook(spec)),
            (None, Some(spec), None, None) => Ok(Kind::Alertmanager(spec)),
            (None, None, Some(spec), None) => Ok(Kind::Slack(spec)),
            (None, None, None, Some(spec)) => Ok(Kind::Email(spec)),
            _ => Err(AlertsError::Invalid(
                "a receiver is exactly one of `webhook`, `alertmanager`, `slack` and `email`".to_owned(),
            )),
        }
    }

    /// Refuse what can't be a receiver.
    pub(crate) fn check(&mut self, network: &Network) -> Result<(), AlertsError> {
        name::check("receiver", &self.name)?;
        Matcher::check_number(&self.matchers)?;
        for (what, secret) in self.secrets() {
            if secret.is_hidden() {
                return Err(AlertsError::Invalid(format!(
                    "{what}: this is what is shown in place of a secret; give the secret itself"
                )));
            }
            name::check_line(what, secret.expose(), SECRET_BYTES_MAX)?;
        }
        match self.kind()? {
            Kind::Webhook(spec) => spec.check(network),
            Kind::Alertmanager(spec) => spec.check(network),
            Kind::Slack(spec) => spec.check(network),
            Kind::Email(spec) => spec.check(network),
        }
    }

    /// All secrets, each with a name.
    fn secrets(&mut self) -> Vec<(&'static str, &mut Secret)> {
        let webhook = self.webhook.as_mut().and_then(|s| s.signing_key.as_mut());
        let token = self.alertmanager.as_mut().and_then(|s| s.bearer_token.as_mut());
        let slack = self.slack.as_mut().map(|s| &mut s.url);
        let password = self.email.as_mut().and_then(|s| s.password.as_mut());
        [
            ("webhook.signing_key", webhook),
            ("alertmanager.bearer_token", token),
            ("slack.url", slack),
            ("email.password", password),
        ]
        .into_iter()
        .filter_map(|(what, secret)| Some((what, secret?)))
        .collect()
    }

    /// Does it hear of this?
    pub(crate) fn wants(&self, status: Status, labels: &Labels) -> bool {
        (self.send_resolved || status != Status::Resolved) && Matcher::all(&self.matchers, labels)
    }
}

/// A receiver as it is stored: its secrets apart, because the spec doesn't show them.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReceiverRecord {
    spec: ReceiverSpec,
    secrets: BTreeMap<String, String>,
}

impl Record for ReceiverRecord {
    const KIND: &'static str = "alert receiver";
    const FORMAT: u32 = 1;
}

impl ReceiverRecord {
    pub(crate) fn new(spec: &ReceiverSpec) -> Self {
        let mut spec = spec.clone();
        let secrets = spec
            .secrets()
            .into_iter()
            .map(|(what, secret)| (what.to_owned(), secret.expose().to_owned()))
            .collect();
        Self { spec, secrets }
    }

    pub(crate) fn into_spec(self) -> ReceiverSpec {
        let Self { mut spec, secrets } = self;
        for (what, secret) in spec.secrets() {
            if let Some(text) = secrets.get(what) {
                *secret = Secret::from(text.as_str());
            }
        }
        spec
    }
}

/// Why a delivery failed. The message is shown to the tenant, so it says nothing of what a host answered
/// beyond the status: a receiver must not be a way to read what this process can reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    message: String,
    retry_after: Option<Duration>,
}

impl DeliveryError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
        }
    }

    /// The receiver asks to wait for so long.
    pub(crate) fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait.map(|wait| wait.min(RETRY_AFTER_MAX));
        self
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// What delivers.
pub(crate) struct Sender {
    network: Network,
    tls: rustls::ClientConfig,
    roots: Vec<CertificateDer<'static>>,
    timeout: Duration,
    /// How often an Alertmanager is told again of what fires.
    pub(crate) resend: Duration,
}

impl Sender {
    pub(crate) fn new(
        network: Network,
        roots: Vec<CertificateDer<'static>>,
        timeout: Duration,
        resend: Duration,
    ) -> Result<Self, AlertsError> {
        Ok(Self {
            tls: http::tls(&roots)?,
            network,
            roots,
            timeout,
            resend,
        })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Deliver one notification.
    pub(crate) async fn deliver(
        &self,
        spec: &ReceiverSpec,
        notification: &Notification,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let kind = spec.kind().map_err(|e| DeliveryError::new(e.to_string()))?;
        let delivery = async {
            match kind {
                Kind::Webhook(spec) => self.webhook(spec, notification, now).await,
                Kind::Alertmanager(spec) => {
                    self.alertmanager(spec, std::slice::from_ref(notification), now)
                        .await
                }
                Kind::Slack(spec) => self.slack(spec, notification).await,
                Kind::Email(spec) => self.email(spec, notification, now).await,
            }
        };
        self.in_time(delivery).await
    }

    /// Tell an Alertmanager again of all that fires.
    pub(crate) async fn refresh(
        &self,
        spec: &ReceiverSpec,
        firing: &[Notification],
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let Some(alertmanager) = &spec.alertmanager else {
            return Err(DeliveryError::new("it is no Alertmanager"));
        };
        for chunk in firing.chunks(alertmanager::ALERTS_PER_REQUEST_MAX) {
            self.in_time(self.alertmanager(alertmanager, chunk, now)).await?;
        }
        Ok(())
    }

    async fn in_time(
        &self,
        delivery: impl Future<Output = Result<(), DeliveryError>>,
    ) -> Result<(), DeliveryError> {
        tokio::time::timeout(self.timeout, delivery)
            .await
            .unwrap_or_else(|_| {
                Err(DeliveryError::new(format!(
                    "it didn't answer within {} s",
                    self.timeout.as_secs_f64()
                )))
            })
    }
}

fn json<T: Serialize + ?Sized>(body: &T) -> Result<Vec<u8>, DeliveryError> {
    serde_json::to_vec(body).map_err(|e| DeliveryError::new(format!("the body can't be written: {e}")))
}
