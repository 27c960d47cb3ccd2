//! What can be watched: the metrics that the caller measures, and how a rule names one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AlertsError;
use crate::name::{self, LABEL_VALUE_BYTES_MAX, Labels, shown};
use crate::pattern::Pattern;

/// Names suggested for one that isn't known.
const SUGGESTIONS_MAX: usize = 3;
/// Edits that a misspelt name may be away from the one that was meant.
const SUGGESTION_EDITS_MAX: usize = 4;
/// Bytes in a metric as a rule names it, with its parameters.
const SELECTOR_BYTES_MAX: usize = 1024;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A share of one, or a score.
    Ratio,
    /// Milliseconds.
    Milliseconds,
    /// Things.
    Count,
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Self::Ratio | Self::Count => "",
            Self::Milliseconds => " ms",
        }
    }
}

/// What a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How good predictions are.
    Performance,
    /// How far the traffic is from the baseline.
    Drift,
    /// How long requests take.
    Latency,
    /// How many requests fail.
    Errors,
    /// How complete and valid the data is.
    DataQuality,
}

/// One metric that rules may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// As rules name it: `accuracy`, `p95_ms`.
    pub name: String,
    /// In words, for notifications: `accuracy`, `95th percentile of latency`.
    pub title: String,
    /// What its values count.
    pub unit: Unit,
    /// What it is about.
    pub kind: Kind,
    /// What one metric has several values for: `column`, `check`.
    pub params: Vec<String>,
}

impl Metric {
    /// One without parameters.
    pub fn new(name: &str, title: &str, kind: Kind, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            unit,
            kind,
            params: Vec::new(),
        }
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn with_param(mut self, param: &str) -> Self {
        self.params.push(param.to_owned());
        self
    }

    /// A value in words: `0.81`, `1200 ms`.
    pub(crate) fn value(&self, value: f64) -> String {
        // Six digits: below that it is noise of sums.
        let rounded = format!("{value:.6}");
        let short = match rounded.contains('.') {
            true => rounded.trim_end_matches('0').trim_end_matches('.'),
            false => &rounded,
        };
        // What six digits can't show is shown as it is.
        match short {
            "0" | "-0" if value != 0.0 => format!("{value:e}{}", self.unit.suffix()),
            "-0" => format!("0{}", self.unit.suffix()),
            _ => format!("{short}{}", self.unit.suffix()),
        }
    }
}

/// All metrics that rules may name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(BTreeMap<String, Metric>);

impl Catalogue {
    /// These; of two with one name the later.
    pub fn new(metrics: impl IntoIterator<Item = Metric>) -> Self {
        Self(metrics.into_iter().map(|m| (m.name.clone(), m)).collect())
    }

    /// In the order of their names.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.0.values()
    }

    /// The metric of this name.
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.get(name)
    }

    /// The metric of this name, or which ones there are.
    pub(crate) fn known(&self, name: &str) -> Result<&Metric, AlertsError> {
        self.get(name)
            .ok_or_else(|| unknown("metric", name, self.0.keys().map(String::as_str)))
    }

    /// The metric that a rule names, with parameters that it has.
    pub(crate) fn resolve(&self, selector: &Selector) -> Result<&Metric, AlertsError> {
        let metric = self.known(&selector.metric)?;
        for param in selector.params.keys() {
            if !metric.params.contains(param) {
                let what = format!("parameter of `{}`", metric.name);
                return Err(unknown(&what, param, metric.params.iter().map(String::as_str)));
            }
        }
        Ok(metric)
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> AlertsError {
    let mut near: Vec<(usize, &str)> = known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .collect();
    near.sort_unstable();
    let alike: Vec<&(usize, &str)> = near
        .iter()
        .filter(|(edits, known)| *edits <= SUGGESTION_EDITS_MAX.min(known.len() / 2) || known.contains(name))
        .take(SUGGESTIONS_MAX)
        .collect();
    let quoted = |names: &mut dyn Iterator<Item = &&str>| {
        names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    };
    let hint = match (alike.is_empty(), near.is_empty()) {
        (false, _) => format!("did you mean {}?", quoted(&mut alike.iter().map(|(_, n)| n))),
        (true, false) => format!("there are {}", quoted(&mut near.iter().map(|(_, n)| n))),
        (true, true) => "there are none".to_owned(),
    };
    AlertsError::Invalid(format!("there is no {what} `{}`; {hint}", shown(name)))
}

/// Which values of a metric: `accuracy`, or `missing_rate{column=age}`. A parameter that isn't given
/// may have any value, and each value is an alert of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// Values of its parameters.
    pub params: BTreeMap<String, Pattern>,
}

