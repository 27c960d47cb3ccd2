//! A real server for a test: its own process, data folder and port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Start-up loads ONNX Runtime and reserves the instance pool; the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The operator's key of servers that ask for keys: a random one, and no secret here.
const OPERATOR_KEY: &str = "csn_GwLBD3me98vu_vfi4FKiAxXvt8orgZCvYQHTe1m0Rwv2EH9Hpng6Vtqf";

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A first-party plugin or example plugin.
pub fn plugin(name: &str) -> Vec<u8> {
    component("plugins", name)
}

/// A guest that misbehaves.
pub fn guest(name: &str) -> Vec<u8> {
    component("test-guests", name)
}

fn component(folder: &str, name: &str) -> Vec<u8> {
    let path = root().join("target").join(folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests` first", path.display()))
}

/// A file of the CDNOW example.
pub fn cdnow(name: &str) -> Vec<u8> {
    let path = root().join("examples/cdnow").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The columns of the CDNOW model, as its facts name them.
pub fn cdnow_columns() -> Vec<String> {
    let facts: Value = serde_json::from_slice(&cdnow("model.json")).unwrap();
    let names = facts["features"].as_array().unwrap();
    names.iter().map(|n| n.as_str().unwrap().to_owned()).collect()
}

/// The `caisson` program.
pub fn caisson() -> Command {
    Command::new(env!("CARGO_BIN_EXE_caisson"))
}

/// A running server. Killed when dropped. As a client, it has no key.
pub struct Server {
    child: Child,
    client: Keyed,
    pub address: String,
    /// The port of gRPC alone, if there is one.
    pub grpc: Option<String>,
    pub data: tempfile::TempDir,
}

impl std::ops::Deref for Server {
    type Target = Keyed;

    fn deref(&self) -> &Keyed {
        &self.client
    }
}

/// A client of a server, with a key or none.
#[derive(Clone)]
pub struct Keyed {
    pub url: String,
    key: Option<String>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Bytes {
    pub status: u16,
    headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Bytes {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    headers: ureq::http::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The answer's `error`, which must be there.
    pub fn error(&self) -> &str {
        self.body["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error in {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn code(&self) -> &str {
        self.body["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code in {self:?}"))
    }
}

impl Server {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Start on a data folder that may have been used before.
    pub fn start_in(data: tempfile::TempDir) -> Self {
        Self::spawn(data, &["--dev"])
    }

    /// As [`Self::start_in`]; the server goes on serving for these seconds when it is told to stop.
    pub fn start_draining(data: tempfile::TempDir, seconds: u64) -> Self {
        Self::spawn(data, &["--dev", "--drain-seconds", &seconds.to_string()])
    }

    /// Start one that asks for keys; the client has the operator's.
    pub fn start_keyed() -> (Self, Keyed) {
        Self::spawn_keyed(tempfile::tempdir().unwrap(), &[])
    }

    /// The same on a data folder that may have been used before, with more flags.
    pub fn spawn_keyed(data: tempfile::TempDir, flags: &[&str]) -> (Self, Keyed) {
        let server = Self::spawn(data, flags);
        let operator = server.with_key(Some(OPERATOR_KEY.to_owned()));
        (server, operator)
    }

    /// Start one that asks for keys on a data folder that may have been used before.
    pub fn restart_keyed(data: tempfile::TempDir) -> Self {
        Self::spawn(data, &[])
    }

    /// Start with more flags.
    pub fn spawn(data: tempfile::TempDir, flags: &[&str]) -> Self {
        Self::spawn_with(data, flags, &[])
    }

    /// The same, with more in its environment.
    pub fn spawn_with(data: tempfile::TempDir, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn_to(data, flags, environment, Stdio::inherit())
    }

    /// Start one that writes its log to a file.
    pub fn spawn_logging(data: tempfile::TempDir, flags: &[&str], log: std::fs::File) -> Self {
        Self::spawn_to(data, flags, &[], log.into())
    }

    fn spawn_to(data: tempfile::TempDir, flags: &[&str], environment: &[(&str, &str)], log: Stdio) -> Self {
        let mut child = caisson()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .args(flags)
            .env("CAISSON_DRAIN_SECONDS", "0")
            .env("CAISSON_OPERATOR_KEY", OPERATOR_KEY)
            .envs(environment.iter().copied())
            .env(
                "CAISSON_ONNXRUNTIME",
                root().join(".caisson/onnxruntime/libonnxruntime.so"),
            )
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the server did not start: {line:?}"))
            .to_owned();
        let address = url.strip_prefix("http://").unwrap().to_owned();
        let grpc = flags.contains(&"--grpc-listen").then(|| {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            line.trim()
                .strip_prefix("listening for gRPC on ")
                .unwrap()
                .to_owned()
        });
        let server = Self {
            child,
            client: Keyed { url, key: None },
            address,
            grpc,
            data,
        };
        let start = Instant::now();
        while server.get("/v2/health/ready").status != 200 {
            assert!(start.elapsed() < START_TIMEOUT, "the server did not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Stop by SIGTERM, wait for the end, and give the data folder back.
    pub fn stop(mut self) -> tempfile::TempDir {
        self.terminate();
        assert!(
            self.child.wait().unwrap().success(),
            "the server did not stop cleanly"
        );
        std::mem::replace(&mut self.data, tempfile::tempdir().unwrap())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Send SIGTERM, and don't wait.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Kill with SIGKILL, and give the data folder back.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.data, tempfile::tempdir().unwrap())
    }

    /// Write bytes to the port as they are, close our side, and read what comes back.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Push the first-party plugins and the model that the CDNOW example needs, and deploy it.
    pub fn with_cdnow() -> Self {
        let server = Self::start();
        server.push_cdnow();
        let answer = server.post("/v1/deployments", "application/yaml", &cdnow("deployment.yaml"));
        assert_eq!(answer.status, 201, "{answer:?}");
        server
    }
}

impl Keyed {
    /// The same server, with another key or none.
    pub fn with_key(&self, key: Option<String>) -> Self {
        Self {
            url: self.url.clone(),
            key,
        }
    }

    /// The same key, at another server.
    pub fn at(&self, server: &Server) -> Self {
        Self {
            url: server.url.clone(),
            key: self.key.clone(),
        }
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Run a `caisson` command against this server, with this key.
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = caisson();
        command
            .args(args)
            .env("CAISSON_SERVER", &self.url)
            .env_remove("CAISSON_KEY");
        command
            .envs(self.key().map(|key| ("CAISSON_KEY", key)))
            .output()
            .unwrap()
    }

    /// The same with another key.
    pub fn cli_as(&self, key: &str, args: &[&str]) -> Output {
        self.with_key(Some(key.to_owned())).cli(args)
    }

    /// As the operator: make a tenant, and give its admin.
    pub fn tenant(&self, id: &str) -> Self {
        let made = self.post_json("/v1/tenants", &json!({ "id": id }));
        assert_eq!(made.status, 201, "{made:?}");
        self.new_key(id, "admin")
    }

    /// As an admin: a key of a role.
    pub fn key_of(&self, role: &str) -> Self {
        let tenant = self.get("/v1/whoami").body["tenant"].as_str().unwrap().to_owned();
        self.new_key(&tenant, role)
    }

    fn new_key(&self, tenant: &str, role: &str) -> Self {
        let wanted = json!({"name": role, "role": role});
        let made = self.post_json(&format!("/v1/tenants/{tenant}/keys"), &wanted);
        assert_eq!(made.status, 201, "{made:?}");
        self.with_key(made.body["key"].as_str().map(str::to_owned))
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let answer = if matches!(method, "GET" | "DELETE") {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body).unwrap())
        };
        answer.unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path, &[], &[]))
    }

    pub fn delete(&self, path: &str) -> Answer {
        answer(self.request("DELETE", path, &[], &[]))
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.post_with(path, content_type, body, &[])
    }

    pub fn post_with(&self, path: &str, content_type: &str, body: &[u8], more: &[(&str, &str)]) -> Answer {
        let headers = [&[("Content-Type", content_type)], more].concat();
        answer(self.request("POST", path, &headers, body))
    }

    pub fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        answer(self.request("PUT", path, &[("Content-Type", content_type)], body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = [("Content-Type", "application/json")];
        answer(self.request("PATCH", path, &headers, body.as_bytes()))
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// A POST with these headers and no others, and whatever comes back.
    pub fn post_bytes(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Bytes {
        read(self.request("POST", path, headers, body))
    }

    /// A body that isn't JSON.
    pub fn text(&self, path: &str) -> String {
        let mut response = self.request("GET", path, &[], &[]);
        response.body_mut().read_to_string().unwrap()
    }

    /// The same for these headers; it must be of this type.
    pub fn text_with(&self, path: &str, headers: &[(&str, &str)], content_type: &str) -> String {
        let answer = read(self.request("GET", path, headers, &[]));
        assert_eq!(answer.header("content-type"), Some(content_type));
        String::from_utf8(answer.body).unwrap()
    }

    /// The bytes that a POST without a body gives.
    pub fn bytes_of_post(&self, path: &str) -> Vec<u8> {
        let mut response = self.request("POST", path, &[], &[]);
        assert_eq!(response.status(), 200);
        response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap()
    }

    /// The bytes that a POST gives in a form.
    pub fn bytes(&self, path: &str, content_type: &str, body: &[u8], accept: &str) -> Vec<u8> {
        let headers = [("Content-Type", content_type), ("Accept", accept)];
        let mut response = self.request("POST", path, &headers, body);
        assert_eq!(response.status(), 200);
        response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap()
    }

    /// A POST's answer that isn't JSON.
    pub fn text_of_post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let mut response = self.request("POST", path, headers, body);
        assert_eq!(response.status(), 200);
        response.body_mut().read_to_string().unwrap()
    }

    /// `/metrics` as text.
    pub fn metrics(&self) -> String {
        self.text("/metrics")
    }

    /// Upload a component that must be accepted.
    pub fn push(&self, component: &[u8]) -> Value {
        let answer = self.post("/v1/plugins", "application/wasm", component);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.body
    }

    /// Apply a deployment that must be accepted.
    pub fn deploy(&self, spec: &Value) -> Value {
        let answer = self.post_json("/v1/deployments", spec);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.body
    }

    /// Register a model version.
    pub fn push_model(&self, name: &str, model: &[u8], metadata: &Value, baseline: Option<&[u8]>) -> Answer {
        let metadata = metadata.to_string();
        let mut parts: Vec<(&str, &[u8])> = vec![("model", model), ("metadata", metadata.as_bytes())];
        parts.extend(baseline.map(|bytes| ("baseline", bytes)));
        let mut body = Vec::new();
        for (part, bytes) in parts {
            let kind = match part {
                "baseline" => "text/csv",
                "metadata" => "application/json",
                _ => "application/octet-stream",
            };
            body.extend_from_slice(
                format!("--xyzzy\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\nContent-Type: {kind}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--xyzzy--\r\n");
        self.post(
            &format!("/v1/models/{name}"),
            "multipart/form-data; boundary=xyzzy",
            &body,
        )
    }

    /// Everything of the CDNOW example but the deployment itself.
    pub fn push_cdnow(&self) {
        for name in CDNOW_PLUGINS {
            self.push(&plugin(name));
        }
        let metadata: Value = serde_json::from_slice(&cdnow("model.json")).unwrap();
        let answer = self.push_model(
            "cdnow-repurchase",
            &cdnow("model.onnx"),
            &metadata,
            Some(&cdnow("baseline.csv")),
        );
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

type Response = ureq::http::Response<ureq::Body>;

fn read(mut response: Response) -> Bytes {
    Bytes {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap(),
    }
}

fn answer(response: Response) -> Answer {
    let Bytes {
        status,
        headers,
        body,
    } = read(response);
    let content_type = headers
        .get("content-type")
        .map(|v| v.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|e| panic!("{status}: {e}: {}", String::from_utf8_lossy(&body)));
    Answer {
        status,
        content_type,
        headers,
        body,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is there, as soon as it is: servers on a busy machine take their time.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(90), "{what}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// What `examples/cdnow/deployment.yaml` names.
pub const CDNOW_PLUGINS: &[&str] = &[
    "range",
    "impute",
    "log1p",
    "standardize",
    "customer-value",
    "ks",
    "psi",
];

/// A deployment with one numeric column and the given transforms.
pub fn one_column(name: &str, transforms: Value) -> Value {
    json!({"name": name, "input": [{"name": "x", "type": "fp32", "nullable": true}], "transforms": transforms})
}
