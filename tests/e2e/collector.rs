//! A collector of traces on loopback, which speaks OTLP over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Spans reach it within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps every span that it gets.
pub struct Collector {
    pub url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    /// What the spans' resources say the service is.
    services: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (spans, services) = (Arc::default(), Arc::default());
        let this = Self {
            url,
            spans: Arc::clone(&spans),
            services: Arc::clone(&services),
        };
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (spans, services) = (Arc::clone(&spans), Arc::clone(&services));
                std::thread::spawn(move || serve(stream.unwrap(), &spans, &services));
            }
        });
        this
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub fn services(&self) -> Vec<String> {
        self.services.lock().unwrap().clone()
    }

    /// The spans of a trace, once its request's is there: the request's, and the others by name.
    pub fn trace(&self, id: &str) -> (Span, Vec<Span>) {
        let start = Instant::now();
        loop {
            let of_trace: Vec<Span> = self
                .spans()
                .into_iter()
                .filter(|s| hex(&s.trace_id) == id)
                .collect();
            let (roots, steps): (Vec<Span>, Vec<Span>) = of_trace.into_iter().partition(|s| s.kind == 2);
            if let [root] = &roots[..] {
                return (root.clone(), steps);
            }
            assert!(roots.is_empty(), "{roots:?}");
            assert!(start.elapsed() < PATIENCE, "no trace {id}: {:?}", self.spans());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == key)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// Answer the requests of one connection.
fn serve(stream: TcpStream, spans: &Mutex<Vec<Span>>, services: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert!(line.starts_with("POST /v1/traces "), "{line}");
        let (mut length, mut is_protobuf) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            is_protobuf |= header == "content-type: application/x-protobuf";
        }
        assert!(is_protobuf);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for of_resource in message.resource_spans {
            let named = of_resource.resource.unwrap().attributes;
            let service = named.into_iter().find(|a| a.key == "service.name").unwrap();
            if let Some(Value::StringValue(name)) = service.value.unwrap().value {
                services.lock().unwrap().push(name);
            }
            let all = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(all);
        }
        // An empty message: everything was taken.
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer).unwrap();
    }
}
