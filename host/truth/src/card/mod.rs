//! What is gathered of one part of one window: everything that the metrics of its task come from.
//!
//! Cards merge, so windows are put together from pieces. Areas are exact while rows are few (all of their
//! scores are kept), and come from bins beyond, with how far they may be off.

mod estimate;
mod names;
mod scores;

use std::sync::Arc;

use caisson_quality::accumulator::{Accumulator as _, Mismatch};
use caisson_quality::confusion::{Average, ClassMetric, Confusion, Labelled};
use caisson_quality::degradation::{self, Comparison};
use caisson_quality::multiclass::BinnedMulticlass;
use caisson_quality::regression::{Predicted, Regression, ZeroActuals};
use caisson_quality::scores::BinnedScores;
use caisson_quality::{Answer, Measure, Undefined};
use caisson_stats::interval::{Interval, LEVEL, Method};

use crate::metric::{Metric, Task};
use crate::result::{ClassRow, ConfusionTable, MetricValue};
use crate::spec::{PerformanceSpec, label_text};
use estimate::Confidence;
pub(crate) use estimate::{CALIBRATION_ROWS_MAX, Estimator};
use names::{class_metric, multiclass_metric, regression_metric, score_metric};
use scores::{BinaryScores, ClassScores};

/// Of a metric that the rows don't have; specs that ask for one are refused.
const NO_ROW: Undefined = Undefined::TooFew { rows: 0, needed: 1 };

/// How cards are made and rows are read, of one deployment.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) task: Task,
    positive: Arc<str>,
    negative: Arc<str>,
    classes: Vec<Arc<str>>,
    threshold: f64,
    /// Is there a column that is the prediction?
    says: bool,
    scores: usize,
    zeros: ZeroActuals,
    pub(crate) naive_error: Option<f64>,
    /// Is performance estimated?
    estimates: bool,
    pub(crate) estimator: Option<Arc<Estimator>>,
}

/// A value that is predicted, or that came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Number(f64),
    Name(&'a str),
}

/// One prediction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// What the column of the prediction says.
    pub(crate) predicted: Option<Value<'a>>,
    pub(crate) scores: &'a [f64],
    pub(crate) label: Option<Value<'a>>,
    /// Label and prediction of the step before in the series.
    pub(crate) before: Option<(f64, f64)>,
    /// Labels that another value replaced.
    pub(crate) restated: u64,
}

/// What is gathered.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) predictions: u64,
    pub(crate) labelled: u64,
    restated: u64,
    unusable: u64,
    confidence: Confidence,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Binary {
        confusion: Confusion,
        scores: Option<Box<BinaryScores>>,
    },
    Multiclass {
        confusion: Confusion,
        scores: Option<Box<ClassScores>>,
    },
    Numbers(Box<Regression>),
}

impl Setup {
    pub(crate) fn new(spec: &PerformanceSpec) -> Self {
        let positive = spec.positive.as_ref().and_then(label_text).unwrap_or_default();
        let negative = match positive.as_str() {
            "1" => "0".to_owned(),
            "true" => "false".to_owned(),
            other => format!("not {other}"),
        };
        let classes: Vec<Arc<str>> = spec
            .classes
            .iter()
            .filter_map(label_text)
            .map(Arc::from)
            .collect();
        Self {
            task: spec.task,
            positive: positive.into(),
            negative: negative.into(),
            threshold: spec.threshold.unwrap_or(0.5),
            says: spec.prediction.is_some(),
            scores: match (spec.scores.is_empty(), spec.task) {
                (true, _) => 0,
                (false, Task::Multiclass) => classes.len(),
                (false, _) => 1,
            },
            classes,
            zeros: spec.mape_zeros.into(),
            naive_error: spec.naive_error,
            estimates: spec.estimate,
            estimator: None,
        }
    }

    pub(crate) fn is_classification(&self) -> bool {
        self.task.is_classification()
    }

    /// Scores of a row.
    pub(crate) fn scores(&self) -> usize {
        self.scores
    }

    /// Is a label the positive one?
    pub(crate) fn is_positive(&self, label: &str) -> bool {
        *label == *self.positive
    }

    /// A card without rows.
    pub(crate) fn card(&self) -> Card {
        let kind = match self.task {
            Task::Binary => Kind::Binary {
                confusion: Confusion::new(&[&self.negative, &self.positive]),
                scores: (self.scores > 0).then(|| {
                    Box::new(BinaryScores {
                        binned: BinnedScores::default(),
                        exact: Some(Vec::new()),
                    })
                }),
            },
            Task::Multiclass => Kind::Multiclass {
                confusion: Confusion::new(&self.classes.iter().map(|c| &**c).collect::<Vec<_>>()),
                scores: BinnedMulticlass::new(self.classes.len())
                    .filter(|_| self.scores > 0)
                    .map(|binned| {
                        Box::new(ClassScores {
                            binned,
                            exact: Some(Vec::new()),
                        })
                    }),
            },
            Task::Regression | Task::Forecast => {
                Kind::Numbers(Box::new(Regression::new(self.zeros, self.naive_error)))
            }
        };
        Card {
            predictions: 0,
            labelled: 0,
            restated: 0,
            unusable: 0,
            confidence: Confidence::new(self.estimator.as_ref(), self.task, self.threshold),
            kind,
        }
    }

