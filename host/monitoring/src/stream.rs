//! One stream of windows: those that are open, those that closed and that later ones are compared with, and
//! those that closed and haven't been judged.

use std::collections::VecDeque;
use std::sync::Arc;

use caisson_data::Column;
use caisson_quality::accumulator::StateError;
use caisson_quality::summary::Cell;
use caisson_quality::window::{Counts, Segment, Window, Windows};
use serde::{Deserialize, Serialize};

use crate::checks::Reference;
use crate::columns::cell;
use crate::gathered::{Gathered, Row};
use crate::plan::{Plan, StreamKey, StreamPlan};
use crate::report::{Bounds, SegmentName};

/// A window that closed. Its parts are all rows, then each segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) closed_ms: i64,
    pub(crate) parts: Vec<(Option<Segment>, Arc<Gathered>)>,
}

/// A stream with its rows.
pub(crate) struct Stream {
    pub(crate) plan: StreamPlan,
    windows: Windows<Gathered>,
    closed: VecDeque<Closed>,
    /// By the number under which it is judged.
    pub(crate) unchecked: VecDeque<(u64, Closed)>,
    /// The watermark when the last row came, and when that was.
    quiet: Option<(i64, i64)>,
}

/// A stream as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) key: StreamKey,
    windows: Vec<u8>,
    closed: Vec<Closed>,
    unchecked: Vec<Closed>,
    quiet: Option<(i64, i64)>,
}

/// A row on its way into streams.
pub(crate) struct Incoming<'a> {
    pub(crate) event_ms: i64,
    pub(crate) now_ms: i64,
    pub(crate) row: Row<'a>,
}

impl Stream {
    /// A new one.
    ///
    /// # Errors
    ///
    /// Windows that can't be, as a message; a plan is checked for that when it is deployed.
    pub(crate) fn new(plan: StreamPlan) -> Result<Self, String> {
        let windows = Windows::new(plan.key.windows, plan.empty()).map_err(|e| e.to_string())?;
        Ok(Self {
            plan,
            windows,
            closed: VecDeque::new(),
            unchecked: VecDeque::new(),
            quiet: None,
        })
    }

    /// Go on from what was kept of the same stream. What hadn't been judged comes back to be.
    ///
    /// # Errors
    ///
    /// [`StateError`] for a state of another release, or damaged.
    pub(crate) fn restore(plan: StreamPlan, saved: Saved) -> Result<(Self, Vec<Closed>), StateError> {
        let windows = Windows::restore(plan.key.windows, &plan.empty(), &saved.windows)?;
        let stream = Self {
            plan,
            windows,
            closed: saved.closed.into(),
            unchecked: VecDeque::new(),
            quiet: saved.quiet,
        };
        Ok((stream, saved.unchecked))
    }

    /// As it is kept.
    ///
    /// # Errors
    ///
    /// [`StateError::TooLarge`].
    pub(crate) fn save(&self) -> Result<Saved, StateError> {
        Ok(Saved {
            key: self.plan.key.clone(),
            windows: self.windows.save()?,
            closed: self.closed.iter().cloned().collect(),
            unchecked: self.unchecked.iter().map(|(_, closed)| closed.clone()).collect(),
            quiet: self.quiet,
        })
    }

    /// The same rows under the plan of another revision.
    pub(crate) fn replan(&mut self, plan: StreamPlan) {
        self.plan = plan;
        self.trim();
    }

    /// Rows that came so far.
    pub(crate) fn counts(&self) -> Counts {
        self.windows.counts()
    }

    /// Take a row in. Gives the windows that it closes.
    pub(crate) fn add(&mut self, incoming: &Incoming<'_>, segment: Option<Option<&str>>) -> Vec<Closed> {
        let added = self
            .windows
            .add(incoming.event_ms, incoming.now_ms, segment, &incoming.row);
        self.take(added, incoming.now_ms)
    }

    /// Rows came until now.
    pub(crate) fn heard(&mut self, now_ms: i64) {
        self.quiet = self.windows.watermark().map(|watermark| (watermark, now_ms));
    }

