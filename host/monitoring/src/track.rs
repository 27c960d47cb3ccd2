//! One deployment, as the worker has it: its streams, and what becomes of a window that closes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use caisson_data::Column;
use caisson_quality::accumulator::{StateError, load, save};
use caisson_quality::hysteresis::{Change, Hysteresis};
use caisson_quality::summary::{Cell, Summary};
use caisson_quality::window::Segment;
use caisson_stats::rng::Rng;

use crate::checks::{Checks, Done, Found, Item};
use crate::deployment::{Deployment, Entry, Newest, Unseen, now_ms};
use crate::gathered::{Gathered, Row};
use crate::history::Told;
use crate::keeper::Keep;
use crate::columns::Columns;
use crate::plan::{Plan, UNCHECKED_MAX};
use crate::report::{AlarmState, Bounds, DriftWindow, RowCounts, SegmentName, Status, StatisticsWindow, moment};
use crate::spec::AgainstSpec;
use crate::stream::{Closed, Incoming, Saved, Stream, segment_of};
use crate::worker::Message;
use crate::ColumnStatistics;

/// How often windows in progress are saved: what a process that is killed loses of them.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How soon after a window closed, so that it isn't gathered once more after a crash.
const SAVE_AFTER_CLOSE: Duration = Duration::from_secs(1);
/// Rows between looks at the clock.
const ROWS_AT_ONCE: usize = 64;
/// Windows after which a segment that didn't come again, and its alarm, are forgotten; at least as many as
/// an alarm looks back.
const FORGOTTEN_AFTER: u64 = 64;
const STATE: &str = "monitoring";
/// Statistic of a change without a bound, as a number that JSON has.
const SCORE_MAX: f64 = 1e9;

/// What the worker needs of others.
pub(crate) struct Links {
    pub(crate) worker: Sender<Message>,
    pub(crate) keeper: Sender<Keep>,
}

/// An alarm, and when it was last looked at.
struct Alarm {
    state: Hysteresis,
    identity: String,
    seen: u64,
}

/// A window that is being judged.
struct Judged {
    stream: usize,
    /// The monitor and the part of each item.
    items: Vec<(usize, Option<SegmentName>, u64, Option<u8>)>,
}

/// A deployment that is gathered.
pub(crate) struct Track {
    pub(crate) deployment: Arc<Deployment>,
    plan: Arc<Plan>,
    source: String,
    /// The columns that are gathered of what is sent and of what is answered.
    columns: (Columns, Columns),
    checks: Weak<dyn Checks>,
    /// The tenant's processor time, in nanoseconds.
    account: Arc<AtomicU64>,
    streams: Vec<Stream>,
    waiting: VecDeque<Entry>,
    /// Row of the first that waits.
    row: usize,
    judged: HashMap<u64, Judged>,
    numbers: u64,
    alarms: HashMap<(String, Option<SegmentName>), Alarm>,
    windows_closed: u64,
    newest: Newest,
    /// What was said before the start, by monitor (none: the statistics) and segment: the state may be older,
    /// and the same windows close once more, with fewer rows.
    recalled: HashMap<(Option<String>, Option<SegmentName>), Bounds>,
    rng: Rng,
    is_loading: bool,
    is_dirty: bool,
    save_at: Instant,
}

impl Track {
    pub(crate) fn new(
        deployment: Arc<Deployment>,
        plan: Arc<Plan>,
        checks: Weak<dyn Checks>,
        account: Arc<AtomicU64>,
        seed: u64,
    ) -> Self {
        Self {
            source: plan.source(),
            columns: plan.columns(),
            deployment,
            plan,
            checks,
            account,
            streams: Vec::new(),
            waiting: VecDeque::new(),
            row: 0,
            judged: HashMap::new(),
            numbers: 0,
            alarms: HashMap::new(),
            windows_closed: 0,
            newest: Newest::default(),
            recalled: HashMap::new(),
            rng: Rng::new(seed),
            is_loading: true,
            is_dirty: false,
            save_at: Instant::now() + SAVE_EVERY,
        }
    }

