//! HTTP to a tenant's URL: no redirects, no proxy, only addresses that passed, nothing read of the answer
//! but its status.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use super::{DELIVERY_HEADER, DeliveryError, Sender};
use crate::AlertsError;
use crate::name::{LINK_BYTES_MAX, check_line, shown};
use crate::network::Network;
use crate::notification::Notification;

/// How long a connection may take; a host that is there answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is shown in place of a URL's query, which may be a credential.
pub(super) const HIDDEN_QUERY: &str = "?(hidden)";

/// TLS that trusts what the machine trusts, and these.
pub(super) fn tls(roots: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig, AlertsError> {
    let provider = Arc::new(ring::default_provider());
    let failed = |e: rustls::Error| AlertsError::Tls(e.to_string());
    let verifier = Verifier::new_with_extra_roots(roots.iter().cloned(), provider.clone()).map_err(failed)?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// A URL that a receiver may have.
pub(super) fn check_url(what: &str, text: &str, network: &Network) -> Result<Url, AlertsError> {
    check_line(what, text, LINK_BYTES_MAX)?;
    let bad = |why: &str| AlertsError::Invalid(format!("{what}: `{}` can't be used: {why}", shown(text)));
    let url: Url = text.parse().map_err(|_| bad("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("it is neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it has a user in it, who would be shown; use a token or a signing key",
        ));
    }
    if text.ends_with(HIDDEN_QUERY) {
        return Err(bad("this is how it is shown, without its query; give all of it"));
    }
    if url.fragment().is_some() {
        return Err(bad("it has a fragment, which no server gets"));
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(bad("it has no host"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // Names are resolved when something is delivered; an address can be refused now.
    if let Ok(ip) = host.parse::<IpAddr>()
        && !network.permits((ip, port).into())
    {
        return Err(bad("the address isn't public, and the operator doesn't allow it"));
    }
    Ok(url)
}

/// The headers of a request that is about one notification.
pub(super) fn headers(notification: &Notification) -> Result<HeaderMap, DeliveryError> {
    let id = header_value(&notification.id)?;
    Ok([(HeaderName::from_static(DELIVERY_HEADER), id)]
        .into_iter()
        .collect())
}

/// A header's value; the message doesn't show it, for it may be a secret.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, DeliveryError> {
    HeaderValue::from_str(text).map_err(|_| DeliveryError::new("a token has letters that no header can hold"))
}

impl Sender {
    pub(super) async fn post(
        &self,
        url: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(), DeliveryError> {
        let url = check_url("url", url, &self.network).map_err(|e| DeliveryError::new(e.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses = self.network.resolve(host, port).await?;
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .resolve_to_addrs(host, &addresses)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("caisson/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| DeliveryError::new(reason(&e)))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = client
            .post(url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|e| DeliveryError::new(reason(&e)))?;
        // The body isn't read: nobody needs it, and it has no bound.
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let wait = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Err(DeliveryError::new(refusal(status)).after(wait))
    }
}

fn refusal(status: StatusCode) -> String {
    if status.is_redirection() {
        return format!("it answered {status}; redirects aren't followed, so give the final URL");
    }
    format!("it answered {status}")
}

/// Without the URL, which may be a secret, and without what the network said in detail.
fn reason(error: &reqwest::Error) -> String {
    match tls_error(error) {
        Some(e) => format!("TLS failed: {e}"),
        None if error.is_connect() => "it can't be reached".to_owned(),
        None => "the connection ended before an answer".to_owned(),
    }
}

/// What TLS said, wherever in the causes it stands. An I/O error has it inside rather than as its cause.
pub(super) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .map(|inner| inner as &(dyn Error + 'static));
    match error.downcast_ref() {
        Some(found) => Some(found),
        None => tls_error(inner.or_else(|| error.source())?),
    }
}
