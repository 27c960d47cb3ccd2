//! `[tracing]`, complete and checked.

use axum::http::Uri;
use serde::Serialize;

use super::file;

/// One in ten: enough to see where time goes, and a collector for a busy server stays small.
const SAMPLE: f64 = 0.1;

/// Where traces of requests go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tracing {
    /// The collector; no traces without one.
    pub(crate) otlp_endpoint: Option<String>,
    /// The share of requests that are traced among those that bring no trace of their caller.
    pub(crate) sample: f64,
}

impl Tracing {
    /// What a file, or what overrides it, makes of it. An empty address is none: so a variable of the
    /// environment turns off what a file turns on.
    pub(super) fn of(file: file::Tracing) -> Self {
        Self {
            otlp_endpoint: file.otlp_endpoint.filter(|endpoint| !endpoint.is_empty()),
            sample: file.sample.unwrap_or(SAMPLE),
        }
    }

    /// What can be told to be wrong, by key.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(0.0..=1.0).contains(&self.sample) {
            faults.push(("sample", format!("{} is no share from 0 to 1", self.sample)));
        }
        if let Some(endpoint) = &self.otlp_endpoint {
            let uri: Option<Uri> = endpoint.parse().ok();
            let is_http = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            });
            if !is_http {
                faults.push((
                    "otlp_endpoint",
                    format!("`{endpoint}` is no address of a collector, such as http://127.0.0.1:4318"),
                ));
            }
        }
        faults
    }
}
