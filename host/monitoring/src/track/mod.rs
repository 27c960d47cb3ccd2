//! One deployment, as the worker has it: its streams, and what waits to be gathered. What becomes of a window
//! that closes is in [`judge`], what is made of its verdicts in [`news`].

mod judge;
mod news;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use caisson_data::Column;
use caisson_quality::accumulator::{StateError, load, save};
use caisson_quality::hysteresis::Hysteresis;
use caisson_quality::summary::{Cell, Summary};
use caisson_quality::window::Segment;
use caisson_stats::rng::Rng;

use crate::ColumnStatistics;
use crate::checks::Checks;
use crate::columns::Columns;
use crate::deployment::{Deployment, Entry, Newest, Unseen, now_ms};
use crate::gathered::{Gathered, Row};
use crate::history::Told;
use crate::keeper::Keep;
use crate::plan::Plan;
use crate::report::{Bounds, RowCounts, SegmentName, StatisticsWindow, moment};
use crate::stream::{Closed, Incoming, Saved, Stream, segment_of};
use crate::worker::Message;
use judge::Judged;

/// How often windows in progress are saved: what a process that is killed loses of them.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How soon after a window closed, so that it isn't gathered once more after a crash.
const SAVE_AFTER_CLOSE: Duration = Duration::from_secs(1);
/// Rows between looks at the clock.
const ROWS_AT_ONCE: usize = 64;
const STATE: &str = "monitoring";

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
        self.count();
        self.publish();
    }

    /// Gather what waits, for at most this long. Is something left that needn't wait for checks?
    pub(crate) fn gather(&mut self, slice: Duration, links: &Links) -> bool {
        if self.is_loading || self.has_unchecked() {
            return false;
        }
        if self.waiting.is_empty() {
            self.waiting = self.deployment.take();
        }
        if self.waiting.is_empty() {
            return false;
        }
        let start = Instant::now();
        while let Some(entry) = self.waiting.pop_front() {
            // Answers of an earlier revision that sent and answered the same go into the same windows.
            if !Arc::ptr_eq(&entry.plan, &self.plan) && entry.plan.source() != self.source {
                self.deployment
                    .drop_rows(Unseen::Revision, entry.input.rows() as u64);
                self.row = 0;
                continue;
            }
            let from = self.row;
            let to = self.gather_rows(&entry, from, start + slice, links);
            self.row = if to < entry.input.rows() { to } else { 0 };
            if self.row > 0 {
                self.waiting.push_front(entry);
            }
            if start.elapsed() >= slice || self.has_unchecked() {
                break;
            }
        }
        let now = now_ms();
        self.streams.iter_mut().for_each(|stream| stream.heard(now));
        self.is_dirty = true;
        self.count();
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.account.fetch_add(took, Ordering::Relaxed);
        !self.has_unchecked() && (!self.waiting.is_empty() || !self.deployment.is_idle())
    }

    fn count(&self) {
        // The statistics' stream comes first, and sees every row.
        let counts = self.streams.first().map(Stream::counts).unwrap_or_default();
        let counts = RowCounts {
            taken: counts.taken,
            late: counts.late,
            ahead: counts.ahead,
        };
        self.deployment.gathered(counts);
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
            if (row - from).is_multiple_of(ROWS_AT_ONCE) && row > from && Instant::now() >= until {
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
                closed.extend(
                    stream
                        .add(&incoming, segment)
                        .into_iter()
                        .map(|window| (place, window)),
                );
            }
            row += 1;
            let has_closed = !closed.is_empty();
            for (stream, window) in closed.drain(..) {
                self.close(stream, window, links);
            }
            if has_closed && self.has_unchecked() {
                break;
            }
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
                let passed = self
                    .streams
                    .get_mut(place)
                    .map(|stream| stream.pass(time, is_arrival));
                for window in passed.unwrap_or_default() {
                    self.close(place, window, links);
                }
            }
        }
        (self.is_dirty && now >= self.save_at)
            .then(|| self.save())
            .flatten()
    }

    /// The state, to be kept.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        if self.is_loading || !self.is_dirty {
            return None;
        }
        self.is_dirty = false;
        self.save_at = Instant::now() + SAVE_EVERY;
        let saved = self
            .streams
            .iter()
            .map(Stream::save)
            .collect::<Result<Vec<_>, StateError>>();
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

    /// A part of a window in numbers.
    fn statistics(
        &self,
        stream: &Stream,
        closed: &Closed,
        (segment, rows): (Option<&Segment>, &Gathered),
        is_closed: bool,
    ) -> StatisticsWindow {
        let all = |columns: &Columns, summary: Option<&Summary>| {
            summary.map_or_else(Vec::new, |summary| {
                ColumnStatistics::all(columns.names(), summary)
            })
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
                let parts = closed
                    .parts
                    .iter()
                    .filter(|(segment, _)| used.whole || segment.is_some());
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
