//! Is a server's memory flat?

/// The first minute fills caches and pools.
const SETTLED_AFTER_S: f64 = 60.0;
/// Runs shorter than this say little: their slope is told and not judged.
const JUDGED_FROM_S: f64 = 180.0;
/// What the line through the samples may rise by, from the second minute to the end, as a share of their
/// mean: allocators give memory back late, and the registry keeps a record of each upload.
const GROWTH_MAX: f64 = 0.05;
const MIB: f64 = (1 << 20) as f64;

/// The hostile tenant's plugins take a hundred mebibytes and more for an instant, as they may, again and
/// again: of each whole minute only the least look counts, which a leak lifts as well.
const WINDOW_S: f64 = 60.0;

/// One look: seconds since the start, bytes.
pub(super) type Sample = (f64, f64);

/// What the samples say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trend {
    /// At the second minute's start and at the end, by the line; MiB.
    pub(super) first_mib: f64,
    pub(super) last_mib: f64,
    pub(super) mib_per_minute: f64,
    /// Nothing where the run was too short to judge.
    pub(super) flat: Option<bool>,
}

/// The line of least squares through the least looks from the second minute on, or through all looks of a
/// run that is too short.
pub(super) fn trend(samples: &[Sample]) -> Option<Trend> {
    let end = samples.last()?.0;
    let judged = end >= JUDGED_FROM_S;
    let from = if judged { SETTLED_AFTER_S } else { 0.0 };
    // A minute that has just begun may have had such an instant alone.
    let to = if judged {
        (end / WINDOW_S).floor() * WINDOW_S
    } else {
        f64::INFINITY
    };
    let used = samples.iter().copied().filter(|(at, _)| (from..to).contains(at));
    let used: Vec<Sample> = if judged { least(used) } else { used.collect() };
    #[expect(clippy::cast_precision_loss, reason = "some hundred samples")]
    let count = used.len() as f64;
    let mean = |of: fn(&Sample) -> f64| used.iter().map(of).sum::<f64>() / count;
    let (time, bytes) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = used.iter().map(|(at, _)| (at - time).powi(2)).sum();
    let slope = if spread > 0.0 {
        used.iter().map(|(at, b)| (at - time) * (b - bytes)).sum::<f64>() / spread
    } else {
        0.0
    };
    let line = |at: f64| bytes + slope * (at - time);
    let (first, last) = (line(from), line(end));
    Some(Trend {
        first_mib: first / MIB,
        last_mib: last / MIB,
        mib_per_minute: slope * 60.0 / MIB,
        flat: judged.then_some(last - first <= GROWTH_MAX * bytes),
    })
}

/// The least sample of each window, in order.
fn least(samples: impl Iterator<Item = Sample>) -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    let window = |at: f64| (at / WINDOW_S).floor();
    for sample in samples {
        match found.last_mut() {
            Some(last) if window(last.0) == window(sample.0) => {
                if sample.1 < last.1 {
                    *last = sample;
                }
            }
            _ => found.push(sample),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(seconds: u32, bytes: impl Fn(f64) -> f64) -> Vec<Sample> {
        (0..=seconds)
            .map(f64::from)
            .map(|at| (at, bytes(at) * MIB))
            .collect()
    }

    #[test]
    fn the_first_minute_does_not_count() {
        let found = trend(&samples(600, |at| if at < 60.0 { at } else { 100.0 })).unwrap();
        assert_eq!(found.flat, Some(true));
        assert!(
            found.mib_per_minute.abs() < 1e-9 && (found.last_mib - 100.0).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn growth_is_seen() {
        // A hundred and a mebibyte a minute over nine minutes.
        let found = trend(&samples(600, |at| 100.0 + at / 60.0)).unwrap();
        assert_eq!(found.flat, Some(false), "{found:?}");
        assert!((found.mib_per_minute - 1.0).abs() < 1e-9, "{found:?}");
        let slow = trend(&samples(600, |at| 100.0 + at / 600.0)).unwrap();
        assert_eq!(slow.flat, Some(true), "{slow:?}");
        let falls = trend(&samples(600, |at| 100.0 - at / 60.0)).unwrap();
        assert_eq!(falls.flat, Some(true), "less is no leak: {falls:?}");
    }

    #[test]
    fn peaks_within_a_window_do_not_count() {
        let spiky = |at: f64| if at % 20.0 == 0.0 { 100.0 } else { 100.0 + at };
        assert_eq!(trend(&samples(600, spiky)).unwrap().flat, Some(true));
        let begun = |at: f64| if at > 600.0 { 300.0 } else { 100.0 };
        assert_eq!(trend(&samples(603, begun)).unwrap().flat, Some(true));
        assert_eq!(
            least([(1.0, 5.0), (2.0, 3.0), (59.0, 4.0), (60.0, 9.0)].into_iter()),
            [(2.0, 3.0), (60.0, 9.0)]
        );
    }

    #[test]
    fn short_runs_are_not_judged() {
        let found = trend(&samples(30, |at| at)).unwrap();
        assert_eq!(found.flat, None);
        assert!((found.mib_per_minute - 60.0).abs() < 1e-6, "{found:?}");
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&[(0.0, MIB)]).unwrap().mib_per_minute, 0.0);
    }
}
