//! How well a model does: performance metrics with their intervals, at bounded memory, over windows.
//!
//! | module | what |
//! | --- | --- |
//! | [`confusion`] | classification by labels: accuracy, precision, recall, F1, Matthews' coefficient |
//! | [`scores`] | binary classification by scores: areas, losses, calibration; exact and in bins |
//! | [`multiclass`] | the same of several classes |
//! | [`regression`] | errors of predicted numbers |
//! | [`calibration`] | calibration error and its bins |
//! | [`summary`] | the rows themselves: missing values, moments, quantiles, frequent and different values |
//! | [`quantiles`], [`frequent`], [`distinct`] | the sketches that a summary is made of |
//! | [`accumulator`] | what all of these are: add, merge, save |
//! | [`window`] | tumbling and sliding windows of any accumulator, by count or event time, by segment |
//! | [`degradation`] | is it worse than the baseline, by test |
//! | [`drift`] | missing rate, new categories, number of different values against a baseline |
//! | [`hysteresis`] | n bad windows of m raise an alarm |
//! | [`calibrator`], [`estimate`] | performance before labels arrive |
//!
//! It knows nothing of HTTP, plugins or storage. A metric answers with a value and its interval, or with
//! the reason why there is none ([`Undefined`]): no NaN, no number that stands for "nothing". Rows that
//! can't be used are counted. The README lists metrics, sources and edge cases.
//!
//! ```
//! use caisson_quality::accumulator::Accumulator;
//! use caisson_quality::degradation::{self, Rule};
//! use caisson_quality::hysteresis::{Hysteresis, Outcome};
//! use caisson_quality::scores::{BinnedScores, ScoreMetric, Scored};
//! use caisson_quality::window::{WindowSpec, Windows};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The baseline: scores of the model's reference rows, right nine times of ten.
//! let row = |i: i64, right: i64| Scored {
//!     score: if i % 2 == 0 { 0.8 } else { 0.2 },
//!     label: Some((i % 2 == 0) == (i % 10 < right)),
//! };
//! let mut baseline = BinnedScores::default();
//! (0..500).for_each(|i| baseline.add(row(i, 9)));
//!
//! // Live rows, one a second, in windows of five minutes; from the second window on it is right six
//! // times of ten.
//! let spec = WindowSpec::event_time_ms(300_000, 300_000, 10_000);
//! let mut windows = Windows::new(spec, BinnedScores::default())?;
//! let mut alarm = Hysteresis::new(2, 3)?;
//! let mut outcomes = Vec::new();
//! for i in 0..1000 {
//!     let (time, right) = (i * 1000, if i < 300 { 9 } else { 6 });
//!     for window in windows.add(time, time, None, row(i, right))? {
//!         let found = degradation::scores(ScoreMetric::Brier, &baseline, &window.whole)?;
//!         let outcome = found.outcome(&Rule::default());
//!         alarm.observe(outcome);
//!         outcomes.push(outcome);
//!     }
//! }
//! assert_eq!(outcomes, [Outcome::Good, Outcome::Bad, Outcome::Bad]);
//! assert!(alarm.is_raised());
//! # Ok(())
//! # }
//! ```

pub mod accumulator;
pub mod answer;
pub mod calibration;
pub mod calibrator;
pub mod confusion;
pub mod degradation;
pub mod distinct;
pub mod drift;
pub mod estimate;
mod fit;
pub mod frequent;
pub mod hysteresis;
pub mod multiclass;
pub mod quantiles;
pub mod regression;
pub mod scores;
pub mod summary;
pub mod window;

pub use answer::{Answer, Better, Measure, Undefined};
