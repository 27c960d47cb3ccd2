//! The few HTTP calls that the demo makes: the ones that any user of the API makes.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The largest answer read: a chunk of predictions is a few hundred kilobytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A server's base URL, with a connection that is used again.
pub(crate) struct Api {
    agent: ureq::Agent,
    url: String,
}

/// A status and a JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self {
            agent: config.into(),
            url,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        read(response).with_context(|| format!("GET {path}"))
    }

    pub(crate) fn get_text(&self, path: &str) -> Result<String> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call()?;
        Ok(response.body_mut().read_to_string()?)
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Content-Type", content_type);
        read(request.send(body)).with_context(|| format!("POST {path}"))
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// Post a form with a part for each file.
    pub(crate) fn post_form(&self, path: &str, parts: &[(&str, &[u8])]) -> Result<Answer> {
        // No line of a model, of JSON or of CSV numbers is this.
        const BOUNDARY: &str = "--------------------------caisson-xtask-5f3b0c92d1";
        let mut body = Vec::new();
        for (name, bytes) in parts {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.post(path, &format!("multipart/form-data; boundary={BOUNDARY}"), &body)
    }
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = response?;
    let status = response.status().as_u16();
    let bytes = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()?;
    let body = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "the answer ({status}) is no JSON: {}",
            String::from_utf8_lossy(&bytes)
        )
    })?;
    Ok(Answer { status, body })
}

impl Answer {
    /// The body of a success; else the server's own error.
    pub(crate) fn ok(self) -> Result<Value> {
        if self.status >= 300 {
            bail!("the server answered {}: {}", self.status, self.text("error"));
        }
        Ok(self.body)
    }

    /// A refusal with this status.
    pub(crate) fn refused(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "the server answered {} where {status} was expected: {}",
            self.status,
            self.body
        );
        Ok(self)
    }

    /// A text of the body; empty if it isn't there.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