    /// Take up what was kept.
    pub(crate) fn loaded(&mut self, state: Option<Vec<u8>>, windows: Vec<Told>, links: &Links) {
        self.is_loading = false;
        for told in windows {
            self.recall(told);
        }
        let saved = state.map(|bytes| load::<Vec<Saved>>(STATE, &bytes)).transpose();
        let saved = saved.unwrap_or_else(|error| {
            self.warn(&error);
            None
        });
        self.arrange(saved.unwrap_or_default(), links);
    }

    /// Another revision is live.
    pub(crate) fn replan(
        &mut self,
        plan: Arc<Plan>,
        checks: Weak<dyn Checks>,
        account: Arc<AtomicU64>,
        links: &Links,
    ) {
        self.source = plan.source();
        self.columns = plan.columns();
        self.plan = plan;
        self.checks = checks;
        self.account = account;
        if !self.is_loading {
            self.arrange(Vec::new(), links);
        }
    }

    /// The streams that the plan asks for: those that go on, those that were saved, and new ones.
    fn arrange(&mut self, mut saved: Vec<Saved>, links: &Links) {
        let plans = match self.plan.streams() {
            Ok(plans) if self.plan.is_on() => plans,
            Ok(_) => Vec::new(),
            Err(error) => {
                self.warn(&error);
                Vec::new()
            }
        };
        let mut before = std::mem::take(&mut self.streams);
        self.judged.clear();
        let mut unchecked = Vec::new();
        for plan in plans {
            let place = self.streams.len();
            let running = before.iter().position(|stream| stream.plan.key == plan.key);
            let kept = saved.iter().position(|saved| saved.key == plan.key);
            let stream = match (running, kept) {
                (Some(at), _) => {
                    let mut stream = before.swap_remove(at);
                    let open = std::mem::take(&mut stream.unchecked);
                    unchecked.extend(open.into_iter().map(|(_, closed)| (place, closed)));
                    stream.replan(plan);
                    Ok(stream)
                }
                (None, Some(at)) => match Stream::restore(plan.clone(), saved.swap_remove(at)) {
                    Ok((stream, open)) => {
                        unchecked.extend(open.into_iter().map(|closed| (place, closed)));
                        Ok(stream)
                    }
                    Err(error) => {
                        self.warn(&error);
                        self.begin(&plan);
                        Stream::new(plan)
                    }
                },
                (None, None) => {
                    self.begin(&plan);
                    Stream::new(plan)
                }
            };
            match stream {
                Ok(stream) => self.streams.push(stream),
                Err(error) => self.warn(&error),
            }
        }
        self.forget_monitors();
        for (stream, closed) in unchecked {
            self.judge(stream, &closed, links);
        }
        self.publish();
    }

    /// Monitors that aren't there any more.
    fn forget_monitors(&mut self) {
        let plan = Arc::clone(&self.plan);
        let is_there = |name: &str| plan.monitors.iter().any(|monitor| monitor.name == name);
        self.alarms.retain(|(monitor, _), _| is_there(monitor));
        let gone: Vec<String> = (self.newest.drift.keys())
            .filter(|(monitor, segment)| segment.is_none() && !is_there(monitor))
            .map(|(monitor, _)| monitor.clone())
            .collect();
        for monitor in gone {
            self.gauges(&monitor, None, None);
        }
        self.newest.drift.retain(|(monitor, _), _| is_there(monitor));
    }

    /// Take up a window that was kept, oldest first.
    fn recall(&mut self, told: Told) {
        match told {
            Told::Drift {
                window,
                alarm,
                identity,
            } => {
                let key = (window.monitor.clone(), window.segment.clone());
                self.recalled.insert((Some(key.0.clone()), key.1.clone()), window.window.clone());
                if key.1.is_none() {
                    self.gauges(&key.0, window.score, Some(window.alarm.raised));
                }
                let alarm = Alarm {
                    state: alarm,
                    identity,
                    seen: 0,
                };
                self.alarms.insert(key.clone(), alarm);
                self.newest.drift.insert(key, Arc::from(window));
            }
            Told::Statistics(window) => {
                let key = window.segment.clone();
                self.recalled.insert((None, key.clone()), window.window.clone());
                self.newest.statistics.insert(key, Arc::from(window));
            }
        }
    }

