//! Where a request's time goes.

use crate::evidence::{Evidence, Stage, StageKind};
use crate::finding::{Draft, Finding, Severity};
use crate::words::{ms, percent};

/// Requests below which times say nothing.
const REQUESTS_MIN: u64 = 20;
/// From this share of all time on, a stage is the bottleneck; below it time goes everywhere.
const BOTTLENECK_SHARE: f64 = 0.4;
/// From this share of a request's time on, waiting is what makes it slow.
const WAIT_SHARE: f64 = 0.5;
/// A wait that nobody notices, milliseconds.
const WAIT_MS_MIN: f64 = 1.0;
/// From this share of a stage's time on, starting instances is worth changing.
const COLD_SHARE: f64 = 0.2;
/// Calls that started an instance, where their time isn't known.
const COLD_CALLS_SHARE: f64 = 0.1;
/// Causes of failures that are about time.
pub(crate) const DEADLINES: [&str; 4] = ["cpu-time", "wall-time", "deadline", "model-deadline"];

pub(crate) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(queueing(evidence));
    found.extend(refused_by_queue(evidence));
    found.extend(bottleneck(evidence));
    found.extend(evidence.stages.iter().filter_map(|stage| cold(evidence, stage)));
    found.extend(
        evidence
            .stages
            .iter()
            .filter_map(|stage| deadlines(evidence, stage)),
    );
    found
}

/// The stage that takes most of the time, by name.
fn bottleneck(evidence: &Evidence) -> Option<Finding> {
    let total: f64 = evidence.stages.iter().map(|stage| stage.total_ms).sum();
    let worst = evidence
        .stages
        .iter()
        .max_by(|a, b| a.total_ms.total_cmp(&b.total_ms))?;
    let share = worst.total_ms / total;
    if worst.calls < REQUESTS_MIN || total <= 0.0 || share < BOTTLENECK_SHARE {
        return None;
    }
    let each = worst.total_ms / worst.calls as f64;
    let sentence = format!(
        "`{}` takes {} of the time that stages take: {} a call.",
        worst.name,
        percent(share),
        ms(each)
    );
    let mut draft = Draft::slow("bottleneck", Severity::Notice, sentence)
        .linked("mean", ms(each), "/metrics".to_owned())
        .fact("calls", worst.calls.to_string())
        .fact("share of all stages' time", percent(share));
    if let Some(p95) = worst.p95_ms {
        draft = draft.fact("p95", ms(p95));
    }
    let mut others: Vec<&Stage> = evidence
        .stages
        .iter()
        .filter(|stage| stage.name != worst.name)
        .collect();
    others.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    for stage in others.iter().take(3).filter(|stage| stage.calls > 0) {
        draft = draft.fact(
            &format!("`{}`", stage.name),
            format!("{} a call", ms(stage.total_ms / stage.calls as f64)),
        );
    }
    Some(draft.next(match worst.kind {
        StageKind::Model => {
            "Let more requests share a run (`batching:` in the deployment's file), or \
                             register a smaller or quantised model; `--provider cuda` runs it on a GPU."
        }
        StageKind::Predictor => {
            "Look at what the predictor does beside its models' runs; a model that it \
                                 only passes rows to is faster as `model:`."
        }
        StageKind::Plugin => {
            "Look at the plugin: less work a row, fewer columns named in its config, or the \
                              same done by a first-party plugin."
        }
        StageKind::Server => {
            "Send tensors in binary, Arrow or Parquet instead of JSON, and more rows a request."
        }
    }))
}

/// Waiting against computing.
fn queueing(evidence: &Evidence) -> Option<Finding> {
    let queue = evidence.queue.filter(|queue| queue.requests >= REQUESTS_MIN)?;
    let wait = queue.waited_ms / queue.requests as f64;
    let total: f64 = evidence.stages.iter().map(|stage| stage.total_ms).sum();
    let compute = total / queue.requests as f64;
    let share = wait / (wait + compute);
    if wait < WAIT_MS_MIN || share < WAIT_SHARE {
        return None;
    }
    let sentence = format!(
        "Requests wait longer than they are computed: {} in the queue against {} in the stages.",
        ms(wait),
        ms(compute)
    );
    let mut draft = Draft::slow("queueing", Severity::Warning, sentence)
        .linked("mean wait", ms(wait), "/metrics".to_owned())
        .fact("mean time in the stages, shared runs divided", ms(compute))
        .fact("requests that waited", queue.requests.to_string());
    if let Some(p95) = queue.p95_ms {
        draft = draft.fact("p95 of the wait", ms(p95));
    }
    Some(draft.next(
        "More requests come than are run: raise `batching.max_batch_size` if runs are short of it, lower \
         `batching.max_delay_ms` if they wait for company, or serve on more cores.",
    ))
}

fn refused_by_queue(evidence: &Evidence) -> Option<Finding> {
    let queue = evidence.queue.filter(|queue| queue.refused > 0)?;
    let sentence = format!("A full queue refused {} requests.", queue.refused);
    let draft = Draft::slow("queue-full", Severity::Critical, sentence)
        .linked("refused", queue.refused.to_string(), "/metrics".to_owned())
        .fact("waited", queue.requests.to_string());
    Some(draft.next(
        "The load is above what this machine answers: send less, serve on more cores, or let requests wait \
         longer (`batching.queue`).",
    ))
}

/// Instances that had to be started.
fn cold(evidence: &Evidence, stage: &Stage) -> Option<Finding> {
    let cold = stage.cold.filter(|_| stage.calls >= REQUESTS_MIN)?;
    let of_calls = cold.starts as f64 / stage.calls as f64;
    let of_time = cold
        .total_ms
        .map(|spent| spent / stage.total_ms.max(f64::MIN_POSITIVE));
    if !of_time.map_or(of_calls >= COLD_CALLS_SHARE, |share| share >= COLD_SHARE) {
        return None;
    }
    let sentence = format!(
        "`{}` started {} instances for {} calls.",
        stage.name, cold.starts, stage.calls
    );
    let mut draft = Draft::slow("cold-instances", Severity::Warning, sentence).linked(
        "instances started",
        cold.starts.to_string(),
        evidence.link(""),
    );
    if let (Some(spent), Some(share)) = (cold.total_ms, of_time) {
        draft = draft
            .fact("time of starting them", ms(spent))
            .fact("share of the stage's time", percent(share));
    }
    Some(draft.next(
        "Instances end with traps, deadlines and their memory, or there are more calls at once than \
         instances: look at its failures and `memory_mib`. Plugins in Rust are pre-initialised and cost \
         microseconds to start.",
    ))
}

/// Calls that were past their deadline.
fn deadlines(evidence: &Evidence, stage: &Stage) -> Option<Finding> {
    let count = |(cause, count): (&String, &u64)| DEADLINES.contains(&cause.as_str()).then_some(*count);
    let late: u64 = stage.failures.iter().filter_map(count).sum();
    if late == 0 {
        return None;
    }
    let sentence = format!("`{}` was past its deadline {late} times.", stage.name);
    let mut draft = Draft::slow("deadlines", Severity::Critical, sentence)
        .linked("past the deadline", late.to_string(), evidence.link(""))
        .fact("calls", stage.calls.to_string());
    if let Some(p95) = stage.p95_ms {
        draft = draft.fact("p95 of its calls", ms(p95));
    }
    Some(draft.next(
        "Send fewer rows a request, make the stage faster, or raise its `limits.deadline_ms` (of a model: \
         `deadline_ms`).",
    ))
}
