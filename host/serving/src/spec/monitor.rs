//! What watches a deployment's answers.

use std::collections::BTreeSet;

use caisson_monitoring::spec::{AgainstSpec, SEGMENT_COLUMNS_MAX, WindowsSpec, check_segments};
use caisson_quality::hysteresis::AlarmSpec;
use caisson_registry::NAME_PATTERN;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IsolationSpec, NAME_MAX, StageLimits, StageSpec, empty_object};

/// What a monitor looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MonitorTarget {
    /// The columns that callers send.
    #[default]
    Input,
    /// What the transforms give: the model's features.
    Features,
    /// The deployment's answer.
    Predictions,
}

impl std::fmt::Display for MonitorTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Features => "features",
            Self::Predictions => "predictions",
        })
    }
}

/// A check that needs no plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckSpec {
    /// Missing values, new categories, and how many different values there are.
    DataQuality,
}

/// One drift check on the deployment's data: by a plugin, or by a check of the host's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorSpec {
    /// Unique in the deployment.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = NAME_MAX))]
    pub name: String,
    /// The drift-check plugin, as in a stage; excludes `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// A check that needs no plugin; excludes `plugin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckSpec>,
    /// As in a stage; of a `check`, its settings.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// As in a stage.
    #[serde(default, skip_serializing_if = "StageLimits::is_default")]
    pub limits: StageLimits,
    /// What it looks at.
    #[serde(default)]
    pub on: MonitorTarget,
    /// The windows of live answers that it judges. Absent: it is only asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowsSpec>,
    /// What windows are compared with.
    #[serde(default, skip_serializing_if = "AgainstSpec::is_baseline")]
    pub against: AgainstSpec,
    /// When its alarm is raised (default: 2 drifted windows of the last 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmSpec>,
    /// Input columns: each of their values is judged for itself, beside all rows.
    #[schemars(length(max = SEGMENT_COLUMNS_MAX))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
}

impl MonitorSpec {
    /// The plugin, as a stage; none of a check of the host's own.
    pub fn stage(&self) -> Option<StageSpec> {
        Some(StageSpec {
            plugin: self.plugin.clone()?,
            config: self.config.clone(),
            limits: self.limits,
            isolation: IsolationSpec::Fresh,
            grants: BTreeSet::new(),
        })
    }

    /// What serde can't say; `at` says where it stands.
    pub(super) fn check(&self, at: &str) -> Result<(), String> {
        match (&self.plugin, self.check) {
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => return Err(format!("{at}: `plugin` and `check` exclude each other")),
            (None, None) => {
                return Err(format!(
                    "{at}: a monitor has a `plugin` (a drift check) or a `check` (data-quality)"
                ));
            }
        }
        let Some(window) = &self.window else {
            let given = [
                ("against", !self.against.is_baseline()),
                ("alarm", self.alarm.is_some()),
                ("segments", !self.segments.is_empty()),
            ];
            return match given.into_iter().find(|(_, given)| *given) {
                Some((name, _)) => Err(format!(
                    "{at}.{name} is a setting of windows: give the monitor a `window`"
                )),
                None => Ok(()),
            };
        };
        window.check(&format!("{at}.window"))?;
        self.against.check(&format!("{at}.against"))?;
        let alarm = self.alarm.unwrap_or_default().hysteresis();
        alarm.map_err(|e| format!("{at}.alarm: {e}"))?;
        check_segments(&format!("{at}.segments"), &self.segments)
    }

    /// What it is, for people: its plugin, or its check.
    pub fn check_name(&self) -> &str {
        match (&self.plugin, self.check) {
            (Some(plugin), _) => plugin,
            (None, Some(CheckSpec::DataQuality)) => "data-quality",
            (None, None) => "",
        }
    }
}
