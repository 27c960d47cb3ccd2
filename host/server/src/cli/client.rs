//! A small blocking client of the HTTP API.
//!
//! A refusal by the server becomes an error that prints the server's sentence with stage, row,
//! column and violations; a server that can't be reached says so with its address.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use ureq::AsSendBody;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, EXPECT, LOCATION};
use ureq::http::request::Builder;
use ureq::http::{Method, Request, StatusCode};

use super::Remote;
use super::waiting::Waiting;

/// Longest answer that is read. Predictions for the largest body a server takes stay below it.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How long one call may take: deploying compiles plugins and loads models.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes that are sent before the server has said that it wants them. What is longer waits for that,
/// so that a refusal (no key, over a quota) is read and doesn't end as a broken connection.
const UNASKED_BYTES_MAX: usize = 64 << 10;
/// Files larger than this are refused before they are read into memory.
const FILE_BYTES_MAX: u64 = 2 << 30;
const JSON: &str = "application/json";
/// What to do about a 401 when no key was sent.
const NO_KEY: &str = "\n  no key was sent: put one into the environment variable CAISSON_KEY, or give --key-file FILE\n  \
     an admin of your tenant makes one with `caisson key create`; a server's first start prints its operator's";

type Response = ureq::http::Response<ureq::Body>;

/// Speaks to one server.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    /// The `Authorization` header.
    authorization: Option<String>,
    /// Print answers as they came.
    pub(crate) json: bool,
}

/// What is sent with a request.
struct Body<'a> {
    content_type: &'a str,
    bytes: &'a [u8],
}

