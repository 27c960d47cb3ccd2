//! Categories of one feature: a bounded sketch of their counts, and the current counts beside it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rates::share;
use crate::words::{percent, quoted};

/// Categories of the reference that are kept apart, the most frequent ones; the rest is one. A
/// column with more is an identifier or free text, in which single values mean little.
pub const CATEGORIES_MAX: usize = 1_000;
/// Bytes of a category's name in a sketch. Of longer ones the beginning and a hash stay, so they
/// remain apart.
pub const CATEGORY_BYTES_MAX: usize = 128;

/// Rows by category.
pub type Counts = BTreeMap<String, u64>;

/// The reference's counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySketch {
    /// Name and rows, most frequent first, then by name.
    known: Vec<(String, u64)>,
    /// Rows in categories beyond [`CATEGORIES_MAX`].
    other: u64,
}

/// Two samples' counts in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// The reference's: each known category, then all others together where there are any.
    pub reference: Vec<u64>,
    /// The current data's in the same order.
    pub current: Vec<u64>,
}

impl CategorySketch {
    /// Keep the most frequent categories.
    pub fn of(counts: &Counts) -> Self {
        let mut known: Vec<(String, u64)> = counts.iter().map(|(name, &rows)| (name.clone(), rows)).collect();
        known.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let other = known.iter().skip(CATEGORIES_MAX).map(|(_, rows)| rows).sum();
        known.truncate(CATEGORIES_MAX);
        Self { known, other }
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.known
            .iter()
            .fold(self.other, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// May this have come from [`Self::of`]?
    pub fn is_sound(&self) -> bool {
        let names: BTreeSet<&str> = self.known.iter().map(|(name, _)| name.as_str()).collect();
        names.len() == self.known.len() && self.known.len() <= CATEGORIES_MAX
    }

    /// Position of a category among the known ones, by name.
    pub fn positions(&self) -> BTreeMap<&str, usize> {
        let names = self.known.iter().enumerate();
        names
            .map(|(position, (name, _))| (name.as_str(), position))
            .collect()
    }

    /// Bring the current counts into the reference's order. Categories that the reference never had
    /// and those that it had too many of share the last place.
    pub fn align(&self, current: &Counts) -> Aligned {
        let mut aligned = Aligned {
            reference: self.known.iter().map(|(_, rows)| *rows).collect(),
            current: vec![0; self.known.len()],
        };
        let positions = self.positions();
        let mut other = 0;
        for (name, &rows) in current {
            let position = positions.get(name.as_str());
            match position.and_then(|&p| aligned.current.get_mut(p)) {
                Some(slot) => *slot += rows,
                None => other += rows,
            }
        }
        if self.other + other > 0 {
            aligned.reference.push(self.other);
            aligned.current.push(other);
        }
        aligned
    }

    /// How current counts stand to this reference, in words.
    pub fn compare(&self, current: &Counts) -> String {
        let (before_all, now_all) = (self.rows(), current.values().sum());
        let moved = self.known.iter().map(|(name, rows)| {
            let now = current.get(name).copied().unwrap_or_default();
            (name, share(*rows, before_all), share(now, now_all))
        });
        let most = moved.max_by(|a, b| (a.2 - a.1).abs().total_cmp(&(b.2 - b.1).abs()));
        let mut text = match most {
            Some((name, before, now)) if before != now => {
                format!("{} {} → {}", quoted(name), percent(before), percent(now))
            }
            _ => "the shares are the same".to_owned(),
        };
        let positions = self.positions();
        let new: Vec<_> = current
            .iter()
            .filter(|(name, _)| !positions.contains_key(name.as_str()))
            .collect();
        let new_rows: u64 = new.iter().map(|(_, rows)| **rows).sum();
        if let Some((name, _)) = new.iter().max_by_key(|(_, rows)| **rows) {
            let which = if self.other == 0 {
                "categories that the reference doesn't have"
            } else {
                "categories that are rare in the reference or not in it"
            };
            let most = if new.len() == 1 { "" } else { "most often " };
            text.push_str(&format!(
                "; {} in {which}, {most}{}",
                percent(share(new_rows, now_all)),
                quoted(name)
            ));
        }
        text
    }
}

/// A category's name as sketches keep it.
pub fn key_of(name: &str) -> String {
    if name.len() <= CATEGORY_BYTES_MAX {
        return name.to_owned();
    }
    let hash = crate::state::checksum(name.as_bytes());
    let mut end = CATEGORY_BYTES_MAX - 18;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…{hash:016x}", name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter()
            .map(|(name, rows)| ((*name).to_owned(), *rows))
            .collect()
    }

    #[test]
    fn unseen_categories_share_the_last_place() {
        let sketch = CategorySketch::of(&counts(&[("a", 10), ("b", 20)]));
        let aligned = sketch.align(&counts(&[("a", 3), ("c", 2), ("d", 1)]));
        assert_eq!(aligned.reference, [20, 10, 0]);
        assert_eq!(aligned.current, [0, 3, 3]);
        assert_eq!(sketch.align(&counts(&[("b", 1)])).current, [1, 0]);
    }

    #[test]
    fn the_rest_of_many_categories_is_one() {
        let many: Counts = (0..CATEGORIES_MAX as u64 + 5)
            .map(|i| (format!("c{i:05}"), 100 - i % 50))
            .collect();
        let sketch = CategorySketch::of(&many);
        assert!(sketch.is_sound());
        let aligned = sketch.align(&many);
        assert_eq!(aligned.reference, aligned.current);
        assert_eq!(aligned.reference.len(), CATEGORIES_MAX + 1);
        assert_eq!(sketch.rows(), many.values().sum::<u64>());
    }

    #[test]
    fn long_names_stay_apart_and_short() {
        let (a, b) = ("ä".repeat(200) + "a", "ä".repeat(200) + "b");
        assert_ne!(key_of(&a), key_of(&b));
        assert!(key_of(&a).len() <= CATEGORY_BYTES_MAX + 2);
        assert_eq!(key_of("gold"), "gold");
    }

    #[test]
    fn words_say_what_moved() {
        let sketch = CategorySketch::of(&counts(&[("gold", 12), ("none", 88)]));
        assert_eq!(
            sketch.compare(&counts(&[("gold", 31), ("none", 59), ("lead", 4), ("tin", 6)])),
            "`none` 88 % → 59 %; 10 % in categories that the reference doesn't have, most often `tin`"
        );
        assert_eq!(
            sketch.compare(&counts(&[("gold", 24), ("none", 176)])),
            "the shares are the same"
        );
    }
}
