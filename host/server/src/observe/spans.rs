//! From the steps of a request to the spans of its trace: one of the request, and one of each step.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use caisson_serving::{About, Role, Step, What};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData};

/// How an answer ended.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// The machine's name of the error.
    pub(super) code: Option<&'static str>,
}

/// The span of a request, while it runs.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) state: TraceState,
    pub(super) name: String,
    pub(super) attributes: Vec<KeyValue>,
    /// The same time on both clocks.
    pub(super) started: (Instant, SystemTime),
}

impl Root {
    /// All spans of the trace, the request's first.
    pub(super) fn spans(
        mut self,
        scope: &InstrumentationScope,
        outcome: Option<Outcome>,
        about: Option<About>,
        steps: &[Step],
    ) -> Vec<SpanData> {
        let shared = about.as_ref().map(of_about).unwrap_or_default();
        let mut spans = Vec::with_capacity(steps.len() + 1);
        let took = self.started.0.elapsed();
        let attributes = std::mem::take(&mut self.attributes);
        let name = Cow::Owned(std::mem::take(&mut self.name));
        let mut request = self.span(scope, self.span, name);
        request.parent_span_id = self.parent.unwrap_or(SpanId::INVALID);
        request.parent_span_is_remote = self.parent.is_some();
        request.span_kind = SpanKind::Server;
        request.end_time = self.started.1 + took;
        request.attributes = [attributes, shared.clone()].concat();
        let id = about.as_ref().and_then(|about| about.request_id.as_deref());
        request
            .attributes
            .extend(id.map(|id| KeyValue::new("caisson.request_id", id.to_owned())));
        match outcome {
            None => request.status = Status::error("the request was given up before it was answered"),
            Some(Outcome { status, code }) => {
                request
                    .attributes
                    .push(KeyValue::new("http.response.status_code", i64::from(status)));
                if status >= 500 {
                    request.status = Status::error(code.unwrap_or_default());
                }
                request
                    .attributes
                    .extend(code.map(|code| KeyValue::new("error.type", code)));
            }
        }
        spans.push(request);
        spans.extend(steps.iter().map(|step| self.step(scope, step, &shared)));
        spans
    }

    fn step(&self, scope: &InstrumentationScope, step: &Step, shared: &[KeyValue]) -> SpanData {
        let id = RandomIdGenerator::default().new_span_id();
        let (name, role) = match &step.what {
            What::Queue => (Cow::Borrowed("queue"), "queue"),
            What::Stage(stage) => (Cow::Owned(stage.name().to_string()), named(stage.role())),
        };
        let mut span = self.span(scope, id, name);
        span.parent_span_id = self.span;
        // A request that shares a run may have come after the run's first.
        let after = step.start.saturating_duration_since(self.started.0);
        span.start_time = self.started.1 + after;
        span.end_time = span.start_time + step.took;
        span.attributes = shared.to_vec();
        span.attributes.push(KeyValue::new("caisson.role", role));
        if let Some(code) = step.error {
            span.attributes.push(KeyValue::new("error.type", code));
            span.status = Status::error(code);
        }
        span
    }

    fn span(&self, scope: &InstrumentationScope, id: SpanId, name: Cow<'static, str>) -> SpanData {
        SpanData {
            span_context: SpanContext::new(self.trace, id, TraceFlags::SAMPLED, false, self.state.clone()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time: self.started.1,
            end_time: self.started.1 + Duration::ZERO,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: scope.clone(),
        }
    }
}

fn of_about(about: &About) -> Vec<KeyValue> {
    let revision = i64::try_from(about.revision).unwrap_or(i64::MAX);
    vec![
        KeyValue::new("caisson.tenant", Arc::clone(about.vitals.tenant())),
        KeyValue::new("caisson.deployment", Arc::clone(about.vitals.deployment())),
        KeyValue::new("caisson.revision", revision),
    ]
}

fn named(role: Role) -> &'static str {
    match role {
        Role::Validator => "validator",
        Role::Transform => "transform",
        Role::Model => "model",
        Role::Predictor => "predictor",
        Role::Post => "post",
        Role::Monitor => "monitor",
    }
}
