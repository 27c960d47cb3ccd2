//! Traces on their way to a collector, over OTLP.
//!
//! A finished trace goes into a bounded queue and nothing waits for it; one that finds no room is dropped
//! and counted. One task takes what is there about once a second and hands it over. A collector that fails
//! costs its traces, a count, and a line in the log once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Traces that wait. Each has about ten spans of some hundred bytes: a few megabytes in all.
const WAITING_MAX: usize = 2048;
/// Traces in one message.
const TRACES_AT_ONCE: usize = 256;
/// How long a trace waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last traces may take when the server stops.
const LAST: Duration = Duration::from_secs(5);
/// At most one line of failures in this time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What became of traces.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) exported: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Where finished traces go.
#[derive(Debug)]
pub(super) struct Export {
    queue: mpsc::Sender<Vec<SpanData>>,
    counts: Arc<Counts>,
    stop: Arc<Notify>,
}

impl Export {
    /// Start the task that hands traces over to the collector at `endpoint`.
    ///
    /// # Errors
    ///
    /// An address that is none; TLS that can't be had.
    pub(super) fn start(endpoint: &str) -> anyhow::Result<(Self, JoinHandle<()>)> {
        // Whoever installed one before has the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("starting a client for traces")?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .context("preparing the export of traces")?;
        let resource = Resource::builder()
            .with_attribute(KeyValue::new("service.name", "caisson"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        exporter.set_resource(&resource.build());
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let this = Self {
            queue,
            counts: Arc::default(),
            stop: Arc::default(),
        };
        let task = Task {
            waiting,
            exporter,
            counts: Arc::clone(&this.counts),
            stop: Arc::clone(&this.stop),
            said: None,
            unsaid: 0,
        };
        Ok((this, tokio::spawn(task.run())))
    }

    /// Hand a trace over; it never waits.
    pub(super) fn offer(&self, trace: Vec<SpanData>) {
        if self.queue.try_send(trace).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Export what waits, and end.
    pub(super) async fn close(&self, task: JoinHandle<()>) {
        self.stop.notify_one();
        if timeout(LAST, task).await.is_err() {
            tracing::warn!("the last traces could not be exported in time");
        }
    }
}

struct Task {
    waiting: mpsc::Receiver<Vec<SpanData>>,
    exporter: SpanExporter,
    counts: Arc<Counts>,
    stop: Arc<Notify>,
    /// When a failure was last said, and how many traces failed since.
    said: Option<Instant>,
    unsaid: u64,
}

impl Task {
    async fn run(mut self) {
        let stop = Arc::clone(&self.stop);
        let mut stopped = std::pin::pin!(stop.notified());
        loop {
            let first = tokio::select! {
                first = self.waiting.recv() => first,
                () = &mut stopped => break,
            };
            let Some(first) = first else { return };
            let mut traces = vec![first];
            let until = Instant::now() + GATHER;
            let is_over = tokio::select! {
                () = gather(&mut self.waiting, &mut traces, until) => false,
                () = &mut stopped => true,
            };
            self.export(traces).await;
            if is_over {
                break;
            }
        }
        loop {
            let mut traces = Vec::new();
            while traces.len() < TRACES_AT_ONCE
                && let Ok(trace) = self.waiting.try_recv()
            {
                traces.push(trace);
            }
            if traces.is_empty() {
                return;
            }
            self.export(traces).await;
        }
    }

    async fn export(&mut self, traces: Vec<Vec<SpanData>>) {
        let count = traces.len() as u64;
        match self.exporter.export(traces.into_iter().flatten().collect()).await {
            Ok(()) => _ = self.counts.exported.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                self.counts.failed.fetch_add(count, Ordering::Relaxed);
                self.unsaid += count;
                if self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    self.said = Some(Instant::now());
                    let traces = std::mem::take(&mut self.unsaid);
                    tracing::warn!(%error, traces, "traces could not be exported");
                }
            }
        }
    }
}

/// Take traces until there are enough, or time is over.
async fn gather(
    waiting: &mut mpsc::Receiver<Vec<SpanData>>,
    traces: &mut Vec<Vec<SpanData>>,
    until: Instant,
) {
    while traces.len() < TRACES_AT_ONCE {
        match timeout_at(until, waiting.recv()).await {
            Ok(Some(trace)) => traces.push(trace),
            Ok(None) | Err(_) => return,
        }
    }
}
