//! From the values of one column to the places of their outputs.

use std::collections::BTreeSet;

use caisson_plugin::literal::{Literal, Lookup};
use caisson_plugin::prelude::*;
use caisson_plugin::show::show;

use crate::{Categories, Drop, Unknown};

/// Outputs of one column: as many as a schema has fields.
const OUTPUTS_MAX: usize = 16_384;
/// The place of a value all of whose outputs are 0.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The categories of one column.
#[derive(Debug)]
pub(crate) struct Encoder {
    lookup: Lookup,
    /// By position in the lookup: the place of the category's output.
    places: Vec<u32>,
    /// Of missing values; `None` where they are unknown.
    missing: Option<u32>,
    /// Of unknown values; `None` where they are refused.
    unknown: Option<u32>,
    outputs: usize,
}

impl Encoder {
    /// Work out the outputs of a column, and their names.
    pub(crate) fn new(
        field: &Field,
        config: &Categories,
        unknown: Unknown,
    ) -> Result<(Self, Vec<String>), Error> {
        let invalid = |message: String| Error::invalid_config(format!("column `{}`: {message}", field.name));
        // By their text, since there may be thousands.
        let key = |category: &Option<Literal>| format!("{category:?}");
        let known: BTreeSet<String> = config.categories.iter().map(key).collect();
        if let Some(stray) = config.infrequent.iter().find(|c| !known.contains(&key(c))) {
            return Err(invalid(format!(
                "the infrequent {} is no category",
                name_of(stray)
            )));
        }
        let infrequent: BTreeSet<String> = config.infrequent.iter().map(key).collect();
        let rare = |category: &Option<Literal>| infrequent.contains(&key(category));
        // Outputs before one is dropped.
        let frequent: Vec<&Option<Literal>> = config.categories.iter().filter(|c| !rare(c)).collect();
        let shared = (!infrequent.is_empty()).then_some(frequent.len());
        let all = frequent.len() + usize::from(shared.is_some());
        if all == 0 || all > OUTPUTS_MAX {
            return Err(invalid(format!("{all} outputs; allowed are 1 to {OUTPUTS_MAX}")));
        }
        let dropped = match &config.drop {
            Drop::None => None,
            Drop::First => Some(0),
            Drop::IfBinary => (all == 2).then_some(0),
            Drop::Category(category) => {
                let position = frequent.iter().position(|c| c.as_ref() == Some(category));
                Some(position.ok_or_else(|| {
                    invalid(format!(
                        "{category} can't be dropped: it is no category, or an infrequent one"
                    ))
                })?)
            }
        };
        let place = |output: usize| match dropped {
            Some(dropped) if output == dropped => NOWHERE,
            Some(dropped) if output > dropped => output as u32 - 1,
            _ => output as u32,
        };
        let mut next = 0..;
        let places = config.categories.iter().map(|category| {
            let output = if rare(category) { shared } else { next.next() };
            (category.is_none(), output.map_or(NOWHERE, place))
        });
        let places: Vec<(bool, u32)> = places.collect();

        let present: Vec<Literal> = config.categories.iter().flatten().cloned().collect();
        let lookup = Lookup::new(&present, field.data_type, &format!("column `{}`", field.name))?;
        if config.categories.iter().filter(|c| c.is_none()).count() > 1 {
            return Err(invalid("null is listed twice".into()));
        }
        let names = frequent.iter().map(|c| name_of(c));
        let names = names.chain(shared.map(|_| "infrequent".to_owned())).enumerate();
        let names = names.filter(|(output, _)| Some(*output) != dropped);
        let names: Vec<String> = names.map(|(_, name)| format!("{}_{name}", field.name)).collect();
        let encoder = Self {
            places: places
                .iter()
                .filter(|(missing, _)| !missing)
                .map(|(_, place)| *place)
                .collect(),
            lookup,
            missing: places
                .iter()
                .find(|(missing, _)| *missing)
                .map(|(_, place)| *place),
            unknown: match unknown {
                Unknown::Error => None,
                Unknown::Ignore => Some(NOWHERE),
                Unknown::InfrequentIfExist => Some(shared.map_or(NOWHERE, place)),
            },
            outputs: names.len(),
        };
        Ok((encoder, names))
    }

    /// How many outputs there are.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The place of the output that is 1, for each row; [`NOWHERE`] where all are 0.
    pub(crate) fn encode(&self, column: &Column<'_>) -> Result<Vec<u32>, Error> {
        let mut places = self.lookup.find_all(column);
        for (row, place) in places.iter_mut().enumerate() {
            let found = match self.places.get(*place as usize) {
                Some(&found) => Some(found),
                None if column.is_missing(row) => self.missing.or(self.unknown),
                None => self.unknown,
            };
            *place = found.ok_or_else(|| {
                let message = if column.is_missing(row) {
                    "is missing, and no category stands for missing values".to_owned()
                } else {
                    format!(
                        "{} is none of the {} categories",
                        show(column, row),
                        self.places.len()
                    )
                };
                Error::bad_input(row, &column.field().name, message)
            })?;
        }
        Ok(places)
    }
}

/// As it stands in the name of an output.
fn name_of(category: &Option<Literal>) -> String {
    match category {
        None => "missing".to_owned(),
        Some(Literal::Text(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
