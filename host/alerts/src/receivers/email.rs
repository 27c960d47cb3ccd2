//! E-mail by SMTP: STARTTLS or TLS, and plain text only to this machine.

use std::net::IpAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use lettre::message::{Mailbox, Message, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeliveryError, Secret, Sender, http};
use crate::AlertsError;
use crate::name::{check_line, shown};
use crate::network::Network;
use crate::notification::Notification;

/// Addressees of a receiver: more is a mailing list's work.
const ADDRESSEES_MAX: usize = 10;
/// Bytes of an address or a host: RFC 5321's longest path.
const ADDRESS_BYTES_MAX: usize = 256;
/// Where mail is submitted with STARTTLS.
const PORT_DEFAULT: u16 = 587;

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// It begins in plain text and has to change to TLS before anything is sent.
    #[default]
    Starttls,
    /// TLS from the begin.
    Tls,
    /// Not at all; only for a server on this machine.
    None,
}

/// E-mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSpec {
    /// The mail server.
    pub host: String,
    /// Its port.
    #[serde(default = "port_default")]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: EmailTls,
    /// Who logs in; nobody, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The sender: `Caisson <alerts@example.org>`.
    pub from: String,
    /// The addressees.
    pub to: Vec<String>,
}

fn port_default() -> u16 {
    PORT_DEFAULT
}

impl EmailSpec {
    pub(super) fn check(&self, network: &Network) -> Result<(), AlertsError> {
        check_line("email.host", &self.host, ADDRESS_BYTES_MAX)?;
        if let Ok(ip) = self.host.parse::<IpAddr>()
            && !network.permits((ip, self.port).into())
        {
            return Err(AlertsError::Invalid(format!(
                "email.host: {} isn't a public address, and the operator doesn't allow it",
                self.host
            )));
        }
        if self.to.is_empty() || self.to.len() > ADDRESSEES_MAX {
            return Err(AlertsError::Invalid(format!(
                "email.to: {} addresses; 1 to {ADDRESSEES_MAX} are allowed",
                self.to.len()
            )));
        }
        if let Some(username) = &self.username {
            check_line("email.username", username, ADDRESS_BYTES_MAX)?;
        }
        if self.username.is_some() != self.password.is_some() {
            return Err(AlertsError::Invalid(
                "email: a username needs a password, and a password a username".to_owned(),
            ));
        }
        for (what, address) in
            std::iter::once(("email.from", &self.from)).chain(self.to.iter().map(|to| ("email.to", to)))
        {
            check_line(what, address, ADDRESS_BYTES_MAX)?;
            address.parse::<Mailbox>().map_err(|_| {
                AlertsError::Invalid(format!(
                    "{what}: `{}` is no address; write `name@example.org`",
                    shown(address)
                ))
            })?;
        }
        Ok(())
    }

    fn message(&self, notification: &Notification, now: Timestamp) -> Result<Message, DeliveryError> {
        let address = |text: &str| {
            text.parse::<Mailbox>()
                .map_err(|_| DeliveryError::new(format!("`{}` is no address", shown(text))))
        };
        let from = address(&self.from)?;
        // The same in every attempt, so that a mail server or reader can leave out the second.
        let id = format!("<{}@{}>", notification.id, from.email.domain());
        let date = SystemTime::try_from(now).map_err(|_| DeliveryError::new("the time can't be written"))?;
        let mut message = Message::builder()
            .from(from)
            .message_id(Some(id))
            .date(date)
            .subject(notification.title())
            .header(header::ContentType::TEXT_PLAIN);
        for to in &self.to {
            message = message.to(address(to)?);
        }
        message
            .body(text(notification))
            .map_err(|_| DeliveryError::new("the message can't be written as e-mail"))
    }
}

fn text(notification: &Notification) -> String {
    let mut lines = vec![notification.reason.clone(), String::new()];
    if !notification.description.is_empty() {
        lines.extend([notification.description.clone(), String::new()]);
    }
    if let Some(link) = &notification.evidence {
        lines.push(format!("evidence: {link}"));
    }
    lines.push(format!("since: {}", notification.starts_at));
    if let Some(at) = notification.ends_at {
        lines.push(format!("until: {at}"));
    }
    for (label, value) in &notification.labels {
        lines.push(format!("{label}: {value}"));
    }
    lines.push(format!("id: {}", notification.id));
    lines.join("\r\n")
}

impl Sender {
    pub(super) async fn email(
        &self,
        spec: &EmailSpec,
        notification: &Notification,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let message = spec.message(notification, now)?;
        let addresses = self.network.resolve(&spec.host, spec.port).await?;
        if spec.tls == EmailTls::None && !addresses.iter().all(|a| a.ip().to_canonical().is_loopback()) {
            return Err(DeliveryError::new(
                "its connection isn't protected and the server isn't on this machine; use `tls: starttls`",
            ));
        }
        let mut failed = DeliveryError::new("its host has no address");
        for address in addresses {
            let mut transport =
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
                    .port(spec.port)
                    .timeout(Some(self.timeout))
                    .tls(match spec.tls {
                        EmailTls::None => Tls::None,
                        EmailTls::Starttls => Tls::Required(self.smtp_tls(&spec.host)?),
                        EmailTls::Tls => Tls::Wrapper(self.smtp_tls(&spec.host)?),
                    });
            if let (Some(username), Some(password)) = (&spec.username, &spec.password) {
                let credentials = Credentials::new(username.clone(), password.expose().to_owned());
                transport = transport.credentials(credentials);
            }
            match transport.build::<Tokio1Executor>().send(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(e) => failed = DeliveryError::new(reason(&e)),
            }
        }
        Err(failed)
    }

    fn smtp_tls(&self, host: &str) -> Result<TlsParameters, DeliveryError> {
        let failed = |e: lettre::transport::smtp::Error| DeliveryError::new(format!("TLS failed: {e}"));
        let mut tls = TlsParameters::builder(host.to_owned());
        for root in &self.roots {
            tls = tls.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(failed)?);
        }
        tls.build_rustls().map_err(failed)
    }
}

/// The code of an answer, never its text.
fn reason(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("the mail server answered {code}");
    }
    if error.is_timeout() {
        return "the mail server didn't answer in time".to_owned();
    }
    if let Some(e) = http::tls_error(error) {
        return format!("TLS with the mail server failed: {e}");
    }
    if error.is_tls() {
        return "TLS with the mail server failed; check `tls`".to_owned();
    }
    if error.is_client() {
        return "the mail server doesn't offer what is needed (STARTTLS, or a way to log in)".to_owned();
    }
    "the mail server can't be reached".to_owned()
}
