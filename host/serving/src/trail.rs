//! What happened to one request, step by step: kept for a request that is logged or traced, and for no other.
//!
//! Every step costs one branch where nobody wants to know. Whoever traces a request runs it in
//! [`Trail::follow`]; what it was about, and each step, then comes to the trail, and when the last holder of
//! it lets go, the steps are handed over. A trail is bounded: a stream has any number of parts.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::Span;

use crate::vitals::{StageVitals, Vitals};

/// Steps that are kept. A request has a dozen; only streams and very large batches have many.
pub const STEPS_MAX: usize = 512;

/// The place of waiting.
static QUEUE: LazyLock<Arc<str>> = LazyLock::new(|| "queue".into());

tokio::task_local! {
    static FOLLOWED: Arc<Trail>;
}

/// What took time.
#[derive(Debug, Clone)]
pub enum What {
    /// Waiting to share a run.
    Queue,
    /// A stage. Requests that share a run share its steps.
    Stage(Arc<StageVitals>),
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What took time.
    pub what: What,
    /// From when.
    pub start: Instant,
    /// How long.
    pub took: Duration,
    /// The code of the error that it ended with.
    pub error: Option<&'static str>,
}

/// What a request is about.
#[derive(Debug, Clone)]
pub struct About {
    /// The deployment that answers, with its tenant.
    pub vitals: Arc<Vitals>,
    /// Its revision.
    pub revision: u64,
    /// What the request is called in the prediction log.
    pub request_id: Option<Arc<str>>,
}

type Ended = Box<dyn FnOnce(Option<About>, Vec<Step>) + Send + Sync>;

/// The steps of a request.
pub struct Trail {
    /// What lines of the log say of the request.
    span: Span,
    steps: Mutex<Vec<Step>>,
    about: OnceLock<About>,
    ended: Option<Ended>,
}

impl Default for Trail {
    fn default() -> Self {
        Self::new(Span::none(), None)
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

impl Trail {
    fn new(span: Span, ended: Option<Ended>) -> Self {
        Self {
            span,
            steps: Mutex::default(),
            about: OnceLock::new(),
            ended,
        }
    }

    /// A trail that is handed over when nothing holds it any more. Lines of the log are in `span`, also those of
    /// a run that is in another task, unless other requests share it.
    pub fn ending(
        span: Span,
        ended: impl FnOnce(Option<About>, Vec<Step>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::new(span, Some(Box::new(ended))))
    }

    /// Run a request; predictions in it leave their steps here.
    pub async fn follow<F: Future>(self: Arc<Self>, request: F) -> F::Output {
        FOLLOWED.scope(self, request).await
    }

    /// The trail of the request that this task runs, if one is kept.
    pub fn current() -> Option<Arc<Self>> {
        FOLLOWED.try_with(Arc::clone).ok()
    }

    /// A future for another task that leaves its steps where this task does.
    pub fn carry<F: Future + Send + 'static>(work: F) -> futures_util::future::BoxFuture<'static, F::Output> {
        match Self::current() {
            Some(trail) => Box::pin(trail.follow(work)),
            None => Box::pin(work),
        }
    }

    /// One of its own for a part of what `followed` follows.
    pub(crate) fn of_part(followed: Option<&Arc<Self>>) -> Arc<Self> {
        let span = followed.map_or_else(Span::none, |trail| trail.span());
        Arc::new(Self::new(span, None))
    }

    /// What lines of the log say of the request.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn is_about(&self, about: impl FnOnce() -> About) {
        self.about.get_or_init(about);
    }

    pub(crate) fn push(&self, step: Step) {
        let mut steps = self.lock();
        if steps.len() < STEPS_MAX {
            steps.push(step);
        }
    }

    /// Take in what another trail has, which several may have shared.
    pub(crate) fn join(&self, other: &Self) {
        let other = other.lock().clone();
        let mut steps = self.lock();
        let room = STEPS_MAX.saturating_sub(steps.len());
        steps.extend(other.into_iter().take(room));
    }

    /// The time of each stage, by its place, and of the queue: of several runs the sum.
    pub(crate) fn times(&self) -> Vec<(Arc<str>, Duration)> {
        let mut times: Vec<(Arc<str>, Duration)> = Vec::new();
        for step in self.lock().iter() {
            let place = match &step.what {
                What::Queue => &*QUEUE,
                What::Stage(stage) => stage.place(),
            };
            match times.iter_mut().find(|(known, _)| known == place) {
                Some((_, time)) => *time += step.took,
                None => times.push((Arc::clone(place), step.took)),
            }
        }
        times
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            let steps = std::mem::take(self.steps.get_mut().unwrap_or_else(PoisonError::into_inner));
            ended(self.about.take(), steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::Role;
    use std::sync::mpsc;

    fn step(name: &str, ms: u64) -> Step {
        Step {
            what: What::Stage(Arc::new(StageVitals::new(name.into(), Role::Transform))),
            start: Instant::now(),
            took: Duration::from_millis(ms),
            error: None,
        }
    }

    #[tokio::test]
    async fn steps_come_to_the_trail_that_is_followed_and_are_handed_over_once() {
        assert!(Trail::current().is_none());
        let (sender, receiver) = mpsc::channel();
        let trail = Trail::ending(Span::none(), move |_, steps| sender.send(steps.len()).unwrap());
        let work = async {
            Trail::current().unwrap().push(step("model m@1", 1));
            let elsewhere = Trail::carry(async { Trail::current().unwrap().push(step("post[0] p@1", 1)) });
            tokio::spawn(elsewhere).await.unwrap();
        };
        trail.follow(work).await;
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn times_are_sums_by_place_and_the_trail_is_bounded() {
        let trail = Trail::default();
        for (name, ms) in [
            ("transforms[0] a@1", 2),
            ("model m@1", 5),
            ("transforms[0] a@1", 3),
        ] {
            trail.push(step(name, ms));
        }
        let times = trail.times();
        let times: Vec<_> = times.iter().map(|(p, t)| (&**p, t.as_millis())).collect();
        assert_eq!(times, [("transforms_0", 5), ("model", 5)]);
        let many = Trail::default();
        (0..STEPS_MAX + 9).for_each(|_| many.push(step("model m@1", 1)));
        trail.join(&many);
        assert_eq!(trail.lock().len(), STEPS_MAX);
    }
}
