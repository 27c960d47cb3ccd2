//! What a revision wants gathered, and the streams of windows that it makes.
//!
//! Monitors with the same windows, segments and needs share a stream. A stream goes on from one revision to
//! the next, and over a restart, where it is exactly the same ([`StreamKey`]); else it starts anew.

use std::sync::Arc;

use caisson_data::Schema;
use caisson_predictions::EventTimeSpec;
use caisson_quality::hysteresis::AlarmSpec;
use caisson_quality::window::{Clock, WindowSpec};
use serde::{Deserialize, Serialize};

use crate::columns::Columns;
use crate::gathered::Gathered;
use crate::sample::SAMPLE_BYTES_MAX;
use crate::spec::{AgainstSpec, SEGMENTS_KEPT, STEPS_MAX, WindowsSpec};

/// About how much memory the windows of one deployment may take, by what their sketches take at most: 20
/// columns in 20 segments of an hour by the minute are 100 MB.
const BYTES_MAX: u64 = 256 << 20;
/// Windows of a stream that wait for their checks, from which on its rows wait, too.
pub(crate) const UNCHECKED_MAX: usize = 4;
/// Windows of a stream that wait for their checks at most: one row that is far ahead closes all that are open.
pub(crate) const UNJUDGED_MAX: usize = 4 * STEPS_MAX as usize;

/// What a revision wants gathered.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The revision.
    pub revision: u64,
    /// The share of requests.
    pub sample: f64,
    /// Where the time of an event stands; when a request was answered, if absent.
    pub event_time: Option<EventTimeSpec>,
    /// What callers send.
    pub input: Arc<Schema>,
    /// What is answered.
    pub output: Arc<Schema>,
    /// Integer columns whose values are names.
    pub categorical: Vec<String>,
    /// Columns of which no sketches are kept.
    pub private: Vec<String>,
    /// The windows of the statistics, and the columns that segments are made by.
    pub statistics: WindowsSpec,
    /// Columns that the statistics' segments are made by.
    pub segments: Vec<String>,
    /// Monitors that have windows.
    pub monitors: Vec<MonitorPlan>,
}

/// A monitor with windows.
#[derive(Debug, Clone)]
pub struct MonitorPlan {
    /// Its name.
    pub name: String,
    /// Everything that makes its verdicts: an alarm doesn't outlive a change of it.
    pub identity: String,
    /// Its windows.
    pub window: WindowsSpec,
    /// What they are compared with.
    pub against: AgainstSpec,
    /// When its alarm is raised.
    pub alarm: AlarmSpec,
    /// Input columns that its segments are made by.
    pub segments: Vec<String>,
    /// What it has to see.
    pub needs: Needs,
}

/// What has to be gathered for a monitor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Sketches of the input.
    pub input: bool,
    /// Sketches of the answers.
    pub output: bool,
    /// A sample of rows: for plugins, and for features, which are computed again.
    pub sample: bool,
}

/// What tells one stream from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamKey {
    pub(crate) windows: WindowSpec,
    /// The column that segments are made by.
    pub(crate) segments: Option<String>,
    needs: Needs,
    sample_rows: Option<u64>,
    input: Columns,
    output: Columns,
    /// The schemas and where the time stands, in JSON.
    source: String,
}

/// Who looks at a stream.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    /// The monitor's place in the plan; none: the statistics.
    pub(crate) monitor: Option<usize>,
    /// Does it look at all rows here? Of a stream for its second segments' column it doesn't.
    pub(crate) whole: bool,
}

/// A stream, and who looks at it.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlan {
    pub(crate) key: StreamKey,
    pub(crate) uses: Vec<Use>,
    /// Windows that are kept for what comes after them.
    pub(crate) trailing: usize,
}

impl StreamPlan {
    /// What gathers its rows.
    pub(crate) fn empty(&self) -> Gathered {
        let needs = self.key.needs;
        Gathered::new(
            needs.input.then(|| self.key.input.empty()),
            needs.output.then(|| self.key.output.empty()),
            self.key
                .sample_rows
                .map(|rows| usize::try_from(rows).unwrap_or(usize::MAX)),
        )
    }

    /// About how many bytes it takes at most.
    fn bytes(&self) -> u64 {
        let (needs, windows) = (self.key.needs, self.key.windows);
        let of = |wanted: bool, bytes: u64| if wanted { bytes } else { 0 };
        let row = 8 * (self.key.input.names().len() + self.key.output.names().len()) as u64;
        let sample = self.key.sample_rows.unwrap_or_default() * row.max(64);
        let gathered = of(needs.input, self.key.input.bytes())
            + of(needs.output, self.key.output.bytes())
            + sample.min(SAMPLE_BYTES_MAX as u64);
        let segments = self.key.segments.as_ref().map_or(1, |_| SEGMENTS_KEPT as u64 + 3);
        let at_once = windows.size.div_ceil(windows.step);
        let kept = windows.panes() + at_once + (self.trailing + UNCHECKED_MAX) as u64;
        gathered.saturating_mul(segments).saturating_mul(kept)
    }
}

