//! What is sent: the cases of the comparison.

use std::fmt;

use anyhow::{Result, bail};

/// How tensors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Numbers as JSON.
    Json,
    /// The Open Inference Protocol's binary tensors.
    Binary,
}

/// One kind of request, sent by so many connections at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    /// The server fills what is missing and standardises; else the rows come prepared.
    pub(crate) stages: bool,
    pub(crate) encoding: Encoding,
    pub(crate) rows: usize,
    pub(crate) connections: usize,
}

impl Case {
    /// Two stages, JSON.
    pub(crate) const fn json(rows: usize, connections: usize) -> Self {
        Self {
            stages: true,
            encoding: Encoding::Json,
            rows,
            connections,
        }
    }

    /// The same with binary tensors.
    pub(crate) const fn binary(self) -> Self {
        Self {
            encoding: Encoding::Binary,
            ..self
        }
    }

    /// The same without stages.
    pub(crate) const fn prepared(self) -> Self {
        Self {
            stages: false,
            ..self
        }
    }

    /// Every case that is measured unless some are chosen.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for rows in [1, 64] {
            all.extend([1, 8, 64].map(|connections| Self::json(rows, connections)));
            all.extend([1, 8, 64].map(|connections| Self::json(rows, connections).binary()));
        }
        all.extend([Self::json(1, 8), Self::json(1, 64), Self::json(64, 8)].map(Self::prepared));
        all
    }

    /// The words of its name: `two`, `json`, `1row`, `c8`.
    fn words(self) -> [String; 4] {
        [
            String::from(if self.stages { "two" } else { "none" }),
            String::from(match self.encoding {
                Encoding::Json => "json",
                Encoding::Binary => "binary",
            }),
            format!("{}row{}", self.rows, if self.rows == 1 { "" } else { "s" }),
            format!("c{}", self.connections),
        ]
    }

    /// For people.
    pub(crate) fn title(self) -> String {
        format!(
            "{}, {} row{} of {}, {} connection{}",
            if self.stages { "two stages" } else { "no stages" },
            self.rows,
            if self.rows == 1 { "" } else { "s" },
            match self.encoding {
                Encoding::Json => "JSON",
                Encoding::Binary => "binary tensors",
            },
            self.connections,
            if self.connections == 1 { "" } else { "s" },
        )
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join("-"))
    }
}

/// The cases that a list chooses: `two-json-1row-c8,none` is one case and all without stages. A choice is
/// some of a case's words in any order.
pub(crate) fn choose(list: &str) -> Result<Vec<Case>> {
    let all = Case::all();
    let mut chosen = Vec::new();
    for choice in list.split(',').map(str::trim) {
        let matches = |case: &&Case| {
            choice
                .split('-')
                .all(|word| case.words().iter().any(|w| w == word))
        };
        let found: Vec<Case> = all.iter().filter(matches).copied().collect();
        if found.is_empty() {
            let names: Vec<String> = all.iter().map(Case::to_string).collect();
            bail!("no case is `{choice}`; there are {}", names.join(", "));
        }
        chosen.extend(found);
    }
    Ok(all.into_iter().filter(|case| chosen.contains(case)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        choose(list).unwrap().iter().map(Case::to_string).collect()
    }

    #[test]
    fn words_choose_cases() {
        assert_eq!(names("two-json-1row-c8"), ["two-json-1row-c8"]);
        assert_eq!(names("c8-none-1row"), ["none-json-1row-c8"]);
        assert_eq!(names("binary-64rows,two-binary-64rows-c1").len(), 3, "none twice");
        assert_eq!(names("json,binary").len(), Case::all().len());
    }

    #[test]
    fn words_that_choose_nothing_are_named() {
        for wrong in ["c9", "two-none", "", "json,xml"] {
            let error = choose(wrong).unwrap_err().to_string();
            assert!(error.contains("two-json-1row-c8"), "{wrong}: {error}");
        }
    }
}