    /// A stream begins anew: its windows are none that were told of before.
    fn begin(&mut self, stream: &crate::plan::StreamPlan) {
        for used in &stream.uses {
            let monitor = used.monitor.and_then(|at| self.plan.monitors.get(at));
            let monitor = monitor.map(|monitor| monitor.name.clone());
            self.recalled.retain(|(name, _), _| *name != monitor);
        }
    }

    /// Was this window told of before the start?
    fn is_recalled(&self, monitor: Option<&str>, segment: Option<&SegmentName>, window: &Bounds) -> bool {
        let key = (monitor.map(str::to_owned), segment.cloned());
        let before = self.recalled.get(&key).and_then(Bounds::times);
        match (before, window.times()) {
            (Some((_, told)), Some((_, end))) => end <= told,
            _ => false,
        }
    }

    /// Gather what waits, for at most this long. Is something left?
    pub(crate) fn gather(&mut self, slice: Duration, links: &Links) -> bool {
        if self.is_loading {
            return false;
        }
        if self.waiting.is_empty() {
            self.waiting = self.deployment.take();
        }
        if self.waiting.is_empty() {
            return false;
        }
        let start = Instant::now();
        let mut rows = 0;
        while let Some(entry) = self.waiting.pop_front() {
            // Answers of an earlier revision that sent and answered the same go into the same windows.
            if !Arc::ptr_eq(&entry.plan, &self.plan) && entry.plan.source() != self.source {
                self.deployment.drop_rows(Unseen::Revision, entry.input.rows() as u64);
                self.row = 0;
                continue;
            }
            let from = self.row;
            let to = self.gather_rows(&entry, from, start + slice, links);
            rows += (to - from) as u64;
            self.row = if to < entry.input.rows() { to } else { 0 };
            if self.row > 0 {
                self.waiting.push_front(entry);
            }
            if start.elapsed() >= slice {
                break;
            }
        }
        let now = now_ms();
        self.streams.iter_mut().for_each(|stream| stream.heard(now));
        self.is_dirty = true;
        self.count(rows);
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.account.fetch_add(took, Ordering::Relaxed);
        !self.waiting.is_empty() || !self.deployment.is_idle()
    }

    fn count(&self, rows: u64) {
        // The statistics' stream comes first, and sees every row.
        let counts = self.streams.first().map(Stream::counts).unwrap_or_default();
        let counts = RowCounts {
            taken: counts.taken,
            late: counts.late,
            ahead: counts.ahead,
        };
        self.deployment.gathered(rows, counts);
    }

    /// Gather rows of an answer from one on, until a moment. Gives the row after the last.
    fn gather_rows(&mut self, entry: &Entry, from: usize, until: Instant, links: &Links) -> usize {
        let (sent, answered) = (
            self.columns.0.view(&entry.input),
            self.columns.1.view(&entry.output),
        );
        let segments: Vec<Option<Option<Column<'_>>>> = (self.streams.iter())
            .map(|stream| stream.plan.key.segments.as_deref())
            .map(|column| column.map(|column| entry.input.column_named(column)))
            .collect();
        let times = self.plan.event_time.as_ref().map(|time| time.times(&entry.input));
        let (mut sent_cells, mut answered_cells): (Vec<Cell<'_>>, Vec<Cell<'_>>) = (Vec::new(), Vec::new());
        let mut number = String::new();
        let now = now_ms();
        let mut closed: Vec<(usize, Closed)> = Vec::new();
        let mut row = from;
        while row < entry.input.rows() {
            if (row - from) % ROWS_AT_ONCE == 0 && row > from && Instant::now() >= until {
                break;
            }
            sent.cells(row, &mut sent_cells);
            answered.cells(row, &mut answered_cells);
            let event = times.as_ref().and_then(|times| times.get(row).copied().flatten());
            let incoming = Incoming {
                event_ms: event.map_or(entry.at_ms, |micros| micros.div_euclid(1000)),
                now_ms: now,
                row: Row {
                    input: &sent_cells,
                    output: &answered_cells,
                    batches: (&entry.input, &entry.output),
                    position: row,
                    priority: self.rng.next_u64(),
                },
            };
            for ((place, stream), column) in self.streams.iter_mut().enumerate().zip(&segments) {
                let segment = column.map(|column| segment_of(column, row, &mut number));
                closed.extend(stream.add(&incoming, segment).into_iter().map(|window| (place, window)));
            }
            for (stream, window) in closed.drain(..) {
                self.close(stream, window, links);
            }
            row += 1;
        }
        row
    }

