//! How one stage of a deployment fares: the times of its runs, and what the sandbox counts of its calls.
//!
//! Revisions that have the same stage share it, so counts go on when something else of the deployment
//! changes. It ends with the last of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use caisson_metrics::{Histogram, Sparse, Tally};
use caisson_sandbox::{StageProbe, StageStats};

use crate::trail::{Step, Trail, What};

/// What a stage does in its pipeline, in the order in which a request comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Refuses rows.
    Validator,
    /// Before the model.
    Transform,
    /// A model, run natively.
    Model,
    /// A plugin that runs models.
    Predictor,
    /// After the model.
    Post,
    /// A drift check, beside the path of requests.
    Monitor,
}

/// How one stage fares.
#[derive(Debug)]
pub struct StageVitals {
    name: Arc<str>,
    place: Arc<str>,
    role: Role,
    seconds: Histogram,
    guests: Mutex<Guests>,
    mark: Mutex<Mark>,
}

/// What the sandbox counts, of every revision that has the stage.
#[derive(Debug, Default)]
struct Guests {
    /// Of those that are gone.
    past: StageStats,
    live: Vec<StageProbe>,
}

/// Where the counts stood at the last sample.
#[derive(Debug, Default)]
struct Mark {
    seconds: Tally,
    guest: StageStats,
}

/// What happened to a stage between two samples.
#[derive(Debug, Clone)]
pub(super) struct StageSample {
    name: Arc<str>,
    role: Role,
    seconds: Sparse,
    guest: StageStats,
}

impl StageVitals {
    pub(crate) fn new(name: Arc<str>, role: Role) -> Self {
        let place = name.split(' ').next().unwrap_or_default();
        Self {
            place: place.replace('[', "_").replace(']', "").into(),
            name,
            role,
            seconds: Histogram::default(),
            guests: Mutex::default(),
            mark: Mutex::default(),
        }
    }

    /// Its place and what runs there: `transforms[0] impute@0.1.0`, `model churn@3`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its place alone, as a word: `transforms_0`, `model`. The same in every revision, whatever stands there.
    pub fn place(&self) -> &Arc<str> {
        &self.place
    }

    /// The times of all its runs.
    pub fn seconds(&self) -> Tally {
        self.seconds.read()
    }

    /// What the sandbox counted of its calls; all zero for a model.
    pub fn guest(&self) -> StageStats {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let Guests { past, live } = &mut *guests;
        live.retain(|probe| {
            let gone = probe.is_last();
            if gone {
                past.add(&probe.read());
            }
            !gone
        });
        let mut sum = past.clone();
        live.iter().for_each(|probe| sum.add(&probe.read()));
        sum
    }

    /// The calls of this plugin are the stage's, too.
    pub(crate) fn watch(&self, probe: StageProbe) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.live.push(probe);
    }

    /// It ran, or failed, from `start` until now; the step goes to the trail, if there is one.
    pub fn note(self: &Arc<Self>, trail: Option<&Trail>, start: Instant, error: Option<&'static str>) {
        let took = start.elapsed();
        self.ran(took);
        if let Some(trail) = trail {
            trail.push(Step {
                what: What::Stage(Arc::clone(self)),
                start,
                took,
                error,
            });
        }
    }

    pub(crate) fn ran(&self, took: Duration) {
        self.seconds.add(took);
    }

    /// What came since the last sample; none if nothing did.
    pub(super) fn sample(&self) -> Option<StageSample> {
        let guest = self.guest();
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.seconds.since(&mut mark.seconds);
        let since = guest.since(&mark.guest);
        if seconds.is_empty() && since.calls == 0 && since.failures.is_empty() {
            return None;
        }
        mark.guest = guest;
        Some(StageSample {
            name: Arc::clone(&self.name),
            role: self.role,
            seconds,
            guest: since,
        })
    }
}

impl StageSample {
    /// Take in what happened to it in some other time; gives it back if it is another stage's.
    fn absorb(&mut self, other: Self) -> Option<Self> {
        if self.name != other.name {
            return Some(other);
        }
        self.seconds.add(&other.seconds);
        self.guest.add(&other.guest);
        None
    }

    /// What happened to stages in two times, as one list.
    pub(super) fn join(into: &mut Vec<Self>, others: Vec<Self>) {
        for other in others {
            let other = into.iter_mut().try_fold(other, |other, mine| mine.absorb(other));
            into.extend(other);
        }
    }
}

