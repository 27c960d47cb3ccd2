//! A real server for a test: its own process, data folder and port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Start-up loads ONNX Runtime and reserves the instance pool; the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(60);

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

/// The `caisson` program.
pub fn caisson() -> Command {
    Command::new(env!("CARGO_BIN_EXE_caisson"))
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub address: String,
    pub data: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

impl Answer {
    /// The answer's `error`, which must be there.
    pub fn error(&self) -> &str {
        self.body["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error in {self:?}"))
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
        Self::start_draining(data, 0)
    }

    /// As [`Self::start_in`]; the server goes on serving for these seconds when it is told to stop.
    pub fn start_draining(data: tempfile::TempDir, seconds: u64) -> Self {
        let mut child = caisson()
            .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
            .args(["--drain-seconds", &seconds.to_string(), "--data-dir"])
            .arg(data.path())
            .env(
                "CAISSON_ONNXRUNTIME",
                root().join(".caisson/onnxruntime/libonnxruntime.so"),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the server did not start: {line:?}"))
            .to_owned();
        let address = url.strip_prefix("http://").unwrap().to_owned();
        let server = Self {
            child,
            url,
            address,
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

    pub fn get(&self, path: &str) -> Answer {
        self.send(
            ureq::get(format!("{}{path}", self.url))
                .config()
                .http_status_as_error(false)
                .build()
                .call(),
        )
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send(
            ureq::delete(format!("{}{path}", self.url))
                .config()
                .http_status_as_error(false)
                .build()
                .call(),
        )
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.send(
            ureq::post(format!("{}{path}", self.url))
                .config()
                .http_status_as_error(false)
                .build()
                .header("Content-Type", content_type)
                .send(body),
        )
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// `/metrics` as text.
    pub fn metrics(&self) -> String {
        ureq::get(format!("{}/metrics", self.url))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap()
    }

    fn send(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        let mut response = result.unwrap();
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let bytes = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|e| panic!("{status}: {e}: {}", String::from_utf8_lossy(&bytes)));
        Answer {
            status,
            content_type,
            body,
        }
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

    /// Run a `caisson` command against this server.
    pub fn cli(&self, args: &[&str]) -> Output {
        caisson()
            .args(args)
            .env("CAISSON_SERVER", &self.url)
            .output()
            .unwrap()
    }

    /// Push the first-party plugins and the model that the CDNOW example needs, and deploy it.
    pub fn with_cdnow() -> Self {
        let server = Self::start();
        server.push_cdnow();
        let answer = server.post("/v1/deployments", "application/yaml", &cdnow("deployment.yaml"));
        assert_eq!(answer.status, 201, "{answer:?}");
        server
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
