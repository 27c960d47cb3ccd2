//! What was said of windows: in memory, on its way to the disk, and taken up again after a start.

use std::sync::Arc;

use super::{Alarm, Links, Track};
use crate::history::Told;
use crate::keeper::Keep;
use crate::plan::StreamPlan;
use crate::report::{Bounds, DriftWindow, SegmentName};
use crate::spec::{SEGMENT_COLUMNS_MAX, SEGMENTS_KEPT};

/// Windows after which a segment that didn't come again, and its alarm, are forgotten; at least as many as
/// an alarm looks back.
const FORGOTTEN_AFTER: u64 = 64;
/// Alarms of a deployment: those of its monitors, and of segments the latest ones.
const ALARMS_MAX: usize = 1500;
/// Features of a segment's newest window that are in memory, the worst ones; all are on the disk.
const SEGMENT_FEATURES: usize = 10;
/// Segments of which the newest statistics are in memory: twice what the columns can have at a time.
const STATISTICS_SEGMENTS_MAX: usize = 2 * SEGMENT_COLUMNS_MAX * (SEGMENTS_KEPT + 3);

impl Track {
    /// Monitors that aren't there any more.
    pub(super) fn forget_monitors(&mut self) {
        let plan = Arc::clone(&self.plan);
        let is_there = |name: &str| plan.monitors.iter().any(|monitor| monitor.name == name);
        self.alarms.retain(|(monitor, _), _| is_there(monitor));
        self.newest.drift.retain(|(monitor, _), _| is_there(monitor));
    }

    /// Take up a window that was kept, oldest first.
    pub(super) fn recall(&mut self, told: Told) {
        match told {
            Told::Drift {
                window,
                alarm,
                identity,
            } => {
                let key = (window.monitor.clone(), window.segment.clone());
                self.recalled
                    .insert((Some(key.0.clone()), key.1.clone()), window.window.clone());
                let alarm = Alarm {
                    state: alarm,
                    identity,
                    seen: 0,
                };
                self.alarms.insert(key.clone(), alarm);
                self.newest.drift.insert(key, Arc::new(in_memory(&window)));
            }
            Told::Statistics(window) => {
                let key = window.segment.clone();
                self.recalled.insert((None, key.clone()), window.window.clone());
                self.newest.statistics.insert(key, Arc::from(window));
            }
        }
    }

    /// A stream begins anew: its windows are none that were told of before.
    pub(super) fn begin(&mut self, stream: &StreamPlan) {
        for used in &stream.uses {
            let monitor = used.monitor.and_then(|at| self.plan.monitors.get(at));
            let monitor = monitor.map(|monitor| monitor.name.clone());
            self.recalled.retain(|(name, _), _| *name != monitor);
        }
    }

    /// Was this window told of before the start?
    pub(super) fn is_recalled(
        &self,
        monitor: Option<&str>,
        segment: Option<&SegmentName>,
        window: &Bounds,
    ) -> bool {
        let key = (monitor.map(str::to_owned), segment.cloned());
        let before = self.recalled.get(&key).and_then(Bounds::times);
        match (before, window.times()) {
            (Some((_, told)), Some((_, end))) => end <= told,
            _ => false,
        }
    }

    /// Keep what was said of a window, in memory and on the disk.
    pub(super) fn record(&mut self, told: Vec<Told>, links: &Links) {
        if told.is_empty() {
            return;
        }
        for told in &told {
            match told {
                Told::Drift { window, .. } => {
                    let key = (window.monitor.clone(), window.segment.clone());
                    self.newest.drift.insert(key, Arc::new(in_memory(window)));
                }
                Told::Statistics(window) => {
                    let key = window.segment.clone();
                    self.newest.statistics.insert(key, Arc::new((**window).clone()));
                }
            }
        }
        self.forget_segments();
        if !self.deployment.may_keep(told.len()) {
            return;
        }
        // The keeper ends after the worker.
        let _ = links
            .keeper
            .send(Keep::Windows(Arc::clone(&self.deployment), told));
    }

    /// Segments that haven't come for long, and their alarms.
    fn forget_segments(&mut self) {
        let oldest = self
            .windows_closed
            .saturating_sub(FORGOTTEN_AFTER * self.streams.len() as u64);
        let (alarms, newest) = (&mut self.alarms, &mut self.newest);
        alarms.retain(|(_, segment), alarm| segment.is_none() || alarm.seen >= oldest);
        while alarms.len() > ALARMS_MAX {
            let of_segments = alarms.iter().filter(|((_, segment), _)| segment.is_some());
            let Some(key) = of_segments
                .min_by_key(|(_, alarm)| alarm.seen)
                .map(|(key, _)| key.clone())
            else {
                break;
            };
            alarms.remove(&key);
        }
        newest.drift.retain(|key, _| alarms.contains_key(key));
        // As many as can be told apart, for as long as their windows are news.
        while newest.statistics.len() > STATISTICS_SEGMENTS_MAX {
            let oldest = newest
                .statistics
                .iter()
                .min_by(|a, b| a.1.closed_at.cmp(&b.1.closed_at));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            newest.statistics.remove(&key);
        }
    }

    /// Show what is newest.
    pub(super) fn publish(&self) {
        self.deployment.set_newest(self.newest.clone());
    }
}

/// A window as it is kept in memory.
fn in_memory(window: &DriftWindow) -> DriftWindow {
    let mut window = window.clone();
    if window.segment.is_some() && window.features.len() > SEGMENT_FEATURES {
        window.features_left_out += (window.features.len() - SEGMENT_FEATURES) as u64;
        window.features.truncate(SEGMENT_FEATURES);
    }
    window
}