    /// How sure the model is: of the positive label of two, of what it predicts of several.
    fn confidence(&self, row: &Row<'_>) -> Option<f64> {
        match self.task {
            Task::Binary => row.scores.first().copied(),
            Task::Multiclass => {
                let predicted = self.predicted(row)?;
                let class = self.classes.iter().position(|class| **class == *predicted)?;
                row.scores.get(class).copied()
            }
            Task::Regression | Task::Forecast => None,
        }
    }

    /// The label that a row predicts.
    fn predicted<'a>(&'a self, row: &Row<'a>) -> Option<&'a str> {
        if self.says {
            return match row.predicted? {
                Value::Name(name) => Some(name),
                Value::Number(_) => None,
            };
        }
        match self.task {
            Task::Binary => {
                let score = row.scores.first().filter(|score| score.is_finite())?;
                Some(if *score >= self.threshold {
                    &self.positive
                } else {
                    &self.negative
                })
            }
            _ => {
                // The first of the largest.
                let mut best: Option<(usize, f64)> = None;
                for (at, score) in row.scores.iter().enumerate() {
                    if !score.is_finite() {
                        return None;
                    }
                    if best.is_none_or(|(_, most)| *score > most) {
                        best = Some((at, *score));
                    }
                }
                self.classes.get(best?.0).map(|class| &**class)
            }
        }
    }
}

impl Card {
    /// Take a prediction in.
    pub(crate) fn add(&mut self, setup: &Setup, row: &Row<'_>) {
        self.predictions += 1;
        self.restated += row.restated;
        let confidence = setup.confidence(row);
        self.confidence.add(confidence);
        let Some(label) = row.label else {
            return;
        };
        self.labelled += 1;
        let used = match (&mut self.kind, label) {
            (Kind::Binary { confusion, scores }, Value::Name(label)) => {
                let is_positive = setup.is_positive(label);
                let name = |positive: bool| match positive {
                    true => &*setup.positive,
                    false => &*setup.negative,
                };
                let predicted = setup.predicted(row).map(|p| name(setup.is_positive(p)));
                confusion.add(Labelled {
                    actual: Some(name(is_positive)),
                    predicted,
                });
                let scored = scores
                    .as_mut()
                    .is_none_or(|s| s.add(row.scores.first(), is_positive));
                predicted.is_some() && scored
            }
            (Kind::Multiclass { confusion, scores }, Value::Name(label)) => {
                let predicted = setup.predicted(row);
                confusion.add(Labelled {
                    actual: Some(label),
                    predicted,
                });
                if setup.estimates {
                    self.confidence.check(confidence, predicted == Some(label));
                }
                let class = setup.classes.iter().position(|class| **class == *label);
                let scored = scores.as_mut().is_none_or(|s| s.add(row.scores, class));
                predicted.is_some() && scored
            }
            (Kind::Numbers(numbers), Value::Number(actual)) => {
                let predicted = match row.predicted {
                    Some(Value::Number(number)) => number,
                    _ => f64::NAN,
                };
                let before = row.before.filter(|_| setup.task == Task::Forecast);
                numbers.add(Predicted {
                    actual,
                    predicted,
                    before,
                });
                actual.is_finite() && predicted.is_finite()
            }
            _ => false,
        };
        self.unusable += u64::from(!used);
    }

