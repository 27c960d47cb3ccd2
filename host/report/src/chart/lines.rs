//! A value over time, with its interval, what it is compared with, and what was changed meanwhile.

use caisson_diagnosis::{Event, EventKind};
use jiff::Timestamp;

use super::ticks::{moment, short, ticks};
use super::{close, label, line, open};
use crate::POINTS_MAX;
use crate::model::{Point, Series, Status};
use crate::page::Page;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// Markers of changes in one chart, the newest.
const MARKERS_MAX: usize = 12;

/// A place of the chart for a time and a value.
struct Scale {
    from: f64,
    span: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(series: &Series, points: &[&Point]) -> Self {
        let times = || points.iter().map(|point| seconds(point.at));
        let (first, last) = (
            times().fold(f64::INFINITY, f64::min),
            times().fold(f64::NEG_INFINITY, f64::max),
        );
        let values = points
            .iter()
            .flat_map(|point| {
                let (low, high) = point.interval.unzip();
                [point.value, low, high]
            })
            .flatten()
            .chain(series.limit.as_ref().map(|limit| limit.value))
            .filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // Amounts are shown from 0, if that doesn't press them flat.
        let low = if low > 0.0 && low < high * 0.6 { 0.0 } else { low };
        let room = if high > low {
            (high - low) * 0.08
        } else {
            low.abs().max(1.0) * 0.1
        };
        Self {
            from: first,
            span: (last - first).max(1.0),
            low: if low == 0.0 { 0.0 } else { low - room },
            high: high + room,
        }
    }

    fn x(&self, at: Timestamp) -> f64 {
        LEFT + (seconds(at) - self.from) / self.span * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

/// Draw it.
pub(crate) fn lines(page: &mut Page, series: &Series, events: &[Event]) {
    let skipped = series.points.len().saturating_sub(POINTS_MAX);
    let points: Vec<&Point> = series.points.iter().skip(skipped).collect();
    if points.is_empty() {
        return;
    }
    let scale = Scale::of(series, &points);
    open(page, WIDTH, HEIGHT, &format!("{} over time", series.title));
    axes(page, &scale, &series.unit);
    markers(page, &scale, events);
    for run in points.chunk_by(|a, b| a.value.is_some() && b.value.is_some()) {
        band(page, &scale, run);
        page.markup("<polyline class=\"series\" points=\"");
        for point in run {
            if let Some(value) = point.value {
                page.number(scale.x(point.at))
                    .markup(",")
                    .number(scale.y(value))
                    .markup(" ");
            }
        }
        page.markup("\"/>");
    }
    if let Some(limit) = &series.limit {
        let y = scale.y(limit.value);
        line(page, "limit", (LEFT, y), (WIDTH - RIGHT, y));
        label(
            page,
            "tick limit-label",
            (LEFT + 4.0, y - 4.0),
            &format!("{} {}", limit.label, short(limit.value)),
        );
    }
    for point in points {
        dot(page, &scale, point, &series.unit);
    }
    close(page);
}

fn axes(page: &mut Page, scale: &Scale, unit: &str) {
    for tick in ticks(scale.low, scale.high, 4) {
        let y = scale.y(tick);
        line(page, "grid", (LEFT, y), (WIDTH - RIGHT, y));
        label(page, "tick end", (LEFT - 6.0, y + 3.5), &short(tick));
    }
    if !unit.is_empty() {
        label(page, "tick", (2.0, TOP - 2.0), unit);
    }
    let base = HEIGHT - BOTTOM;
    line(page, "axis", (LEFT, base), (WIDTH - RIGHT, base));
    const TIMES: u32 = 4;
    for i in 0..=TIMES {
        let share = f64::from(i) / f64::from(TIMES);
        let Ok(at) = Timestamp::from_second((scale.from + scale.span * share) as i64) else {
            continue;
        };
        let x = LEFT + share * (WIDTH - LEFT - RIGHT);
        let class = match i {
            0 => "tick",
            TIMES => "tick end",
            _ => "tick middle",
        };
        line(page, "axis", (x, base), (x, base + 4.0));
        label(page, class, (x, HEIGHT - 8.0), &moment(at, scale.span));
    }
}

/// Where something was changed.
fn markers(page: &mut Page, scale: &Scale, events: &[Event]) {
    let inside = |event: &&Event| {
        let at = seconds(event.at);
        event.kind.is_change() && at >= scale.from && at <= scale.from + scale.span
    };
    for event in events.iter().filter(inside).take(MARKERS_MAX) {
        let x = scale.x(event.at);
        page.markup("<g>");
        line(page, "marker", (x, TOP), (x, HEIGHT - BOTTOM));
        let letter = match event.kind {
            EventKind::Rollback => "↩",
            EventKind::Alias => "⇄",
            _ => "▲",
        };
        label(page, "tick middle", (x, TOP + 4.0), letter);
        page.element("<title>", &format!("{} {}", event.at, event.text), "</title>");
        page.markup("</g>");
    }
}

/// The intervals of neighbours as one area.
fn band(page: &mut Page, scale: &Scale, run: &[&Point]) {
    let with: Vec<(Timestamp, (f64, f64))> = run
        .iter()
        .filter_map(|point| Some((point.at, point.interval?)))
        .collect();
    if with.len() < 2 {
        return;
    }
    page.markup("<polygon class=\"band\" points=\"");
    for (at, (low, _)) in &with {
        page.number(scale.x(*at))
            .markup(",")
            .number(scale.y(*low))
            .markup(" ");
    }
    for (at, (_, high)) in with.iter().rev() {
        page.number(scale.x(*at))
            .markup(",")
            .number(scale.y(*high))
            .markup(" ");
    }
    page.markup("\"/>");
}

fn dot(page: &mut Page, scale: &Scale, point: &Point, unit: &str) {
    let Some(value) = point.value else { return };
    let class = match point.status {
        Status::Good => "good",
        Status::Unknown => "unknown",
        Status::Warning => "warning",
        Status::Bad => "bad",
    };
    page.markup("<circle class=\"dot ")
        .markup(class)
        .markup("\" cx=\"")
        .number(scale.x(point.at))
        .markup("\" cy=\"")
        .number(scale.y(value))
        .markup(if point.status == Status::Bad {
            "\" r=\"4\">"
        } else {
            "\" r=\"2.5\">"
        });
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    let interval = point.interval.map_or_else(String::new, |(low, high)| {
        format!(" ({} to {})", short(low), short(high))
    });
    page.element(
        "<title>",
        &format!("{}: {}{unit}{interval}", point.at, short(value)),
        "</title>",
    );
    page.markup("</circle>");
}