impl Client {
    /// A client of the server that the command line names.
    ///
    /// # Errors
    ///
    /// A key file that can't be read or holds no key.
    pub(crate) fn new(remote: &Remote) -> anyhow::Result<Self> {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            // A key goes to the server that was named and to no other.
            .max_redirects(0)
            .build()
            .new_agent();
        let this = Self {
            agent,
            base: remote.server.trim_end_matches('/').to_owned(),
            authorization: remote.authorization()?,
            json: remote.json,
        };
        if this.authorization.is_some() && is_open(&this.base) {
            eprintln!(
                "warning: the key goes to {} unencrypted, where others may read it on the way; use https",
                this.base
            );
        }
        Ok(this)
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, &[], None)
    }

    /// `DELETE path`.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, &[], None)
    }

    /// `POST path` with a body.
    pub(crate) fn post(&self, path: &str, content_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        self.post_with(path, &[], content_type, bytes)
    }

    /// `POST path` with further headers.
    pub(crate) fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        bytes: &[u8],
    ) -> anyhow::Result<Value> {
        let body = Body { content_type, bytes };
        self.ask(Method::POST, path, headers, Some(body))
    }

    /// `POST path` with JSON.
    pub(crate) fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post(path, JSON, body.to_string().as_bytes())
    }

    /// `PUT path` with a body.
    pub(crate) fn put(&self, path: &str, content_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, &[], Some(Body { content_type, bytes }))
    }

    /// `PUT path` with JSON.
    pub(crate) fn put_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.put(path, JSON, body.to_string().as_bytes())
    }

    /// `PATCH path` with JSON.
    pub(crate) fn patch_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = body.to_string();
        let body = Body {
            content_type: JSON,
            bytes: text.as_bytes(),
        };
        self.ask(Method::PATCH, path, &[], Some(body))
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

    /// `GET path` or `POST path` for an answer of any length, which is read as it comes.
    pub(crate) fn stream(&self, method: Method, path: &str) -> anyhow::Result<impl Read + use<>> {
        let body = (method == Method::POST).then_some(Body {
            content_type: JSON,
            bytes: b"",
        });
        let response = self.send(method, path, &[], body, true)?;
        if !response.status().is_success() {
            self.answer(response)?;
            bail!("{} gave no answer to {path}", self.base);
        }
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// The tenant that a command is about: the one given, or the key's own.
    pub(crate) fn tenant(&self, given: Option<&str>) -> anyhow::Result<String> {
        if let Some(tenant) = given {
            return Ok(tenant.to_owned());
        }
        self.get("/v1/whoami")?
            .get("tenant")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("{} doesn't say whose key this is; give the tenant", self.base))
    }

    /// The server's address, and the `Authorization` header if there is a key.
    pub(crate) fn address(&self) -> (&str, Option<&str>) {
        (&self.base, self.authorization.as_deref())
    }

    /// The server's refusal, as an error.
    pub(crate) fn refused(&self, status: u16, body: &Value) -> anyhow::Error {
        if self.json {
            eprintln!("{body}");
        }
        let mut message = refusal(status, body);
        if status == StatusCode::UNAUTHORIZED.as_u16() && self.authorization.is_none() {
            message.push_str(NO_KEY);
        }
        anyhow!("{message}")
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Body<'_>>,
    ) -> anyhow::Result<Value> {
        let _waiting = Waiting::on(&self.base);
        self.answer(self.send(method, path, headers, body, false)?)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Body<'_>>,
        endless: bool,
    ) -> anyhow::Result<Response> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let result = match body {
            None => self.run(self.built(request, ())?, endless),
            Some(Body { content_type, bytes }) => {
                request = request.header(CONTENT_TYPE, content_type);
                if bytes.len() > UNASKED_BYTES_MAX {
                    request = request.header(EXPECT, "100-continue");
                }
                self.run(self.built(request, bytes)?, endless)
            }
        };
        result.with_context(|| format!("no answer from {} (is `caisson serve` running there?)", self.base))
    }

    fn built<B>(&self, request: Builder, body: B) -> anyhow::Result<Request<B>> {
        request
            .body(body)
            .with_context(|| format!("--server {}: no request can be made of it", self.base))
    }

    fn run(&self, request: Request<impl AsSendBody>, endless: bool) -> Result<Response, ureq::Error> {
        if !endless {
            return self.agent.run(request);
        }
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(None)
            .timeout_per_read(Some(CALL_TIMEOUT))
            .build();
        self.agent.run(request)
    }

    fn answer(&self, mut response: Response) -> anyhow::Result<Value> {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION);
            bail!(
                "{} answers {status} and sends on to {}; name the server itself with --server",
                self.base,
                to.and_then(|to| to.to_str().ok()).unwrap_or("somewhere else")
            );
        }
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
        Err(self.refused(status.as_u16(), &value))
    }
}

/// Is this an address that a key reaches over a network without encryption?
fn is_open(base: &str) -> bool {
    let Ok(uri) = base.parse::<ureq::http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    uri.scheme_str() == Some("http")
        && host != "localhost"
        && !address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
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

/// A file as messages name it.
pub(crate) fn shown(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// Read a text that the command line names; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read_file(path)?).map_err(|_| anyhow!("{} is no text in UTF-8", shown(path)))
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

/// `?a=1&b=2` of the parameters that have a value.
pub(crate) fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut out = String::new();
    for (name, value) in parameters {
        if let Some(value) = value {
            out.push(if out.is_empty() { '?' } else { '&' });
            out.push_str(&format!("{name}={}", segment(value)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(query(&[("a", None)]), "");
        assert_eq!(
            query(&[("a", Some("x&y=ü")), ("b", None), ("c", Some("1"))]),
            "?a=x%26y%3D%C3%BC&c=1"
        );
    }

    #[test]
    fn a_key_over_plain_http_is_warned_of_where_others_can_read_it() {
        for open in [
            "http://caisson.example.org",
            "http://10.0.0.1:8080",
            "http://[2001:db8::1]:80",
        ] {
            assert!(is_open(open), "{open}");
        }
        for closed in [
            "https://caisson.example.org",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(!is_open(closed), "{closed}");
        }
    }

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
