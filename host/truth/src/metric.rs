//! The metrics, by the names that files, answers and alert rules have for them.

use caisson_quality::Better;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two labels.
    Binary,
    /// One of several labels.
    Multiclass,
    /// A number.
    Regression,
    /// A number of a series, of which the direction counts too.
    Forecast,
}

impl Task {
    /// Is a label predicted, rather than a number?
    pub fn is_classification(self) -> bool {
        matches!(self, Self::Binary | Self::Multiclass)
    }

    /// `binary` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
            Self::Regression => "regression",
            Self::Forecast => "forecast",
        }
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $metric:ident = $name:literal $title:literal $better:ident),+ $(,)?) => {
        /// A metric of performance.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Metric {
            $(#[serde(rename = $name)] $(#[doc = $doc])+ $metric,)+
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$metric),+];

            /// `accuracy` …
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)+
                }
            }

            /// In words.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$metric => $title,)+
                }
            }

            /// Which way it gets better.
            pub fn better(self) -> Better {
                match self {
                    $(Self::$metric => Better::$better,)+
                }
            }
        }
    };
}

metrics! {
    /// Share of rows whose predicted label is right.
    Accuracy = "accuracy" "accuracy" Higher,
    /// Of the rows predicted positive, the share that is.
    Precision = "precision" "precision" Higher,
    /// Of the positive rows, the share that is predicted so.
    Recall = "recall" "recall" Higher,
    /// Harmonic mean of the two.
    F1 = "f1" "F1 score" Higher,
    /// Mean over classes.
    PrecisionMacro = "precision_macro" "precision, macro average" Higher,
    /// Over all rows.
    PrecisionMicro = "precision_micro" "precision, micro average" Higher,
    /// Mean over classes, by how often each occurs.
    PrecisionWeighted = "precision_weighted" "precision, weighted average" Higher,
    /// Mean over classes.
    RecallMacro = "recall_macro" "recall, macro average" Higher,
    /// Over all rows.
    RecallMicro = "recall_micro" "recall, micro average" Higher,
    /// Mean over classes, by how often each occurs.
    RecallWeighted = "recall_weighted" "recall, weighted average" Higher,
    /// Mean over classes.
    F1Macro = "f1_macro" "F1 score, macro average" Higher,
    /// Over all rows.
    F1Micro = "f1_micro" "F1 score, micro average" Higher,
    /// Mean over classes, by how often each occurs.
    F1Weighted = "f1_weighted" "F1 score, weighted average" Higher,
    /// Matthews' correlation coefficient.
    Mcc = "mcc" "Matthews' correlation coefficient" Higher,
    /// Area under the ROC curve; of several classes the mean of each against the rest.
    RocAuc = "roc_auc" "area under the ROC curve" Higher,
    /// Area under the precision-recall curve, as average precision.
    PrAuc = "pr_auc" "area under the precision-recall curve" Higher,
    /// Mean of −ln of the probability given to what happened.
    LogLoss = "log_loss" "log loss" Lower,
    /// Mean squared distance of the probabilities from what happened.
    Brier = "brier" "Brier score" Lower,
    /// Expected calibration error, in ten bins.
    CalibrationError = "calibration_error" "expected calibration error" Lower,
    /// Mean absolute error.
    Mae = "mae" "mean absolute error" Lower,
    /// Root of the mean squared error.
    Rmse = "rmse" "root mean squared error" Lower,
    /// Mean of |error| / |actual|; zeros as `mape_zeros` says.
    Mape = "mape" "mean absolute percentage error" Lower,
    /// Mean of 2 |error| / (|actual| + |predicted|).
    Smape = "smape" "symmetric mean absolute percentage error" Lower,
    /// Mean absolute error over that of the naive forecast.
    Mase = "mase" "mean absolute scaled error" Lower,
    /// Share of the actual values' variance that is explained.
    R2 = "r2" "coefficient of determination" Higher,
    /// Share of steps in the direction of the actual ones.
    DirectionalAccuracy = "directional_accuracy" "directional accuracy" Higher,
    /// Mean of predicted less actual.
    Bias = "bias" "bias" Zero,
    /// Median of the absolute errors.
    MedianAbsoluteError = "median_absolute_error" "median absolute error" Lower,
}

impl Metric {
    /// The metrics of a task, those of scores only where there are some.
    pub fn of(task: Task, scores: bool) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |metric| metric.fits(task, scores))
    }

    fn fits(self, task: Task, scores: bool) -> bool {
        match self {
            Self::Precision | Self::Recall | Self::F1 => task == Task::Binary,
            Self::RocAuc | Self::LogLoss | Self::Brier => task.is_classification() && scores,
            Self::PrAuc | Self::CalibrationError => task == Task::Binary && scores,
            Self::DirectionalAccuracy => task == Task::Forecast,
            Self::Mae
            | Self::Rmse
            | Self::Mape
            | Self::Smape
            | Self::Mase
            | Self::R2
            | Self::Bias
            | Self::MedianAbsoluteError => !task.is_classification(),
            _ => task.is_classification(),
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