    /// Let time pass; save what is due.
    pub(crate) fn tick(&mut self, now: Instant, links: &Links) -> Option<Vec<u8>> {
        if self.is_loading {
            return None;
        }
        // What waits is older than now.
        if self.waiting.is_empty() && self.deployment.is_idle() {
            let (time, is_arrival) = (now_ms(), self.plan.event_time.is_none());
            for place in 0..self.streams.len() {
                let passed = self.streams.get_mut(place).map(|stream| stream.pass(time, is_arrival));
                for window in passed.unwrap_or_default() {
                    self.close(place, window, links);
                }
            }
        }
        (self.is_dirty && now >= self.save_at).then(|| self.save()).flatten()
    }

    /// The state, to be kept.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        if self.is_loading || !self.is_dirty {
            return None;
        }
        self.is_dirty = false;
        self.save_at = Instant::now() + SAVE_EVERY;
        let saved = self.streams.iter().map(Stream::save).collect::<Result<Vec<_>, StateError>>();
        match saved.and_then(|saved| save(STATE, &saved)) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.warn(&error);
                None
            }
        }
    }

    /// It couldn't be kept; try again.
    pub(crate) fn unsaved(&mut self) {
        self.is_dirty = true;
    }

    fn close(&mut self, stream: usize, closed: Closed, links: &Links) {
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
    fn judge(&mut self, place: usize, closed: &Closed, links: &Links) {
        let plan = Arc::clone(&self.plan);
        let Some(stream) = self.streams.get(place) else {
            return;
        };
        let mut told: Vec<Told> = Vec::new();
        let mut at_once: Vec<(usize, Option<SegmentName>, u64, Option<u8>, Result<Found, String>)> = Vec::new();
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for used in &stream.plan.uses {
            let parts = closed.parts.iter().filter(|(segment, _)| used.whole || segment.is_some());
            for (segment, rows) in parts {
                let name = stream.segment(segment.as_ref());
                let Some(monitor) = used.monitor.and_then(|at| Some((at, plan.monitors.get(at)?))) else {
                    let window = self.statistics(stream, closed, (segment.as_ref(), rows), true);
                    if !self.is_recalled(None, window.segment.as_ref(), &window.window) {
                        told.push(Told::Statistics(Box::new(window)));
                    }
                    continue;
                };
                let (at, monitor) = monitor;
                let reference = match monitor.against {
                    AgainstSpec::Baseline => None,
                    AgainstSpec::Trailing(count) => {
                        Some(stream.before(closed, segment.as_ref(), usize::from(count)))
                    }
                };
                let trailing = reference.as_ref().map(|reference| {
                    let found = reference.as_ref().map_or(0, |reference| reference.0.len());
                    u8::try_from(found).unwrap_or(u8::MAX)
                });
                let too_few = rows.rows() < monitor.window.rows_min() || trailing == Some(0);
                if too_few {
                    let none = Found {
                        features: Vec::new(),
                        rows: 0,
                    };
                    at_once.push((at, name, rows.rows(), trailing, Ok(none)));
                    continue;
                }
                items.push(Item {
                    monitor: monitor.name.clone(),
                    current: Arc::clone(rows),
                    reference: reference.flatten(),
                });
                places.push((at, name, rows.rows(), trailing));
            }
        }
        let checks = match stream.unchecked.len() < UNCHECKED_MAX {
            true => self.checks.upgrade().ok_or("the revision isn't served any more"),
            false => Err("the checks of the windows before it haven't ended: make the windows longer, or the checks faster"),
        };
        match checks {
            _ if items.is_empty() => {}
            Ok(checks) => {
                self.numbers += 1;
                let number = self.numbers;
                let judged = Judged {
                    stream: place,
                    items: places,
                };
                self.judged.insert(number, judged);
                if let Some(stream) = self.streams.get_mut(place) {
                    stream.unchecked.push_back((number, closed.clone()));
                }
                checks.check(
                    items,
                    Done {
                        worker: links.worker.clone(),
                        deployment: (self.deployment.tenant.clone(), self.deployment.name.clone()),
                        number,
                        found: Vec::new(),
                    },
                );
            }
            Err(why) => {
                let failed = places.into_iter();
                at_once.extend(failed.map(|(at, name, rows, trailing)| (at, name, rows, trailing, Err(why.to_owned()))));
            }
        }
        for (at, name, rows, trailing, found) in at_once {
            told.extend(self.tell(place, closed, at, name, (rows, trailing), found));
        }
        self.record(told, links);
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
        let mut found = found.into_iter();
        let mut told = Vec::with_capacity(judged.items.len());
        for (at, name, rows, trailing) in judged.items {
            let found = found.next().unwrap_or_else(|| Err("the check ended early".to_owned()));
            told.extend(self.tell(judged.stream, &closed, at, name, (rows, trailing), found));
        }
        self.record(told, links);
        self.publish();
    }

    /// What a monitor says of a part of a window.
    fn tell(
        &mut self,
        stream: usize,
        closed: &Closed,
        monitor: usize,
        segment: Option<SegmentName>,
        (rows, trailing): (u64, Option<u8>),
        found: Result<Found, String>,
    ) -> Option<Told> {
        let plan = Arc::clone(&self.plan);
        let monitor = plan.monitors.get(monitor)?;
        let bounds = self.streams.get(stream)?.bounds(closed);
        if self.is_recalled(Some(&monitor.name), segment.as_ref(), &bounds) {
            return None;
        }
        let (found, error) = match found {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error)),
        };
        let (mut features, checked_rows) = found.map_or((Vec::new(), 0), |found| (found.features, found.rows));
        let status = match features.is_empty() {
            true => Status::InsufficientData,
            false => Status::worst(features.iter().map(|feature| feature.status)),
        };
        let score = (features.iter())
            .filter_map(|feature| feature.statistic)
            .map(|score| score.clamp(-SCORE_MAX, SCORE_MAX))
            .reduce(f64::max);
        // Worst first, so that what doesn't fit a record is what matters least. Stable: the check's order.
        features.sort_by_key(|feature| std::cmp::Reverse(feature.status.rank()));
        let key = (monitor.name.clone(), segment.clone());
        let alarm = match self.alarms.remove(&key) {
            Some(alarm) if alarm.identity == monitor.identity => Some(alarm.state),
            _ => monitor.alarm.hysteresis().ok(),
        };
        let mut alarm = alarm?;
        let change: Change = alarm.observe(status.outcome());
        let window = DriftWindow {
            monitor: monitor.name.clone(),
            segment,
            revision: plan.revision,
            window: bounds,
            closed_at: moment(closed.closed_ms),
            rows,
            checked_rows,
            trailing,
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

    /// Keep what was said of a window, in memory and on the disk.
    fn record(&mut self, told: Vec<Told>, links: &Links) {
        if told.is_empty() {
            return;
        }
        for told in &told {
            match told {
                Told::Drift { window, .. } => {
                    if window.segment.is_none() {
                        self.gauges(&window.monitor, window.score, Some(window.alarm.raised));
                    }
                    let key = (window.monitor.clone(), window.segment.clone());
                    self.newest.drift.insert(key, Arc::new((**window).clone()));
                }
                Told::Statistics(window) => {
                    let key = window.segment.clone();
                    self.newest.statistics.insert(key, Arc::new((**window).clone()));
                }
            }
        }
        self.forget_segments();
        // The keeper ends after the worker.
        let _ = links.keeper.send(Keep::Windows(Arc::clone(&self.deployment), told));
    }

    /// Segments that haven't come for long, and their alarms.
    fn forget_segments(&mut self) {
        let oldest = self.windows_closed.saturating_sub(FORGOTTEN_AFTER * self.streams.len() as u64);
        let (alarms, newest) = (&mut self.alarms, &mut self.newest);
        alarms.retain(|(_, segment), alarm| segment.is_none() || alarm.seen >= oldest);
        newest.drift.retain(|key, _| alarms.contains_key(key));
        // As many as can be told apart, for as long as their windows are news.
        while newest.statistics.len() > STATISTICS_SEGMENTS_MAX {
            let oldest = newest.statistics.iter().min_by(|a, b| a.1.closed_at.cmp(&b.1.closed_at));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            newest.statistics.remove(&key);
        }
    }

    fn gauges(&self, monitor: &str, score: Option<f64>, raised: Option<bool>) {
        let labels = [
            ("tenant", self.deployment.tenant.clone()),
            ("deployment", self.deployment.name.clone()),
            ("monitor", monitor.to_owned()),
        ];
        metrics::gauge!("caisson_drift_score", &labels).set(score.unwrap_or(f64::NAN));
        let raised = raised.map_or(f64::NAN, |raised| f64::from(u8::from(raised)));
        metrics::gauge!("caisson_drift_alarm", &labels).set(raised);
    }

    fn publish(&self) {
        self.deployment.set_newest(self.newest.clone());
    }

    /// A part of a window in numbers.
    fn statistics(
        &self,
        stream: &Stream,
        closed: &Closed,
        (segment, rows): (Option<&Segment>, &Gathered),
        is_closed: bool,
    ) -> StatisticsWindow {
        let all = |columns: &Columns, summary: Option<&Summary>| {
            summary.map_or_else(Vec::new, |summary| ColumnStatistics::all(columns.names(), summary))
        };
        let (input, output) = &self.columns;
        StatisticsWindow {
            segment: stream.segment(segment),
            revision: self.plan.revision,
            window: stream.bounds(closed),
            closed_at: is_closed.then(|| moment(closed.closed_ms)),
            rows: rows.rows(),
            input: all(input, rows.input()),
            predictions: all(output, rows.output()),
            columns_left_out: (input.left_out() + output.left_out()) as u64,
        }
    }

    /// The windows of the statistics that are open.
    pub(crate) fn open(&self) -> Vec<StatisticsWindow> {
        let now = now_ms();
        let mut open = Vec::new();
        for stream in &self.streams {
            let Some(used) = stream.plan.uses.iter().find(|used| used.monitor.is_none()) else {
                continue;
            };
            for closed in stream.open(now) {
                let parts = closed.parts.iter().filter(|(segment, _)| used.whole || segment.is_some());
                open.extend(parts.map(|(segment, rows)| {
                    self.statistics(stream, &closed, (segment.as_ref(), rows), false)
                }));
            }
        }
        open
    }

    /// Are all windows that closed judged, and is nothing left to gather?
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_loading && self.judged.is_empty() && self.waiting.is_empty() && self.deployment.is_idle()
    }

    fn warn(&self, error: &dyn std::fmt::Display) {
        let (tenant, deployment) = (&self.deployment.tenant, &self.deployment.name);
        tracing::warn!(tenant, deployment, %error, "windows start anew");
    }
}

/// Segments of which the newest statistics are in memory: twice what the columns can have at a time.
const STATISTICS_SEGMENTS_MAX: usize = 2 * crate::spec::SEGMENT_COLUMNS_MAX * (crate::spec::SEGMENTS_KEPT + 3);
