//! Patterns with `*`, and matchers of labels built on them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AlertsError;
use crate::name::{self, LABEL_VALUE_BYTES_MAX, Labels, shown};

/// Matchers of a silence or a receiver.
pub const MATCHERS_MAX: usize = 16;

/// A text in which each `*` stands for any characters, also none: `churn`, `churn-*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// What matches everything.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it match the whole text?
    pub fn matches(&self, text: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut text) = text.strip_prefix(start) else {
            return false;
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first place of each part leaves most for those after it.
        for part in middle.split('*') {
            match text.find(part) {
                Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        text.ends_with(end)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A condition on one label: `severity=critical`, `team!=churn*`. A label that isn't there is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Matcher {
    label: String,
    equal: bool,
    value: Pattern,
}

impl Matcher {
    /// Does it hold for these labels?
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        self.value.matches(value) == self.equal
    }

    /// Do all hold?
    pub(crate) fn all(matchers: &[Self], labels: &Labels) -> bool {
        matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Not too many.
    pub(crate) fn check_number(matchers: &[Self]) -> Result<(), AlertsError> {
        if matchers.len() > MATCHERS_MAX {
            return Err(AlertsError::TooMany {
                what: format!("{} matchers", matchers.len()),
                max: MATCHERS_MAX,
            });
        }
        Ok(())
    }
}

impl FromStr for Matcher {
    type Err = AlertsError;

    fn from_str(text: &str) -> Result<Self, AlertsError> {
        let Some((label, value)) = text.split_once('=') else {
            return Err(AlertsError::Invalid(format!(
                "`{}` is no matcher: write `label=value` or `label!=value`, `*` for any characters",
                shown(text)
            )));
        };
        let (label, equal) = label.strip_suffix('!').map_or((label, true), |l| (l, false));
        name::check_label_name("matcher", label)?;
        if !value.is_empty() {
            name::check_line("matcher", value, LABEL_VALUE_BYTES_MAX)?;
        }
        Ok(Self {
            label: label.to_owned(),
            equal,
            value: Pattern(value.to_owned()),
        })
    }
}

impl TryFrom<String> for Matcher {
    type Error = AlertsError;

    fn try_from(text: String) -> Result<Self, AlertsError> {
        text.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = if self.equal { "=" } else { "!=" };
        write!(f, "{}{operator}{}", self.label, self.value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("churn", "churn", true),
            ("churn", "churn2", false),
            ("*", "", true),
            ("churn-*", "churn-eu", true),
            ("churn-*", "churn", false),
            ("*-eu", "churn-eu", true),
            ("*-eu", "churn-eu-2", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Pattern::from(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn matchers() {
        let labels: Labels = [("team".to_owned(), "churn-eu".to_owned())].into();
        for (text, expected) in [
            ("team=churn-eu", true),
            ("team=churn*", true),
            ("team!=churn*", false),
            ("region=", true),
            ("region!=eu", true),
            ("region=eu", false),
        ] {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.matches(&labels), expected, "{text}");
            assert_eq!(matcher.to_string(), text);
        }
        for bad in ["team", "=x", "a-b=x", "9=x", &format!("a={}", "x".repeat(300))] {
            bad.parse::<Matcher>().unwrap_err();
        }
    }
}
