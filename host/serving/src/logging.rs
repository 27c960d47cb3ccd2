//! The prediction log's place on the request path.
//!
//! A deployment without a log pays one branch. With one, each request has a [`Ticket`] that says what it is
//! called and whether it is sampled; for a sampled one its rows and its answer are copied and handed over,
//! and nothing waits. Features are what the transforms give when they run again, behind the answer, on the
//! tenant's account and with its priority, one request of a revision at a time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use caisson_data::Batch;
use caisson_predictions::{Answer, Log, RowNumbers, Space, Unlogged};
use caisson_sandbox::{Meter, Sandbox};
use tokio::sync::Semaphore;

use crate::error::{Kind, ServingError};
use crate::pipeline::Pipeline;
use crate::spec::MonitorTarget;

/// Bytes of a request's id: a UUID has 36, a trace's id 55.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Requests of a revision whose features are waited for. What comes on top is dropped and counted; the
/// rows' bytes have a bound of their own.
const FEATURES_WAITING_MAX: usize = 1024;

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
    /// A sample is a number below this.
    threshold: u64,
    /// Requests so far.
    seen: AtomicU64,
    /// What makes the ids and the sample this process's own.
    seed: u64,
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
            threshold: threshold(log.spec().sample),
            log,
            seen: AtomicU64::new(0),
            // Every `RandomState` has keys of its own.
            seed: RandomState::new().hash_one(()),
            features,
        }
    }

    /// A request's ticket, with its own id or a new one.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub(crate) fn ticket(&self, given: Option<&str>) -> Result<Ticket, ServingError> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        let id = match given {
            None => format!("{:016x}{number:016x}", self.seed).into(),
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
            sampled: mixed(self.seed.wrapping_add(number)) <= self.threshold,
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

    /// Hand over what was sent and what is answered.
    pub(crate) fn answered(&self, taken: Taken, output: &Batch) {
        let latency = taken.start.elapsed();
        let rows = taken.input.rows();
        let mut bytes = taken.input.byte_len() + output.byte_len();
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
            let run = async move { pipeline.run_to(MonitorTarget::Features, input).await };
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

/// The share of all 64-bit numbers that are at most this.
fn threshold(sample: f64) -> u64 {
    // The product fits: casts from floats saturate.
    (sample * u64::MAX as f64) as u64
}

/// A number's place among all, as SplitMix64 has it: neighbours are far apart.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_was_asked_for() {
        for share in [0.01, 0.1, 0.5, 1.0] {
            let limit = threshold(share);
            let sampled = (0..100_000u64)
                .filter(|n| mixed(n.wrapping_add(12_345)) <= limit)
                .count();
            let found = sampled as f64 / 100_000.0;
            assert!((found - share).abs() < 0.005, "{found} for {share}");
        }
        assert_eq!(threshold(1.0), u64::MAX);
    }

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
