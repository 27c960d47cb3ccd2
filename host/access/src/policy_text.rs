//! A policy's text: read, checked against the schema, and refused with its place.

use std::fmt;
use std::str::FromStr;

use cedar_policy::{PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

/// Brackets within brackets in a policy. Cedar's parser calls itself for each, and a few thousand
/// would end the process; people write four.
const NESTING_MAX: usize = 32;
/// Dots in one path, as in `principal.tenant.name`. Cedar makes `principal has a.b.c` a condition for
/// each part of the path, each of which has the whole path before it: a thousand take it minutes.
const PATH_DOTS_MAX: usize = 8;
/// Problems of one policy that a message lists. The first ones cause the others.
const ISSUES_MAX: usize = 8;
/// Characters of one such problem: Cedar may quote the whole policy.
const ISSUE_CHARS_MAX: usize = 400;

/// A policy that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The policy.
    pub name: String,
    /// What is wrong with it, the first ones.
    pub issues: Vec<PolicyIssue>,
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyIssue {
    /// Line and column, counted from 1, where Cedar says where.
    pub at: Option<(usize, usize)>,
    /// What is wrong, and what would do.
    pub message: String,
}

impl PolicyError {
    pub(crate) fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            issues: vec![PolicyIssue {
                at: None,
                message: message.into(),
            }],
        }
    }

    fn of<'a>(name: &str, text: &str, problems: impl Iterator<Item = &'a dyn Diagnostic>) -> Self {
        let mut issues: Vec<((usize, usize), PolicyIssue)> = problems
            .map(|problem| {
                let label = problem.labels().and_then(|mut labels| labels.next());
                let (offset, bytes) = label.map_or((0, usize::MAX), |label| (label.offset(), label.len()));
                let at = (bytes < usize::MAX).then(|| line_and_column(text, offset));
                ((bytes, offset), PolicyIssue::of(at, problem))
            })
            .collect();
        // Cedar gives them in any order; what is about the smallest part says the most.
        issues.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.message.cmp(&y.message)));
        let issues = issues.into_iter().map(|(_, issue)| issue);
        Self {
            name: name.to_owned(),
            issues: issues.take(ISSUES_MAX).collect(),
        }
    }

    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        "bad-policy"
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy `{}` can't be used: ", self.name)?;
        match self.issues.as_slice() {
            [only] => only.fmt(f),
            many => {
                write!(f, "it has {} problems", many.len())?;
                many.iter().try_for_each(|issue| write!(f, "\n  {issue}"))
            }
        }
    }
}

impl fmt::Display for PolicyIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyIssue {
    fn of(at: Option<(usize, usize)>, problem: &dyn Diagnostic) -> Self {
        let mut message = problem.to_string();
        if let Some(help) = problem.help() {
            message = format!("{message} ({help})");
        }
        Self {
            at,
            message: without_numbers(message).chars().take(ISSUE_CHARS_MAX).collect(),
        }
    }
}

/// Without Cedar's own numbers for the policies of a text; the place says more.
fn without_numbers(mut message: String) -> String {
    const FOR: &str = "for policy `policy";
    const END: &str = "`, ";
    while let Some(start) = message.find(FOR) {
        let Some(length) = message.get(start..).and_then(|rest| rest.find(END)) else {
            break;
        };
        message.replace_range(start..start + length + END.len(), "");
    }
    message
}

/// Counted from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// Parse a policy and check it against the schema.
///
/// # Errors
///
/// What is wrong with it, and where.
pub(crate) fn read(validator: &Validator, name: &str, text: &str) -> Result<PolicySet, PolicyError> {
    check_shape(name, text)?;
    let set = PolicySet::from_str(text)
        .map_err(|errors| PolicyError::of(name, text, errors.iter().map(|e| e as &dyn Diagnostic)))?;
    if set.num_of_templates() > 0 {
        return Err(PolicyError::new(
            name,
            "`?principal` and `?resource` stand for what nobody fills in; name it, or leave it open",
        ));
    }
    if set.is_empty() {
        return Err(PolicyError::new(
            name,
            "it is empty; write a `permit` or a `forbid`",
        ));
    }
    let result = validator.validate(&set, ValidationMode::Strict);
    let mut errors = result
        .validation_errors()
        .map(|e| e as &dyn Diagnostic)
        .peekable();
    // A policy that never applies and a name in look-alike letters are only warnings to Cedar; one
    // that was meant to forbid something doesn't.
    let mut warnings = result
        .validation_warnings()
        .map(|w| w as &dyn Diagnostic)
        .peekable();
    if errors.peek().is_some() {
        Err(PolicyError::of(name, text, errors))
    } else if warnings.peek().is_some() {
        Err(PolicyError::of(name, text, warnings))
    } else {
        Ok(set)
    }
}

/// Refuse what would take the parser too deep or the validator too long, see the limits.
fn check_shape(name: &str, text: &str) -> Result<(), PolicyError> {
    let (mut depth, mut dots) = (0_usize, 0_usize);
    let mut letters = text.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        let mut in_path = false;
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            // What closes a bracket in a string or a comment closes none.
            '"' => loop {
                match letters.next() {
                    Some((_, '\\')) => drop(letters.next()),
                    Some((_, '"')) | None => break,
                    Some(_) => {}
                }
            },
            '/' if letters.peek().is_some_and(|&(_, next)| next == '/') => {
                letters
                    .by_ref()
                    .find(|&(_, letter)| letter == '\n' || letter == '\r');
                in_path = true;
            }
            '.' => {
                dots += 1;
                in_path = true;
            }
            _ => in_path = letter.is_whitespace() || letter.is_alphanumeric() || letter == '_',
        }
        if !in_path {
            dots = 0;
        }
        let problem = if depth > NESTING_MAX {
            format!("brackets are nested more than {NESTING_MAX} deep")
        } else if dots > PATH_DOTS_MAX {
            format!("a path has more than {PATH_DOTS_MAX} dots")
        } else {
            continue;
        };
        return Err(PolicyError {
            name: name.to_owned(),
            issues: vec![PolicyIssue {
                at: Some(line_and_column(text, offset)),
                message: problem,
            }],
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(line_and_column("", 0), (1, 1));
        assert_eq!(line_and_column("a\nüb\n", 4), (2, 2));
        assert_eq!(line_and_column("a\n", 99), (2, 1));
    }
}