    /// Take in what another gathered.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        match (&mut self.kind, &other.kind) {
            (
                Kind::Binary { confusion, scores },
                Kind::Binary {
                    confusion: c,
                    scores: s,
                },
            ) => {
                confusion.merge(c)?;
                if let (Some(ours), Some(theirs)) = (scores, s) {
                    ours.merge(theirs)?;
                }
            }
            (
                Kind::Multiclass { confusion, scores },
                Kind::Multiclass {
                    confusion: c,
                    scores: s,
                },
            ) => {
                confusion.merge(c)?;
                if let (Some(ours), Some(theirs)) = (scores, s) {
                    ours.merge(theirs)?;
                }
            }
            (Kind::Numbers(ours), Kind::Numbers(theirs)) => ours.merge(theirs)?,
            // Cards of one setup are of one kind.
            _ => {}
        }
        self.confidence.merge(&other.confidence)?;
        self.predictions += other.predictions;
        self.labelled += other.labelled;
        self.restated += other.restated;
        self.unusable += other.unusable;
        Ok(())
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.unusable, self.restated)
    }

    /// A metric's value.
    pub(crate) fn measure(&self, metric: Metric, setup: &Setup) -> (Answer, Option<f64>) {
        let nothing = || (Err(NO_ROW), None);
        match &self.kind {
            Kind::Binary { confusion, scores } => match class_metric(metric, &setup.positive) {
                Some(metric) => (confusion.measure(&metric, LEVEL), None),
                None => match (score_metric(metric), scores) {
                    (Some(metric), Some(scores)) => scores.measure(metric),
                    _ => nothing(),
                },
            },
            Kind::Multiclass { confusion, scores } => match class_metric(metric, "") {
                Some(metric) => (confusion.measure(&metric, LEVEL), None),
                None => match (multiclass_metric(metric), scores) {
                    (Some(metric), Some(scores)) => scores.measure(metric),
                    _ => nothing(),
                },
            },
            Kind::Numbers(numbers) => match regression_metric(metric) {
                Some(metric) => (numbers.measure(metric, LEVEL), None),
                None => nothing(),
            },
        }
    }

    /// Is a metric worse here than there?
    pub(crate) fn compare(
        &self,
        metric: Metric,
        baseline: &Self,
        setup: &Setup,
    ) -> Result<Comparison, Undefined> {
        match (&self.kind, &baseline.kind) {
            (
                Kind::Binary { confusion, scores },
                Kind::Binary {
                    confusion: c,
                    scores: s,
                },
            ) => {
                if let Some(metric) = class_metric(metric, &setup.positive) {
                    return degradation::classes(&metric, c, confusion);
                }
                if let (Some(metric), Some(ours), Some(theirs)) = (score_metric(metric), scores, s) {
                    return degradation::scores(metric, &theirs.binned, &ours.binned);
                }
            }
            (Kind::Multiclass { confusion, .. }, Kind::Multiclass { confusion: c, .. }) => {
                if let Some(metric) = class_metric(metric, "") {
                    return degradation::classes(&metric, c, confusion);
                }
            }
            (Kind::Numbers(ours), Kind::Numbers(theirs)) => {
                if let Some(metric) = regression_metric(metric) {
                    return degradation::regression(metric, theirs, ours);
                }
            }
            _ => {}
        }
        let (before, now) = (baseline.measure(metric, setup).0?, self.measure(metric, setup).0?);
        degradation::intervals(&before, &now, metric.better()).ok_or(Undefined::NoSpread)
    }

    /// Is a metric worse here than a value that was given?
    pub(crate) fn compare_with(
        &self,
        metric: Metric,
        value: f64,
        setup: &Setup,
    ) -> Result<Comparison, Undefined> {
        let now = self.measure(metric, setup).0?;
        // A value without rows of its own, which therefore doesn't vary.
        let given = Measure {
            value,
            interval: Some(Interval {
                low: value,
                high: value,
                level: LEVEL,
                method: Method::Delta,
            }),
            rows: u64::MAX,
        };
        degradation::intervals(&given, &now, metric.better()).ok_or(Undefined::NoSpread)
    }

    /// Estimates of metrics, by name.
    pub(crate) fn estimates(&self, wanted: &[Metric], setup: &Setup) -> Vec<(Metric, MetricValue)> {
        self.confidence
            .estimates(wanted, setup.task, setup.estimator.as_ref())
    }

    /// Rows by actual and predicted label, and each class.
    pub(crate) fn classes(&self) -> Option<(ConfusionTable, Vec<ClassRow>)> {
        let confusion = match &self.kind {
            Kind::Binary { confusion, .. } | Kind::Multiclass { confusion, .. } => confusion,
            Kind::Numbers(_) => return None,
        };
        let (labels, counts) = confusion.table();
        // "Other" is first, and mostly empty.
        let other = counts.first().map_or(0, |row| row.iter().sum::<u64>())
            + counts.iter().filter_map(|row| row.first()).sum::<u64>();
        let skip = usize::from(other == 0);
        let table = ConfusionTable {
            labels: labels
                .iter()
                .skip(skip)
                .map(|label| label.map(str::to_owned))
                .collect(),
            counts: counts
                .iter()
                .skip(skip)
                .map(|row| row.iter().skip(skip).copied().collect())
                .collect(),
        };
        let of = |metric: fn(Average) -> ClassMetric, name: &str| {
            MetricValue::of(
                confusion.measure(&metric(Average::Class(name.to_owned())), LEVEL),
                None,
            )
        };
        let rows = confusion.classes().into_iter().filter_map(|class| {
            let name = class.name?;
            Some(ClassRow {
                label: Some(name.to_owned()),
                rows: class.actual,
                precision: of(ClassMetric::Precision, name),
                recall: of(ClassMetric::Recall, name),
                f1: of(ClassMetric::F1, name),
            })
        });
        Some((table, rows.collect()))
    }

    /// What is calibrated and whether it came true; none where that wasn't kept.
    pub(crate) fn scored(&self) -> &[(f64, bool)] {
        match &self.kind {
            Kind::Binary {
                scores: Some(scores), ..
            } => scores.exact.as_deref().unwrap_or_default(),
            _ => self.confidence.checked(),
        }
    }
}