impl Plan {
    /// Does anything have to be gathered?
    pub fn is_on(&self) -> bool {
        self.sample > 0.0
    }

    /// What is sent and answered, and when: answers of two plans with the same source go into the same windows.
    pub(crate) fn source(&self) -> String {
        let parts = (&*self.input, &*self.output, &self.event_time);
        // Schemas and names are text and numbers, which JSON holds.
        serde_json::to_string(&parts).unwrap_or_default()
    }

    /// The columns of the statistics.
    pub(crate) fn columns(&self) -> (Columns, Columns) {
        (
            Columns::of(&self.input, &self.categorical, &self.private),
            Columns::of(&self.output, &self.categorical, &self.private),
        )
    }

    /// The streams.
    ///
    /// # Errors
    ///
    /// Windows that can't be, as a message.
    pub(crate) fn streams(&self) -> Result<Vec<StreamPlan>, String> {
        let (source, (input, output)) = (self.source(), self.columns());
        let mut streams: Vec<StreamPlan> = Vec::new();
        let statistics = Needs {
            input: true,
            output: true,
            sample: false,
        };
        let mut add = |monitor: Option<usize>,
                       at: &str,
                       window: &WindowsSpec,
                       needs: Needs,
                       columns: &[String],
                       k: usize| {
            let columns: Vec<Option<String>> = match columns {
                [] => vec![None],
                columns => columns.iter().cloned().map(Some).collect(),
            };
            for (i, segments) in columns.into_iter().enumerate() {
                let key = StreamKey {
                    windows: window.resolve(at, segments.is_some())?,
                    segments,
                    needs,
                    sample_rows: needs.sample.then_some(window.sample_rows() as u64),
                    input: input.clone(),
                    output: output.clone(),
                    source: source.clone(),
                };
                let used = Use {
                    monitor,
                    whole: i == 0,
                };
                // Windows that overlap the one that is compared are no reference for it.
                let overlap =
                    usize::try_from(key.windows.size.div_ceil(key.windows.step)).unwrap_or(usize::MAX);
                let trailing = k.saturating_mul(overlap);
                match streams.iter_mut().find(|stream| stream.key == key) {
                    Some(stream) => {
                        stream.uses.push(used);
                        stream.trailing = stream.trailing.max(trailing);
                    }
                    None => streams.push(StreamPlan {
                        key,
                        uses: vec![used],
                        trailing,
                    }),
                }
            }
            Ok::<_, String>(())
        };
        add(
            None,
            "monitoring.window",
            &self.statistics,
            statistics,
            &self.segments,
            0,
        )?;
        for (i, monitor) in self.monitors.iter().enumerate() {
            let trailing = match monitor.against {
                AgainstSpec::Baseline => 0,
                AgainstSpec::Trailing(windows) => usize::from(windows),
            };
            let at = format!("monitor `{}`: window", monitor.name);
            add(
                Some(i),
                &at,
                &monitor.window,
                monitor.needs,
                &monitor.segments,
                trailing,
            )?;
        }
        Ok(streams)
    }

    /// Can it be, and in the memory that a deployment's windows may have?
    ///
    /// # Errors
    ///
    /// What is wrong, as a message.
    pub fn check(&self) -> Result<(), String> {
        let streams = self.streams()?;
        let bytes: u64 = streams.iter().map(StreamPlan::bytes).fold(0, u64::saturating_add);
        if bytes <= BYTES_MAX {
            return Ok(());
        }
        let largest = streams.iter().max_by_key(|stream| stream.bytes());
        let what = largest.map_or_else(String::new, |stream| {
            let name = match stream.uses.first().and_then(|used| used.monitor) {
                Some(monitor) => self
                    .monitors
                    .get(monitor)
                    .map(|m| format!("those of the monitor `{}`", m.name)),
                None => Some("those of the statistics".to_owned()),
            };
            format!("; {} take {} MiB", name.unwrap_or_default(), stream.bytes() >> 20)
        });
        Err(format!(
            "the windows of this deployment may take {} MiB of memory, more than {}{what}: use fewer segments, \
             trailing windows or sampled rows, or a larger `step`",
            bytes >> 20,
            BYTES_MAX >> 20
        ))
    }

    /// The clock of a stream.
    pub(crate) fn is_timed(stream: &StreamPlan) -> bool {
        stream.key.windows.clock == Clock::EventTimeMs
    }
}
