//! The formulas, for one row.

use caisson_plugin::prelude::*;

/// One purchase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Transaction {
    /// Since 1970-01-01.
    pub(crate) day: i64,
    pub(crate) amount: f64,
}

/// What is counted and in which unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) marketing: bool,
    pub(crate) freq_multiplier: f64,
    pub(crate) include_first_transaction: bool,
}

/// An output; see the table at the head of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    Recency,
    Frequency,
    #[serde(rename = "T")]
    Age,
    MonetaryValue,
    AverageOrderValue,
}

impl Measure {
    pub(crate) const ALL: [Self; 5] = [
        Self::Recency,
        Self::Frequency,
        Self::Age,
        Self::MonetaryValue,
        Self::AverageOrderValue,
    ];

    /// As in the config and in the outputs' names.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recency => "recency",
            Self::Frequency => "frequency",
            Self::Age => "T",
            Self::MonetaryValue => "monetary_value",
            Self::AverageOrderValue => "average_order_value",
        }
    }
}

/// All measures of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    recency: f64,
    frequency: f64,
    age: f64,
    monetary_value: f64,
    average_order_value: f64,
}

impl Summary {
    /// Of the transactions up to a day; `None` where there are none. Leaves them sorted, without the
    /// later ones.
    pub(crate) fn of(transactions: &mut Vec<Transaction>, until: i64, rules: &Rules) -> Option<Self> {
        transactions.retain(|t| t.day <= until);
        transactions.sort_unstable_by(|a, b| a.day.cmp(&b.day).then(a.amount.total_cmp(&b.amount)));
        let (first, last) = (transactions.first()?.day, transactions.last()?.day);
        let orders = transactions.len() as f64;
        let total: f64 = transactions.iter().map(|t| t.amount).sum();
        // Days and their sums, without the first day's unless it counts.
        let counted = transactions.chunk_by(|a, b| a.day == b.day);
        let counted = counted.skip(usize::from(!rules.include_first_transaction));
        let (mut days, mut spent) = (0.0, 0.0);
        for day in counted {
            days += 1.0;
            spent += day.iter().map(|t| t.amount).sum::<f64>();
        }
        let span = |from: i64, to: i64| (to.saturating_sub(from)) as f64 / rules.freq_multiplier;
        let (recency, frequency, monetary_value) = if rules.marketing {
            (span(last, until), orders, total)
        } else {
            (
                span(first, last),
                days,
                if days > 0.0 { spent / days } else { 0.0 },
            )
        };
        Some(Self {
            recency,
            frequency,
            age: span(first, until),
            monetary_value,
            average_order_value: total / orders,
        })
    }

    pub(crate) fn get(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Recency => self.recency,
            Measure::Frequency => self.frequency,
            Measure::Age => self.age,
            Measure::MonetaryValue => self.monetary_value,
            Measure::AverageOrderValue => self.average_order_value,
        }
    }
}
