//! The metrics by the names that host/quality has for them.

use caisson_quality::confusion::{Average, ClassMetric};
use caisson_quality::estimate::EstimatedMetric;
use caisson_quality::multiclass::{Against, MulticlassMetric};
use caisson_quality::regression::RegressionMetric;
use caisson_quality::scores::ScoreMetric;

use crate::metric::Metric;

pub(super) fn class_metric(metric: Metric, positive: &str) -> Option<ClassMetric> {
    let positive = || Average::Class(positive.to_owned());
    Some(match metric {
        Metric::Accuracy => ClassMetric::Accuracy,
        Metric::Precision => ClassMetric::Precision(positive()),
        Metric::Recall => ClassMetric::Recall(positive()),
        Metric::F1 => ClassMetric::F1(positive()),
        Metric::PrecisionMacro => ClassMetric::Precision(Average::Macro),
        Metric::PrecisionMicro => ClassMetric::Precision(Average::Micro),
        Metric::PrecisionWeighted => ClassMetric::Precision(Average::Weighted),
        Metric::RecallMacro => ClassMetric::Recall(Average::Macro),
        Metric::RecallMicro => ClassMetric::Recall(Average::Micro),
        Metric::RecallWeighted => ClassMetric::Recall(Average::Weighted),
        Metric::F1Macro => ClassMetric::F1(Average::Macro),
        Metric::F1Micro => ClassMetric::F1(Average::Micro),
        Metric::F1Weighted => ClassMetric::F1(Average::Weighted),
        Metric::Mcc => ClassMetric::Mcc,
        _ => return None,
    })
}

pub(super) fn score_metric(metric: Metric) -> Option<ScoreMetric> {
    Some(match metric {
        Metric::RocAuc => ScoreMetric::RocAuc,
        Metric::PrAuc => ScoreMetric::AveragePrecision,
        Metric::LogLoss => ScoreMetric::LogLoss,
        Metric::Brier => ScoreMetric::Brier,
        Metric::CalibrationError => ScoreMetric::CalibrationError,
        _ => return None,
    })
}

pub(super) fn multiclass_metric(metric: Metric) -> Option<MulticlassMetric> {
    Some(match metric {
        Metric::RocAuc => MulticlassMetric::RocAuc {
            against: Against::Rest,
            weighted: false,
        },
        Metric::LogLoss => MulticlassMetric::LogLoss,
        Metric::Brier => MulticlassMetric::Brier,
        _ => return None,
    })
}

pub(super) fn regression_metric(metric: Metric) -> Option<RegressionMetric> {
    Some(match metric {
        Metric::Mae => RegressionMetric::Mae,
        Metric::Rmse => RegressionMetric::Rmse,
        Metric::Mape => RegressionMetric::Mape,
        Metric::Smape => RegressionMetric::Smape,
        Metric::Mase => RegressionMetric::Mase,
        Metric::R2 => RegressionMetric::R2,
        Metric::DirectionalAccuracy => RegressionMetric::DirectionalAccuracy,
        Metric::Bias => RegressionMetric::Bias,
        Metric::MedianAbsoluteError => RegressionMetric::MedianAbsoluteError,
        _ => return None,
    })
}

pub(super) fn estimated_metric(metric: Metric) -> Option<EstimatedMetric> {
    Some(match metric {
        Metric::Accuracy => EstimatedMetric::Accuracy,
        Metric::Precision => EstimatedMetric::Precision,
        Metric::Recall => EstimatedMetric::Recall,
        Metric::F1 => EstimatedMetric::F1,
        Metric::RocAuc => EstimatedMetric::RocAuc,
        _ => return None,
    })
}