impl Selector {
    /// Is it a value of this metric with these parameters?
    pub(crate) fn matches(&self, metric: &str, params: &Labels) -> bool {
        let has = |(param, pattern): (&String, &Pattern)| {
            params.get(param).is_some_and(|value| pattern.matches(value))
        };
        self.metric == metric && self.params.iter().all(has)
    }
}

impl FromStr for Selector {
    type Err = AlertsError;

    fn from_str(text: &str) -> Result<Self, AlertsError> {
        name::check_line("metric", text, SELECTOR_BYTES_MAX)?;
        let bad = || {
            AlertsError::Invalid(format!(
                "`{}` is no metric: write `name` or `name{{parameter=value}}`",
                shown(text)
            ))
        };
        let (metric, inner) = match text.split_once('{') {
            None => (text, ""),
            Some((metric, rest)) => (metric, rest.strip_suffix('}').ok_or_else(bad)?),
        };
        let metric = metric.trim();
        name::check_label_name("metric", metric).map_err(|_| bad())?;
        let mut params = BTreeMap::new();
        for pair in inner.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (param, value) = pair.split_once('=').ok_or_else(bad)?;
            let value = value.trim().trim_matches('"');
            name::check_line("metric: a parameter", value, LABEL_VALUE_BYTES_MAX)?;
            if params
                .insert(param.trim().to_owned(), Pattern::from(value))
                .is_some()
            {
                return Err(bad());
            }
        }
        Ok(Self {
            metric: metric.to_owned(),
            params,
        })
    }
}

impl TryFrom<String> for Selector {
    type Error = AlertsError;

    fn try_from(text: String) -> Result<Self, AlertsError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.params.is_empty() {
            return Ok(());
        }
        let params: Vec<String> = self
            .params
            .iter()
            .map(|(param, value)| format!("{param}={}", value.as_str()))
            .collect();
        write!(f, "{{{}}}", params.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::new([
            Metric::new("accuracy", "accuracy", Kind::Performance, Unit::Ratio),
            Metric::new(
                "p95_ms",
                "95th percentile of latency",
                Kind::Latency,
                Unit::Milliseconds,
            ),
            Metric::new("missing_rate", "missing values", Kind::DataQuality, Unit::Ratio)
                .with_param("column"),
        ])
    }

    #[test]
    fn an_unknown_metric_is_refused_with_suggestions() {
        let catalogue = catalogue();
        for (text, expected) in [
            (
                "acuracy",
                "there is no metric `acuracy`; did you mean `accuracy`?",
            ),
            ("p95", "there is no metric `p95`; did you mean `p95_ms`?"),
            (
                "zzz",
                "there is no metric `zzz`; there are `p95_ms`, `accuracy`, `missing_rate`",
            ),
            (
                "missing_rate{colum=age}",
                "there is no parameter of `missing_rate` `colum`; did you mean `column`?",
            ),
            (
                "accuracy{column=age}",
                "there is no parameter of `accuracy` `column`; there are none",
            ),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(catalogue.resolve(&selector).unwrap_err().to_string(), expected);
        }
        catalogue
            .resolve(&"missing_rate{column=age}".parse().unwrap())
            .unwrap();
    }

    #[test]
    fn selectors() {
        for (text, shown) in [
            ("accuracy", "accuracy"),
            ("missing_rate{column=age}", "missing_rate{column=age}"),
            ("drift{ check = \"ks\", column=a* }", "drift{check=ks,column=a*}"),
            ("x{}", "x"),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.to_string(), shown);
        }
        for bad in ["", "a{", "a}b", "a{b}", "a{b=}", "a{b=1,b=2}", "9a", "a b"] {
            bad.parse::<Selector>().unwrap_err();
        }
    }

    #[test]
    fn values_in_words() {
        let ratio = Metric::new("a", "a", Kind::Performance, Unit::Ratio);
        let ms = Metric::new("a", "a", Kind::Latency, Unit::Milliseconds);
        for (value, expected) in [
            (0.81, "0.81"),
            (0.1 + 0.2, "0.3"),
            (100.0, "100"),
            (0.0, "0"),
            (-0.0, "0"),
            (1e-9, "1e-9"),
        ] {
            assert_eq!(ratio.value(value), expected);
        }
        assert_eq!(ms.value(1200.0), "1200 ms");
    }
}
