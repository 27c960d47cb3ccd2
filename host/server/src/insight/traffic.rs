//! Requests of the last minutes: their times, by stage and over time.

use std::time::{Duration, Instant};

use caisson_diagnosis::Absent;
use caisson_diagnosis::evidence::{Cold, Period, Queue, Stage, StageKind};
use caisson_serving::{Reading, Revision, Role, StageReading, WINDOW_MAX};
use jiff::{SignedDuration, Timestamp};

/// The recent time, which is compared with what was before it.
const RECENT: Duration = Duration::from_secs(300);
/// One point of a line over time.
const STEP: Duration = Duration::from_secs(60);

/// What is read of the vitals.
pub(super) struct Traffic {
    pub(super) periods: Vec<Period>,
    pub(super) stages: Vec<Stage>,
    pub(super) queue: Option<Queue>,
    pub(super) latency: Latency,
}

/// Times by minutes.
#[derive(Default)]
pub(super) struct Latency {
    /// Seconds that the stages' numbers are of.
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) minutes: Vec<Minute>,
}

/// One minute's requests.
pub(super) struct Minute {
    /// Its end.
    pub(super) at: Timestamp,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
}

pub(super) fn read(revision: &Revision) -> (Traffic, Vec<Absent>) {
    let (vitals, now) = (revision.vitals(), Instant::now());
    // So that what just happened is in it.
    vitals.sample(now);
    let mut traffic = Traffic {
        periods: Vec::new(),
        stages: Vec::new(),
        queue: None,
        latency: Latency::default(),
    };
    let Some(recent) = vitals.between(Duration::ZERO, RECENT, now) else {
        return (traffic, vec![nothing()]);
    };
    traffic.periods.push(period(&recent));
    if let Some(before) = vitals.between(RECENT, WINDOW_MAX, now) {
        traffic.periods.push(period(&before));
    }
    let all = vitals.over(WINDOW_MAX, now).unwrap_or_else(|| recent.clone());
    // Without requests in the recent time, those before say at least where time goes.
    let of = if recent.requests() > 0 { &recent } else { &all };
    traffic.stages = of
        .stages
        .iter()
        // A monitor's call is nobody's request.
        .filter(|stage| stage.role != Role::Monitor)
        .map(stage)
        .collect();
    traffic.queue = (of.queued() > 0 || of.queue_refusals > 0).then(|| Queue {
        requests: of.queued(),
        waited_ms: ms(of.queue_total()),
        p95_ms: of.queue_wait_ms(0.95),
        refused: of.queue_refusals,
    });
    traffic.latency = Latency {
        seconds: of.starts_ago.saturating_sub(of.ends_ago).as_secs_f64(),
        requests: of.requests(),
        minutes: minutes(revision, now),
    };
    let absent = if all.requests() == 0 {
        vec![nothing()]
    } else {
        Vec::new()
    };
    (traffic, absent)
}

fn nothing() -> Absent {
    Absent {
        what: "Times of requests and stages.".to_owned(),
        how: format!(
            "They are kept in memory, for {} minutes: ask again when requests have come.",
            WINDOW_MAX.as_secs() / 60
        ),
    }
}

fn minutes(revision: &Revision, now: Instant) -> Vec<Minute> {
    let steps = u32::try_from(WINDOW_MAX.as_secs() / STEP.as_secs()).unwrap_or(0);
    let clock = Timestamp::now();
    (0..steps)
        .rev()
        .filter_map(|step| {
            let reading = revision.vitals().between(STEP * step, STEP * (step + 1), now)?;
            let ago = SignedDuration::try_from(reading.ends_ago).ok()?;
            let at = clock.checked_sub(ago).ok()?;
            Some(Minute {
                at,
                p50_ms: reading.latency_ms(0.5),
                p95_ms: reading.latency_ms(0.95),
            })
        })
        .collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn period(reading: &Reading) -> Period {
    Period {
        starts_ago_seconds: reading.starts_ago.as_secs_f64(),
        ends_ago_seconds: reading.ends_ago.as_secs_f64(),
        requests: reading.requests(),
        failures: reading.failures,
        rows: reading.rows,
        rejected: reading.rejected,
        p50_ms: reading.latency_ms(0.5),
        p95_ms: reading.latency_ms(0.95),
        p99_ms: reading.latency_ms(0.99),
    }
}

fn stage(stage: &StageReading) -> Stage {
    // Every call of a pre-initialised stage has a new instance, which costs microseconds and is in its
    // calls' time; where instances are used again, one that was made was missing.
    let cold = (stage.guest.reuses > 0 && stage.guest.instances > 0).then_some(Cold {
        starts: stage.guest.instances,
        total_ms: None,
    });
    Stage {
        name: stage.name.to_string(),
        kind: match stage.role {
            Role::Model => StageKind::Model,
            Role::Predictor => StageKind::Predictor,
            Role::Validator | Role::Transform | Role::Post | Role::Monitor => StageKind::Plugin,
        },
        calls: stage.runs(),
        total_ms: ms(stage.total()),
        p95_ms: stage.latency_ms(0.95),
        failures: stage
            .guest
            .failures
            .iter()
            .map(|(cause, count)| ((*cause).to_owned(), *count))
            .collect(),
        cold,
    }
}
