//! Which requests are traced, and what happens around one that is.
//!
//! A request goes on with its caller's trace if that is sampled, and isn't traced if that isn't. Without a
//! caller's trace a share of all requests is. Where nobody exports traces, and logs are for people, all of
//! this is one branch.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use axum::extract::Request;
use axum::response::Response;
use caisson_metrics::{Exposition, catalogue as metric};
use caisson_serving::{Sampler, Trail};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

use super::context::Parent;
use super::export::{Counts, Export};
use super::spans::{Outcome, Root};
use crate::config::Tracing;
use crate::grpc;

/// Bytes of a request's id in the log.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What is done about traces.
pub(crate) struct Traces {
    exporting: Option<Arc<Exporting>>,
    /// Do lines of the log say which request they are of?
    names_requests: bool,
}

struct Exporting {
    export: Export,
    task: Mutex<Option<JoinHandle<()>>>,
    sampler: Sampler,
    scope: InstrumentationScope,
}

impl Traces {
    /// As configured. In a runtime.
    ///
    /// # Errors
    ///
    /// Those of [`Export::start`].
    pub(crate) fn start(settings: &Tracing, names_requests: bool) -> anyhow::Result<Self> {
        let exporting = match &settings.otlp_endpoint {
            None => None,
            Some(endpoint) => {
                let (export, task) = Export::start(endpoint)?;
                tracing::info!(endpoint, sample = settings.sample, "traces are exported");
                Some(Arc::new(Exporting {
                    export,
                    task: Mutex::new(Some(task)),
                    sampler: Sampler::new(settings.sample),
                    scope: InstrumentationScope::builder("caisson")
                        .with_version(env!("CARGO_PKG_VERSION"))
                        .build(),
                }))
            }
        };
        Ok(Self {
            names_requests: names_requests || exporting.is_some(),
            exporting,
        })
    }

    /// Export what waits.
    pub(crate) async fn close(&self) {
        let Some(exporting) = &self.exporting else { return };
        let task = exporting
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            exporting.export.close(task).await;
        }
    }

    pub(crate) fn expose(&self, to: &mut Exposition) {
        let Some(exporting) = &self.exporting else { return };
        let Counts {
            exported,
            dropped,
            failed,
        } = exporting.export.counts();
        for (outcome, count) in [("exported", exported), ("dropped", dropped), ("failed", failed)] {
            to.count(&metric::TRACES, &[outcome], count.load(Ordering::Relaxed));
        }
    }

    /// What is to be done around a request to a route; usually nothing.
    pub(crate) fn begin(&self, request: &Request, route: &str) -> Option<Traced> {
        match self.names_requests {
            true => self.look(request, route),
            false => None,
        }
    }

    fn look(&self, request: &Request, route: &str) -> Option<Traced> {
        let headers = request.headers();
        let parent = Parent::of(headers);
        let id = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let id = id.filter(|id| id.len() <= REQUEST_ID_BYTES_MAX);
        let sampled = self.exporting.as_ref().filter(|exporting| match &parent {
            Some(parent) => parent.is_sampled,
            None => exporting.sampler.takes(),
        });
        if parent.is_none() && sampled.is_none() && id.is_none() {
            return None;
        }
        let ids = RandomIdGenerator::default();
        let trace = match &parent {
            Some(parent) => Some(parent.trace),
            None => sampled.map(|_| ids.new_trace_id()),
        };
        // At the highest level, so that no filter of lines takes the ids from them.
        let span = tracing::error_span!("request", trace_id = tracing::field::Empty, request_id = id);
        if let Some(trace) = trace {
            span.record("trace_id", tracing::field::display(trace));
        }
        let outcome = Arc::new(Mutex::new(None));
        let trail = sampled.zip(trace).map(|(exporting, trace)| {
            let (name, attributes) = named(request, route);
            let root = Root {
                trace,
                span: ids.new_span_id(),
                parent: parent.as_ref().map(|parent| parent.span),
                state: parent.map(|parent| parent.state).unwrap_or_default(),
                name,
                attributes,
                started: (Instant::now(), SystemTime::now()),
            };
            let (exporting, outcome) = (Arc::clone(exporting), Arc::clone(&outcome));
            Trail::ending(span.clone(), move |about, steps| {
                let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
                let spans = root.spans(&exporting.scope, outcome, about, &steps);
                exporting.export.offer(spans);
            })
        });
        Some(Traced { span, trail, outcome })
    }
}

/// A request that is traced, or named in the log.
pub(crate) struct Traced {
    span: Span,
    trail: Option<Arc<Trail>>,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Traced {
    /// Answer the request; `judge` says the status and the code of an answer's error.
    pub(crate) async fn around(
        self,
        answer: impl Future<Output = Response>,
        judge: impl FnOnce(&Response) -> (u16, Option<&'static str>),
    ) -> Response {
        let Self { span, trail, outcome } = self;
        let answer = answer.instrument(span);
        let Some(trail) = trail else {
            return answer.await;
        };
        let response = Arc::clone(&trail).follow(answer).await;
        let (status, code) = judge(&response);
        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(Outcome { status, code });
        response
    }
}

/// The name of a request's span, and what is known of it before it is answered. By the route, never the
/// path: a path has any number of names.
fn named(request: &Request, route: &str) -> (String, Vec<KeyValue>) {
    if grpc::is_call(request.headers()) {
        let method = route.trim_start_matches('/').to_owned();
        let attributes = vec![
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.method", method.clone()),
        ];
        return (method, attributes);
    }
    let method = request.method().as_str();
    let attributes = vec![
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("http.route", route.to_owned()),
    ];
    (format!("{method} {route}"), attributes)
}
