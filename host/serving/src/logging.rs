//! The prediction log's place on the request path.
//!
//! A deployment without a log pays one branch. With one, each request has a [`Ticket`] that says what it is
//! called and whether it is sampled; for a sampled one its rows and its answer are copied and handed over,
//! and nothing waits. Features are what the transforms give when they run again, behind the answer, on the
//! tenant's account and with its priority, one request of a revision at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caisson_data::Batch;
use caisson_predictions::{Answer, Log, RowNumbers, Space, Unlogged};
use caisson_sandbox::{Meter, Sandbox};
use tokio::sync::Semaphore;

use crate::error::{Kind, ServingError};
use crate::pipeline::Pipeline;
use crate::sample::Sampler;
use crate::spec::MonitorTarget;

/// Bytes of a request's id: a UUID has 36, a trace's id 55.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Requests of a revision whose features are waited for. What comes on top is dropped and counted; the
/// rows' bytes have a bound of their own.
const FEATURES_WAITING_MAX: usize = 1024;

/// What the time of a stage takes, with its name.
const STAGE_BYTES: usize = 64;

/// A request to a deployment with a log.
#[derive(Debug, Clone)]
pub struct Ticket {
    id: Arc<str>,
    sampled: bool,
    rows: RowNumbers,
}

impl Ticket {
    /// What the request is called.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The same for a part of the request, which has these rows.
    #[must_use]
    pub fn part(&self, rows: RowNumbers) -> Self {
        Self {
            id: Arc::clone(&self.id),
            sampled: self.sampled,
            rows,
        }
    }

    /// Is the request sampled?
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// The log of one revision.
#[derive(Debug)]
pub(crate) struct Logging {
    log: Arc<Log>,
    /// Which requests are taken; it makes the ids this process's own, too.
    sampler: Sampler,
    features: Option<Features>,
}

/// Runs the transforms again.
#[derive(Debug)]
struct Features {
    pipeline: Arc<Pipeline>,
    sandbox: Sandbox,
    meter: Arc<Meter>,
    waiting: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// What was copied of a sampled request before it ran.
pub(crate) struct Taken {
    ticket: Ticket,
    input: Batch,
    received: jiff::Timestamp,
    start: Instant,
}

impl Logging {
    pub(crate) fn new(
        log: Arc<Log>,
        pipeline: &Arc<Pipeline>,
        sandbox: &Sandbox,
        meter: &Arc<Meter>,
    ) -> Self {
        let features = log.spec().features.then(|| Features {
            pipeline: Arc::clone(pipeline),
            sandbox: sandbox.clone(),
            meter: Arc::clone(meter),
            waiting: Arc::new(Semaphore::new(FEATURES_WAITING_MAX)),
            turn: Arc::new(Semaphore::new(1)),
        });
        Self {
            sampler: Sampler::new(log.spec().sample),
            log,
            features,
        }
    }

    /// A request's ticket, with its own id or a new one.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub(crate) fn ticket(&self, given: Option<&str>) -> Result<Ticket, ServingError> {
        let (number, sampled) = self.sampler.next();
        let id = match given {
            None => format!("{:016x}{number:016x}", self.sampler.seed()).into(),
            Some(id) if is_id(id) => id.into(),
            Some(id) => {
                return Err(ServingError::new(
                    Kind::Invalid,
                    "bad-request-id",
                    format!(
                        "the request's id has {} bytes or characters that aren't printable ASCII; it has 1 to {REQUEST_ID_BYTES_MAX} that are",
                        id.len()
                    ),
                ));
            }
        };
        Ok(Ticket {
            id,
            sampled,
            rows: RowNumbers::From(0),
        })
    }

    /// Copy what is sent, if the request is sampled.
    pub(crate) fn take(&self, ticket: Ticket, batch: &Batch, start: Instant) -> Option<Taken> {
        ticket.sampled.then(|| Taken {
            ticket,
            input: batch.clone(),
            received: jiff::Timestamp::now(),
            start,
        })
    }

    /// Hand over what was sent and what is answered, with the time of each stage.
    pub(crate) fn answered(&self, taken: Taken, output: &Batch, stages: Vec<(Arc<str>, Duration)>) {
        let latency = taken.start.elapsed();
        let rows = taken.input.rows();
        let mut bytes = taken.input.byte_len() + output.byte_len() + stages.len() * STAGE_BYTES;
        if self.features.is_some() {
            // As wide as the input, until it is known.
            bytes += taken.input.byte_len();
        }
        let Some(space) = self.log.reserve(rows, bytes) else {
            return;
        };
        let answer = Answer {
            request_id: taken.ticket.id,
            rows: taken.ticket.rows,
            received: taken.received,
            latency,
            stages,
            input: taken.input,
            features: None,
            output: output.clone(),
        };
        match &self.features {
            None => self.log.offer(answer, space),
            Some(features) => features.complete(&self.log, answer, space),
        }
    }
}

impl Features {
    /// Log an answer once its features are known.
    fn complete(&self, log: &Arc<Log>, mut answer: Answer, space: Space) {
        let rows = answer.input.rows() as u64;
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return log.drop_rows(Unlogged::Features, rows);
        };
        let (log, turn) = (Arc::clone(log), Arc::clone(&self.turn));
        let (pipeline, sandbox, meter) = (
            Arc::clone(&self.pipeline),
            self.sandbox.clone(),
            Arc::clone(&self.meter),
        );
        tokio::spawn(async move {
            let _place = place;
            let Ok(_turn) = turn.acquire_owned().await else {
                return;
            };
            let input = answer.input.clone();
            let run = async move { pipeline.run_to(MonitorTarget::Features, input, None).await };
            match sandbox.fair(&meter, run).await {
                Ok(features) => {
                    answer.features = Some(features);
                    log.offer(answer, space);
                }
                Err(error) => {
                    tracing::debug!(%error, "features of a logged request");
                    log.drop_rows(Unlogged::Features, rows);
                }
            }
        });
    }
}

fn is_id(id: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable_and_short() {
        for (id, good) in [
            ("8f14e45f-ceea-467f-9b3a-000000000000", true),
            ("a b", true),
            ("", false),
            ("a\n", false),
            ("ä", false),
        ] {
            assert_eq!(is_id(id), good, "{id}");
        }
        assert!(is_id(&"x".repeat(REQUEST_ID_BYTES_MAX)));
        assert!(!is_id(&"x".repeat(REQUEST_ID_BYTES_MAX + 1)));
    }
}
