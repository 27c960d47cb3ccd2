//! A window that closed is judged: its statistics at once, its monitors by the checks.

use std::sync::Arc;
use std::time::Instant;

use super::{Alarm, Links, SAVE_AFTER_CLOSE, Track};
use crate::checks::{Done, Found, Item, Reference};
use crate::history::Told;
use crate::plan::{UNCHECKED_MAX, UNJUDGED_MAX};
use crate::report::{AlarmState, DriftWindow, FeatureVerdict, SegmentName, Status, moment};
use crate::spec::AgainstSpec;
use crate::stream::Closed;

/// Statistic of a change without a bound, as a number that JSON has.
const SCORE_MAX: f64 = 1e9;

/// A part of a window that a monitor is asked about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The monitor's place in the plan.
    monitor: usize,
    segment: Option<SegmentName>,
    rows: u64,
    /// Windows that it is compared with; none: the baseline.
    trailing: Option<u8>,
}

/// A window that is being judged.
pub(super) struct Judged {
    stream: usize,
    questions: Vec<Question>,
}

/// What is asked about a window.
#[derive(Default)]
struct Asked {
    /// What needs no check: the statistics.
    told: Vec<Told>,
    /// What has too few rows for one.
    too_small: Vec<Question>,
    questions: Vec<Question>,
    items: Vec<Item>,
}