/// How a stage fared in a window.
#[derive(Debug, Clone)]
pub struct StageReading {
    /// Its place and what runs there.
    pub name: Arc<str>,
    /// What it does.
    pub role: Role,
    /// What the sandbox counted of its calls in the window: traps and other failures by cause, instances
    /// made, calls that a warm instance took, processor time. All zero for a model.
    pub guest: StageStats,
    seconds: Tally,
}

impl StageReading {
    fn new(name: Arc<str>, role: Role) -> Self {
        Self {
            name,
            role,
            guest: StageStats::default(),
            seconds: Tally::default(),
        }
    }

    /// How often it ran. Requests that share a run count as one.
    pub fn runs(&self) -> u64 {
        self.seconds.count()
    }

    /// The time of all runs together, waiting for an instance included.
    pub fn total(&self) -> Duration {
        self.seconds.total()
    }

    /// A quantile of the runs' times, within 3 %.
    pub fn latency_ms(&self, q: f64) -> Option<f64> {
        self.seconds.quantile_ms(q)
    }

    /// Of a plugin: the time for which its calls waited for an instance, a place among those of the stage
    /// or of the sandbox. None of a model.
    pub fn waited(&self) -> Option<Duration> {
        self.is_plugin()
            .then(|| self.total().saturating_sub(self.guest.wall))
    }

    /// Of a plugin: the processor time of its calls; what is left of the total after this and waiting is
    /// waiting for a processor. None of a model.
    pub fn computed(&self) -> Option<Duration> {
        self.is_plugin().then_some(self.guest.busy)
    }

    fn is_plugin(&self) -> bool {
        self.role != Role::Model
    }

    /// Take a sample in: at its stage, in the order in which requests come to stages.
    pub(super) fn merge(into: &mut Vec<Self>, sample: &StageSample) {
        let at = match into.iter().position(|stage| stage.name == sample.name) {
            Some(at) => at,
            None => {
                // Places of a list have numbers: `transforms[10]` comes after `transforms[9]`.
                let key = |role: Role, name: &str| (role, name.find(']'), name.to_owned());
                let new = key(sample.role, &sample.name);
                let at = into.partition_point(|stage| key(stage.role, &stage.name) < new);
                into.insert(at, Self::new(Arc::clone(&sample.name), sample.role));
                at
            }
        };
        if let Some(stage) = into.get_mut(at) {
            stage.seconds.merge(&sample.seconds);
            stage.guest.add(&sample.guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn samples_are_what_came_and_merge_in_the_order_of_the_pipeline() {
        let names = [
            "model churn@3",
            "transforms[10] a@1.0.0",
            "transforms[9] z@1.0.0",
            "post[0] p@1.0.0",
        ];
        let roles = [Role::Model, Role::Transform, Role::Transform, Role::Post];
        let mut readings = Vec::new();
        for (name, role) in names.into_iter().zip(roles) {
            let stage = StageVitals::new(name.into(), role);
            assert!(stage.sample().is_none());
            stage.ran(20 * MS);
            stage.ran(20 * MS);
            StageReading::merge(&mut readings, &stage.sample().unwrap());
            assert!(stage.sample().is_none());
            stage.ran(40 * MS);
            StageReading::merge(&mut readings, &stage.sample().unwrap());
            assert_eq!(stage.seconds().count(), 3);
        }
        let order: Vec<_> = readings
            .iter()
            .map(|r| r.name.split(' ').next().unwrap())
            .collect();
        assert_eq!(order, ["transforms[9]", "transforms[10]", "model", "post[0]"]);
        for reading in &readings {
            assert_eq!((reading.runs(), reading.total()), (3, 80 * MS));
            assert!(reading.latency_ms(0.99).unwrap() > 38.0);
        }
        assert_eq!(readings[2].waited(), None);
        assert_eq!(readings[0].waited(), Some(80 * MS));
    }

    #[test]
    fn places_are_words() {
        let place = |name: &str| StageVitals::new(name.into(), Role::Transform).place().to_string();
        assert_eq!(place("transforms[0] std/impute@0.1.0"), "transforms_0");
        assert_eq!(place("model churn@3"), "model");
        assert_eq!(place("predictor value@1.0.0"), "predictor");
    }
}
