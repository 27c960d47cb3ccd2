//! The HTTP calls of this program: the ones that any user of the API makes.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use ureq::http::Request;

/// The largest answer read: a chunk of predictions is a few hundred kilobytes, the audit log of a long
/// kill test some ten megabytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A server's base URL, with connections that are used again, and a key where the server asks for one.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    url: String,
    key: Option<String>,
    request_id: Option<String>,
}

/// A status and a JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// The header that says how much of a body with binary tensors is JSON.
pub(crate) const HEADER_LENGTH: &str = "Inference-Header-Content-Length";

/// A status and a body as it came.
#[derive(Debug)]
pub(crate) struct Bytes {
    pub(crate) status: u16,
    /// What [`HEADER_LENGTH`] says.
    pub(crate) header_length: Option<usize>,
    pub(crate) body: Vec<u8>,
}

impl Api {
    pub(crate) fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self {
            agent: config.into(),
            url,
            key: None,
            request_id: None,
        }
    }

    /// The same server and connections, with this key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same server and connections, with the key of another.
    pub(crate) fn with_key_of(&self, other: &Self) -> Self {
        Self {
            key: other.key.clone(),
            ..self.clone()
        }
    }

    /// The same, and the server's audit log will have this id for the request.
    pub(crate) fn with_request_id(&self, id: &str) -> Self {
        Self {
            request_id: Some(id.to_owned()),
            ..self.clone()
        }
    }

    /// The key that requests carry.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None)
    }

    pub(crate) fn get_text(&self, path: &str) -> Result<String> {
        let response = self.agent.run(self.request("GET", path).body(())?);
        let text = response.map_err(anyhow::Error::from).and_then(|response| {
            let (_, bytes) = read(response)?;
            Ok(String::from_utf8(bytes)?)
        });
        text.with_context(|| format!("GET {path}"))
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        self.send("POST", path, Some((content_type, body)))
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// Post with these headers; the answer's body is taken as it is.
    pub(crate) fn exchange(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Bytes> {
        let request = headers
            .iter()
            .fold(self.request("POST", path), |request, (name, value)| {
                request.header(*name, value)
            });
        let response = self.agent.run(request.body(body)?);
        let answer = response.map_err(anyhow::Error::from).and_then(|response| {
            let length = response.headers().get(HEADER_LENGTH);
            let header_length = length.and_then(|value| value.to_str().ok()?.parse().ok());
            let (status, body) = read(response)?;
            Ok(Bytes {
                status,
                header_length,
                body,
            })
        });
        answer.with_context(|| format!("POST {path}"))
    }

    pub(crate) fn put_json(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(
            "PUT",
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None)
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

    fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer> {
        let request = self.request(method, path);
        let response = match body {
            Some((content_type, bytes)) => self
                .agent
                .run(request.header("Content-Type", content_type).body(bytes)?),
            None => self.agent.run(request.body(())?),
        };
        let answer = response.map_err(anyhow::Error::from).and_then(|response| {
            let (status, bytes) = read(response)?;
            let body = serde_json::from_slice(&bytes).with_context(|| {
                let text = String::from_utf8_lossy(&bytes);
                format!("the answer ({status}) is no JSON: {text}")
            })?;
            Ok(Answer { status, body })
        });
        answer.with_context(|| format!("{method} {path}"))
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        if let Some(id) = &self.request_id {
            request = request.header("X-Request-Id", id);
        }
        request
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<(u16, Vec<u8>)> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    Ok((status, body.read_to_vec()?))
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