impl Track {
    /// A window closed.
    pub(super) fn close(&mut self, stream: usize, closed: Closed, links: &Links) {
        self.is_dirty = true;
        self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER_CLOSE);
        self.windows_closed += 1;
        self.judge(stream, &closed, links);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.keep(&closed);
        }
        self.publish();
    }

    /// Say of a window what can be said at once, and ask the checks for the rest.
    pub(super) fn judge(&mut self, place: usize, closed: &Closed, links: &Links) {
        let Asked {
            mut told,
            too_small,
            questions,
            items,
        } = self.ask(place, closed);
        for question in too_small {
            told.extend(self.tell(place, closed, question, Ok(Found::default())));
        }
        if !items.is_empty() {
            let is_free =
                (self.streams.get(place)).is_some_and(|stream| stream.unchecked.len() < UNJUDGED_MAX);
            let checks = match is_free {
                true => self.checks.upgrade().ok_or("the revision isn't served any more"),
                false => Err(
                    "the checks of the windows before it haven't ended: make the windows longer, or the checks faster",
                ),
            };
            match checks {
                Ok(checks) => {
                    self.numbers += 1;
                    let done = Done {
                        worker: links.worker.clone(),
                        deployment: (self.deployment.tenant.clone(), self.deployment.name.clone()),
                        number: self.numbers,
                        found: Vec::new(),
                    };
                    let judged = Judged {
                        stream: place,
                        questions,
                    };
                    self.judged.insert(self.numbers, judged);
                    if let Some(stream) = self.streams.get_mut(place) {
                        stream.unchecked.push_back((self.numbers, closed.clone()));
                    }
                    checks.check(items, done);
                }
                Err(why) => {
                    for question in questions {
                        told.extend(self.tell(place, closed, question, Err(why.to_owned())));
                    }
                }
            }
        }
        self.record(told, links);
    }

    /// Do so many windows wait for their checks that rows should wait, too?
    pub(super) fn has_unchecked(&self) -> bool {
        self.streams
            .iter()
            .any(|stream| stream.unchecked.len() >= UNCHECKED_MAX)
    }

    /// What there is to ask about a window.
    fn ask(&self, place: usize, closed: &Closed) -> Asked {
        let mut asked = Asked::default();
        let Some(stream) = self.streams.get(place) else {
            return asked;
        };
        for (used, (segment, rows)) in stream.plan.uses.iter().flat_map(|used| {
            let parts = closed.parts.iter();
            let parts = parts.filter(|(segment, _)| used.whole || segment.is_some());
            parts.map(move |part| (used, part))
        }) {
            let Some(at) = used.monitor else {
                let window = self.statistics(stream, closed, (segment.as_ref(), rows), true);
                if !self.is_recalled(None, window.segment.as_ref(), &window.window) {
                    asked.told.push(Told::Statistics(Box::new(window)));
                }
                continue;
            };
            let Some(monitor) = self.plan.monitors.get(at) else {
                continue;
            };
            let (reference, trailing) = match monitor.against {
                AgainstSpec::Baseline => (None, None),
                AgainstSpec::Trailing(count) => {
                    let before = stream.before(closed, segment.as_ref(), usize::from(count));
                    // No more than were asked for.
                    let found = before.as_ref().map_or(0, Reference::windows);
                    (before, Some(u8::try_from(found).unwrap_or(count)))
                }
            };
            let question = Question {
                monitor: at,
                segment: stream.segment(segment.as_ref()),
                rows: rows.rows(),
                trailing,
            };
            if rows.rows() < monitor.window.rows_min() || trailing == Some(0) {
                asked.too_small.push(question);
                continue;
            }
            asked.questions.push(question);
            asked.items.push(Item {
                monitor: monitor.name.clone(),
                current: Arc::clone(rows),
                reference,
            });
        }
        asked
    }

    /// The checks of a window said what they found.
    pub(crate) fn checked(&mut self, number: u64, found: Vec<Result<Found, String>>, links: &Links) {
        let Some(judged) = self.judged.remove(&number) else {
            return; // Of streams that are gone.
        };
        let Some(stream) = self.streams.get_mut(judged.stream) else {
            return;
        };
        let at = stream.unchecked.iter().position(|(n, _)| *n == number);
        let Some((_, closed)) = at.and_then(|at| stream.unchecked.remove(at)) else {
            return;
        };
        self.is_dirty = true;
        self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER_CLOSE);
        let ended_early = || Err("the check ended early".to_owned());
        let found = found.into_iter().chain(std::iter::repeat_with(ended_early));
        let mut told = Vec::with_capacity(judged.questions.len());
        for (question, found) in judged.questions.into_iter().zip(found) {
            told.extend(self.tell(judged.stream, &closed, question, found));
        }
        self.record(told, links);
        self.publish();
    }

    /// What a monitor says of a part of a window; nothing where it was told before the start.
    fn tell(
        &mut self,
        stream: usize,
        closed: &Closed,
        question: Question,
        found: Result<Found, String>,
    ) -> Option<Told> {
        let plan = Arc::clone(&self.plan);
        let monitor = plan.monitors.get(question.monitor)?;
        let segment = question.segment;
        let bounds = self.streams.get(stream)?.bounds(closed);
        if self.is_recalled(Some(&monitor.name), segment.as_ref(), &bounds) {
            return None;
        }
        let (found, error) = match found {
            Ok(found) => (found, None),
            Err(error) => (Found::default(), Some(error)),
        };
        let mut features = found.features;
        let status = match features.is_empty() {
            true => Status::InsufficientData,
            false => Status::worst(features.iter().map(|feature| feature.status)),
        };
        let score = (features.iter())
            .filter_map(|feature| feature.statistic)
            .map(|score| score.clamp(-SCORE_MAX, SCORE_MAX))
            .reduce(f64::max);
        // Worst first, so that what doesn't fit a record is what matters least. Stable: the check's order.
        features.sort_by(FeatureVerdict::worse_first);
        let key = (monitor.name.clone(), segment.clone());
        let alarm = match self.alarms.remove(&key) {
            Some(alarm) if alarm.identity == monitor.identity => Some(alarm.state),
            _ => monitor.alarm.hysteresis().ok(),
        };
        let mut alarm = alarm?;
        let change = alarm.observe(status.outcome());
        let window = DriftWindow {
            monitor: monitor.name.clone(),
            segment,
            revision: plan.revision,
            window: bounds,
            closed_at: moment(closed.closed_ms),
            rows: question.rows,
            checked_rows: found.rows,
            trailing: question.trailing,
            status,
            score,
            features,
            features_left_out: 0,
            alarm: AlarmState::of(monitor.alarm, &alarm, change),
            error,
        };
        let kept = Alarm {
            state: alarm,
            identity: monitor.identity.clone(),
            seen: self.windows_closed,
        };
        self.alarms.insert(key, kept);
        Some(Told::Drift {
            window: Box::new(window),
            alarm,
            identity: monitor.identity.clone(),
        })
    }
}