    /// Let time pass without rows. Where rows are timed by when they are answered, none can come late; where
    /// their own time counts, a stream that was silent for a whole window and its lateness is over for now.
    pub(crate) fn pass(&mut self, now_ms: i64, is_arrival: bool) -> Vec<Closed> {
        if !Plan::is_timed(&self.plan) {
            return Vec::new();
        }
        let spec = &self.plan.key.windows;
        let Some((watermark, heard)) = self.quiet else {
            return Vec::new();
        };
        let silent = now_ms.saturating_sub(heard);
        let patience = match is_arrival {
            true => 0,
            false => i64::try_from(spec.size + spec.lateness).unwrap_or(i64::MAX),
        };
        if silent <= patience {
            return Vec::new();
        }
        let passed = self.windows.advance(watermark.saturating_add(silent));
        self.take(passed, now_ms)
    }

    fn take(
        &mut self,
        windows: Result<Vec<Window<Gathered>>, caisson_quality::accumulator::Mismatch>,
        now_ms: i64,
    ) -> Vec<Closed> {
        let windows = windows.unwrap_or_else(|error| {
            // A restored state is held against the plan, so its parts fit.
            tracing::error!(%error, "a window's parts don't fit together");
            Vec::new()
        });
        windows
            .into_iter()
            .map(|window| Closed::of(window, now_ms))
            .collect()
    }

    /// Keep a window for those that come after it.
    pub(crate) fn keep(&mut self, closed: &Closed) {
        if self.plan.trailing > 0 {
            self.closed.push_back(closed.clone());
            self.trim();
        }
    }

    fn trim(&mut self) {
        while self.closed.len() > self.plan.trailing {
            self.closed.pop_front();
        }
    }

    /// The windows before one, at most `count`, that have no row in common with it or each other; the newest
    /// first.
    pub(crate) fn before(
        &self,
        window: &Closed,
        segment: Option<&Segment>,
        count: usize,
    ) -> Option<Reference> {
        let mut bound = window.start;
        let mut found = Vec::new();
        for earlier in self.closed.iter().rev() {
            if found.len() == count {
                break;
            }
            if earlier.end > bound {
                continue;
            }
            if let Some(rows) = earlier.part(segment) {
                found.push(Arc::clone(rows));
                bound = earlier.start;
            }
        }
        (!found.is_empty()).then_some(Reference(found))
    }

    /// The windows that are open, as far as they have come.
    pub(crate) fn open(&self, now_ms: i64) -> Vec<Closed> {
        let open = self.windows.open().unwrap_or_default();
        open.into_iter()
            .map(|window| Closed::of(window, now_ms))
            .collect()
    }

    /// Where a window begins and ends.
    pub(crate) fn bounds(&self, window: &Closed) -> Bounds {
        Bounds::of(self.plan.key.windows.clock, window.start, window.end)
    }

    /// What a part is called.
    pub(crate) fn segment(&self, segment: Option<&Segment>) -> Option<SegmentName> {
        let column = self.plan.key.segments.as_deref()?;
        segment.map(|segment| SegmentName::of(column, segment))
    }
}

impl Closed {
    fn of(window: Window<Gathered>, closed_ms: i64) -> Self {
        let segments = window.segments.into_iter();
        let segments = segments.map(|(segment, rows)| (Some(segment), Arc::new(rows)));
        Self {
            start: window.start,
            end: window.end,
            closed_ms,
            parts: std::iter::once((None, Arc::new(window.whole)))
                .chain(segments)
                .collect(),
        }
    }

    /// All rows, or those of a segment.
    fn part(&self, segment: Option<&Segment>) -> Option<&Arc<Gathered>> {
        let found = self.parts.iter().find(|(name, _)| name.as_ref() == segment);
        found.map(|(_, rows)| rows)
    }
}

/// The segment of a row: its value in a column, as text.
pub(crate) fn segment_of<'b>(
    column: Option<Column<'b>>,
    row: usize,
    number: &'b mut String,
) -> Option<&'b str> {
    use std::fmt::Write as _;
    match column.map_or(Cell::Missing, |column| cell(&column, row, row)) {
        Cell::Missing => None,
        Cell::Text(text) => Some(text),
        Cell::Bool(value) => Some(if value { "true" } else { "false" }),
        Cell::Number(value) => {
            number.clear();
            // Writing into a text doesn't fail.
            let _ = write!(number, "{value}");
            Some(number)
        }
    }
}
