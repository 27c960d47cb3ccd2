//! An HTTP server on loopback that keeps what it gets and answers what a test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn status(&self) -> String {
        self.json()["status"].as_str().unwrap().to_owned()
    }
}

pub(crate) enum Answer {
    /// A status, and more lines of the head.
    Status(u16, &'static str),
    /// Nothing, for ever.
    Hang,
    /// A body without end.
    Endless,
}

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<(Mutex<Vec<Request>>, Condvar)>,
}

impl Sink {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::answering(|_, _| Answer::Status(200, ""))
    }

    /// One that takes everything over TLS.
    pub(crate) fn tls(config: rustls::ServerConfig) -> Self {
        Self::listen(Some(Arc::new(config)), |_, _| Answer::Status(200, ""))
    }

    /// One that answers by the request and how many there were before.
    pub(crate) fn answering(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    fn listen(
        tls: Option<Arc<rustls::ServerConfig>>,
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<(Mutex<Vec<Request>>, Condvar)> = Arc::default();
        let answer = Arc::new(answer);
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, answer, tls) = (kept.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let mut stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => Box::new(rustls::StreamOwned::new(
                            rustls::ServerConnection::new(tls).unwrap(),
                            stream,
                        )),
                    };
                    let Some(request) = read(&mut stream) else { return };
                    let before = {
                        let mut seen = kept.0.lock().unwrap();
                        seen.push(request.clone());
                        kept.1.notify_all();
                        seen.len() - 1
                    };
                    // Who asked may be gone.
                    let _ = write(&mut stream, answer(&request, before));
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap().clone()
    }

    /// Wait until there were so many requests.
    pub(crate) fn wait(&self, number: usize) -> Vec<Request> {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock().unwrap();
        while seen.len() < number {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {number} requests came: {seen:#?}",
                seen.len()
            );
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
        seen.clone()
    }
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

fn read(stream: &mut Box<dyn Stream>) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: lines.first()?.clone(),
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

fn write(stream: &mut Box<dyn Stream>, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Status(status, head) => {
            write!(
                stream,
                "HTTP/1.1 {status} X\r\n{head}content-length: 0\r\nconnection: close\r\n\r\n"
            )?;
            stream.flush()
        }
        Answer::Hang => loop {
            std::thread::park();
        },
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 65536])?;
            }
        }
    }
}
