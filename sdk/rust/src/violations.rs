//! Collect violations column by column and give them back in row order, a bounded number of them.

use caisson_data::Column;

use crate::{Severity, Violation};

/// The host keeps this many violations of a call; more would only fill the guest's memory.
pub const VIOLATIONS_MAX: usize = 1_000;

/// Violations of a batch. Of every column, the first [`VIOLATIONS_MAX`] rows that break a rule are
/// enough to know the first of the whole batch.
#[derive(Debug, Default)]
pub struct Violations {
    done: Vec<Violation>,
    current: Vec<Violation>,
}

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Start on the next column or rule, whose violations come in row order.
    pub fn next_rule(&mut self) {
        self.done.append(&mut self.current);
        // Stable: the violations of one row keep the order of the rules.
        self.done.sort_by_key(|violation| violation.row);
        self.done.truncate(VIOLATIONS_MAX);
    }

    /// Has this rule enough of them, so that its further rows needn't be looked at?
    pub fn is_full(&self) -> bool {
        self.current.len() >= VIOLATIONS_MAX
    }

    /// Add one of the current rule, unless it [is full](Self::is_full).
    pub fn push(&mut self, violation: Violation) {
        if !self.is_full() {
            self.current.push(violation);
        }
    }

    /// The first [`VIOLATIONS_MAX`] of all, in row order.
    pub fn finish(mut self) -> Vec<Violation> {
        self.next_rule();
        self.done
    }

    /// One violation for each element of a column that has a value and for which `rule` gives a
    /// message (with its code).
    pub fn check(
        &mut self,
        column: &Column<'_>,
        severity: Severity,
        mut rule: impl FnMut(usize) -> Option<(&'static str, String)>,
    ) {
        self.next_rule();
        let width = column.field().row_elements();
        for row in (0..column.rows()).filter(|&row| column.validity().is_present(row)) {
            for element in row * width..(row + 1) * width {
                if self.is_full() {
                    return;
                }
                if let Some((code, message)) = rule(element) {
                    let violation = Violation::new(code, message).at(row, &column.field().name);
                    self.push(violation.with_severity(severity));
                }
            }
        }
    }
}
