//! `[alerts]`, complete: what [`caisson_alerts`] is opened with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use caisson_alerts::{Allowed, Catalogue, Network, Options};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

use super::file;

/// How often rules are evaluated: windows are minutes, and a pager wants to know within one.
const INTERVAL_SECONDS: u64 = 15;
/// The shortest window, which an interval has to fit into.
const INTERVAL_SECONDS_MAX: u64 = 60;

/// How alerts are evaluated and delivered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Alerts {
    pub(crate) allow: Vec<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) interval: Duration,
}

impl Alerts {
    pub(super) fn of(given: file::Alerts) -> Self {
        Self {
            allow: given.allow,
            ca_file: given.ca_file,
            base_url: given.base_url,
            interval: Duration::from_secs(given.interval_seconds.unwrap_or(INTERVAL_SECONDS)),
        }
    }

    /// What can be told to be wrong, by key.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Err(message) = allowed(&self.allow) {
            faults.push(("allow", message));
        }
        if let Some(Err(message)) = self.ca_file.as_deref().map(certificates) {
            faults.push(("ca_file", message));
        }
        let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = self.base_url.as_ref().filter(|url| !is_url(url)) {
            faults.push((
                "base_url",
                format!(
                    "`{}` is no http URL: write `https://caisson.example.org`",
                    url.escape_debug()
                ),
            ));
        }
        if !(1..=INTERVAL_SECONDS_MAX).contains(&self.interval.as_secs()) {
            faults.push((
                "interval_seconds",
                format!(
                    "{} is not from 1 to {INTERVAL_SECONDS_MAX}",
                    self.interval.as_secs()
                ),
            ));
        }
        faults
    }

    /// What alerts are opened with.
    pub(crate) fn options(&self, catalogue: Catalogue) -> anyhow::Result<Options> {
        let roots = self.ca_file.as_deref().map(certificates).transpose();
        Ok(Options {
            catalogue,
            network: Network::new(allowed(&self.allow).map_err(anyhow::Error::msg)?),
            roots: roots.map_err(anyhow::Error::msg)?.unwrap_or_default(),
            base_url: self.base_url.clone(),
            // What becomes of silences and of what is no longer measured is seen as soon as values are.
            tick: self.interval.min(Options::default().tick),
            ..Options::default()
        })
    }
}

fn allowed(texts: &[String]) -> Result<Vec<Allowed>, String> {
    texts.iter().map(|text| text.trim().parse()).collect()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|e| bad(&e))?;
    match all.is_empty() {
        true => Err(bad(&"it has no certificate in PEM")),
        false => Ok(all),
    }
}
