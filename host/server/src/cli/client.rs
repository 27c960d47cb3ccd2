//! A small blocking client of the HTTP API.
//!
//! A refusal by the server becomes an error that prints the server's sentence with stage, row,
//! column and violations; a server that can't be reached says so with its address.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::Remote;

/// Longest answer that is read. Predictions for the largest body a server takes stay below it.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How long one call may take: deploying compiles plugins and loads models.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// Files larger than this are refused before they are read into memory.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Speaks to one server.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    /// Print answers as they came.
    pub(crate) json: bool,
}

impl Client {
    /// A client of the server that the command line names.
    pub(crate) fn new(remote: &Remote) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self {
            agent,
            base: remote.server.trim_end_matches('/').to_owned(),
            json: remote.json,
        }
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.agent.get(self.url(path)).call())
    }

    /// `DELETE path`.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.agent.delete(self.url(path)).call())
    }

    /// `POST path` with a body.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Value> {
        self.answer(
            self.agent
                .post(self.url(path))
                .header("Content-Type", content_type)
                .send(body),
        )
    }

    /// `POST path` with a multipart form of the given parts.
    pub(crate) fn post_form(&self, path: &str, parts: &[FormPart<'_>]) -> anyhow::Result<Value> {
        let boundary = boundary(parts);
        let mut body = Vec::with_capacity(parts.iter().map(|p| p.bytes.len() + 256).sum());
        for part in parts {
            body.extend_from_slice(
                format!(
                    "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
                    part.name, part.name, part.content_type
                )
                .as_bytes(),
            );
            body.extend_from_slice(part.bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        self.post(path, &format!("multipart/form-data; boundary={boundary}"), &body)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn answer(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut response = result
            .with_context(|| format!("no answer from {} (is `caisson serve` running there?)", self.base))?;
        let status = response.status();
        let bytes = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .context("the server's answer broke off")?;
        let value: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|_| {
                anyhow!(
                    "{} answered {status} with something that is not JSON; is it a Caisson server?",
                    self.base
                )
            })?
        };
        if status.is_success() {
            return Ok(value);
        }
        if self.json {
            eprintln!("{value}");
        }
        bail!("{}", refusal(status.as_u16(), &value))
    }
}

/// One part of a form.
pub(crate) struct FormPart<'a> {
    /// Name of the part.
    pub(crate) name: &'static str,
    /// Its media type.
    pub(crate) content_type: &'static str,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
}

/// A boundary that none of the parts contains.
fn boundary(parts: &[FormPart<'_>]) -> String {
    (0u32..)
        .map(|n| format!("caisson-form-{n}"))
        .find(|candidate| {
            let needle = candidate.as_bytes();
            !parts
                .iter()
                .any(|p| p.bytes.windows(needle.len()).any(|w| w == needle))
        })
        .unwrap_or_default()
}

/// The server's refusal as text.
fn refusal(status: u16, body: &Value) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let mut message = text("error").unwrap_or("the server gave no reason").to_owned();
    if let Some(code) = text("code") {
        message.push_str(&format!(" ({status} {code})"));
    } else {
        message.push_str(&format!(" ({status})"));
    }
    for violation in body
        .get("violations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(20)
    {
        let place = match (
            violation.get("row").and_then(Value::as_u64),
            violation.get("column").and_then(Value::as_str),
        ) {
            (Some(row), Some(column)) => format!("row {row}, column {column}: "),
            (Some(row), None) => format!("row {row}: "),
            (None, Some(column)) => format!("column {column}: "),
            (None, None) => String::new(),
        };
        message.push_str(&format!(
            "\n  {place}{}",
            violation.get("message").and_then(Value::as_str).unwrap_or("")
        ));
    }
    message
}

/// Read a file that the command line names; `-` is standard input.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .context("reading standard input")?;
        return Ok(bytes);
    }
    let length = std::fs::metadata(path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    if length > FILE_BYTES_MAX {
        bail!(
            "{} has {length} bytes; at most {FILE_BYTES_MAX} can be sent",
            path.display()
        );
    }
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// A path segment, percent-encoded, so that a name can't become another route.
pub(crate) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) && name != "." && name != ".." {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("one-hot_1.2"), "one-hot_1.2");
        assert_eq!(segment("../x"), "..%2Fx");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("a?b#c"), "a%3Fb%23c");
    }

    #[test]
    fn a_boundary_is_not_in_the_parts() {
        let part = FormPart {
            name: "a",
            content_type: "b",
            bytes: b"--caisson-form-0\r\n",
        };
        assert_eq!(boundary(&[part]), "caisson-form-1");
    }

    #[test]
    fn a_refusal_shows_where() {
        let body = serde_json::json!({"error": "refused", "code": "violations",
            "violations": [{"row": 2, "column": "age", "message": "-1 is below 0"}]});
        let text = refusal(422, &body);
        assert!(
            text.contains("422 violations") && text.contains("row 2, column age: -1 is below 0"),
            "{text}"
        );
    }
}
