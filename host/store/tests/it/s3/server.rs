//! An S3 server on loopback, for one test: moto, which is Python.
//!
//! The tests install it by themselves, once, into cargo's folder for tests. Without Python or without
//! its packages they fail and say so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use caisson_store::{BlobBackend, Credentials, Options, UrlOptions};

/// The bucket that a server has from the start.
pub(super) const BUCKET: &str = "blobs";

/// A running server; ended when it is dropped.
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that knows nobody's credentials once the bucket is made.
    pub(super) fn start_and_refuse_everybody() -> Self {
        Self::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", "0"])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("Running on http://")?.1.trim().to_owned()))
            .expect("moto_server ended before it listened");
        // A full pipe would stop it.
        std::thread::spawn(move || said.for_each(drop));
        let server = Self { child, address };
        assert_eq!(server.request("PUT", BUCKET, b"").0, 200);
        server
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The options of a store with its blobs here.
    pub(super) fn options(&self, url: &str) -> Options {
        options(url, &self.endpoint())
    }

    /// Status and body of a request behind the store's back. The server doesn't check its signature.
    pub(super) fn request(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }
}

pub(super) fn options(url: &str, endpoint: &str) -> Options {
    Options {
        blobs: BlobBackend::Url {
            url: url.to_owned(),
            options: UrlOptions {
                endpoint: Some(endpoint.to_owned()),
                region: Some("us-east-1".to_owned()),
                allow_http: true,
                credentials: Some(Credentials {
                    access_key_id: "id".to_owned(),
                    secret_access_key: "secret".to_owned(),
                }),
                ..UrlOptions::default()
            },
        },
        ..Options::default()
    }
}

/// The installed server; installed where it isn't yet.
fn program() -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/it/s3/requirements.txt");
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = caisson_test_tools::python::environment(tmp, "s3-server", &requirements).unwrap();
    python.with_file_name("moto_server")
}
