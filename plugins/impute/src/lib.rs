//! `impute`: fills missing values, as scikit-learn's `SimpleImputer` does after fitting.
//!
//! ```text
//! y = fill  where x is missing, or where x is NaN and `nan` is true
//! y = x     elsewhere
//! ```
//!
//! The config holds the fitted numbers (`SimpleImputer.statistics_`): a mean, a median, the most
//! frequent value or a constant, one a column, or for a column with a shape one for each element if
//! you like. Filled columns are declared as never missing. Missing is not NaN: `nan: true` fills
//! both, and is what reproduces scikit-learn, where NaN stands for missing.
//!
//! `add_indicator` adds `missingindicator_<column>` columns that say what was filled, named and
//! placed as scikit-learn does. Only numbers are filled in place; filling text or booleans, or
//! adding indicators, copies the batch once.

mod fill;

use std::collections::BTreeMap;

use caisson_plugin::elementwise::FloatType;
use caisson_plugin::literal::{Literal, PerElement, values};
use caisson_plugin::prelude::*;

use crate::fill::Step;

/// What to fill with, and what counts as missing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fill value of each column; for a column with a shape one for all elements, or a list
    /// with one for each.
    columns: BTreeMap<String, PerElement<Literal>>,
    /// Fill NaN in floating-point columns too.
    #[serde(default)]
    nan: bool,
    /// Add `missingindicator_<column>`: for all columns (`true`), none (`false`) or those listed
    /// (scikit-learn adds those that lacked values when it was fitted).
    #[serde(default)]
    add_indicator: Indicators,
    /// Type of the indicators.
    #[serde(default)]
    indicator_type: IndicatorType,
}

/// Which columns get an indicator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Indicators {
    All(bool),
    Of(Vec<String>),
}

impl Default for Indicators {
    fn default() -> Self {
        Self::All(false)
    }
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IndicatorType {
    /// `true` where filled.
    #[default]
    Boolean,
    /// 1 where filled, else 0.
    Fp32,
    /// 1 where filled, else 0.
    Fp64,
}

/// The configured plugin.
#[derive(Debug)]
pub struct Impute {
    /// The input with the numbers that are filled in place declared present.
    filled: Arc<Schema>,
    in_place: Vec<Step>,
    /// For columns that can't be filled in place, with their place in `output`.
    rebuilt: Vec<(Step, usize)>,
    /// Input and output positions.
    indicators: Vec<(Step, usize)>,
    output: Output,
}

const NEEDED: Need = Need::new("of a type that can be filled (fp16 and bf16 can't)", |field| {
    !matches!(field.data_type, DataType::Fp16 | DataType::Bf16)
});

impl Transform for Impute {
    type Config = Config;

    const ABOUT: About = About {
        name: "impute",
        version: env!("CARGO_PKG_VERSION"),
        help: "Fills missing values with fixed values, one a column: the mean, median, most frequent \
               value or constant that was fitted (scikit-learn's SimpleImputer.statistics_). NaN is \
               filled only with `nan: true`. Filled columns are declared as never missing. \
               `add_indicator` adds columns `missingindicator_<column>` that say what was filled.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if config.columns.is_empty() {
            return Err(Error::invalid_config(
                "`columns` is empty: there is nothing to fill",
            ));
        }
        if let Indicators::Of(names) = &config.add_indicator
            && let Some(stray) = names.iter().find(|name| !config.columns.contains_key(*name))
        {
            return Err(Error::invalid_config(format!(
                "`add_indicator` lists `{stray}`, which `columns` doesn't fill"
            )));
        }
        let mut fields = input.fields().to_vec();
        let (mut in_place, mut rebuilt, mut indicators) = (Vec::new(), Vec::new(), Vec::new());
        for (name, fill) in &config.columns {
            let index = NEEDED.find(input, name)?;
            let Some(field) = fields.get_mut(index) else {
                continue;
            };
            let fill = values(
                fill.of(field, "the fill value")?,
                field.data_type,
                &format!("column `{name}`"),
            )?;
            let step = Step {
                index,
                fill,
                nan: config.nan,
            };
            if step.works_in_place() {
                field.nullable = false;
                in_place.push(step.clone());
            } else {
                rebuilt.push(step.clone());
            }
            let marked = match &config.add_indicator {
                Indicators::All(all) => *all,
                Indicators::Of(names) => names.contains(name),
            };
            if marked {
                indicators.push(step);
            }
        }
        indicators.sort_by_key(|step| step.index);
        let filled = Arc::new(Schema::new(fields)?);

        let name_of = |step: &Step| {
            filled
                .field(step.index)
                .cloned()
                .unwrap_or_else(|| Field::new("", DataType::Fp32))
        };
        let mut plan = OutputPlan::of(&filled);
        for step in &rebuilt {
            let mut field = name_of(step);
            field.nullable = false;
            let name = field.name.clone();
            plan.replace(&name, field)?;
        }
        for step in &indicators {
            plan.append(indicator(&name_of(step), config.indicator_type));
        }
        let output = plan.finish()?;
        let rebuilt = rebuilt.into_iter().map(|step| {
            let place = output.index_of(&name_of(&step).name)?;
            Ok((step, place))
        });
        let rebuilt = rebuilt.collect::<Result<_, Error>>()?;
        let indicators = indicators.into_iter().map(|step| {
            let place = output.index_of(&indicator(&name_of(&step), config.indicator_type).name)?;
            Ok((step, place))
        });
        let indicators = indicators.collect::<Result<_, Error>>()?;
        let schema = output.to_schema();
        Ok((
            Self {
                filled,
                in_place,
                rebuilt,
                indicators,
                output,
            },
            schema,
        ))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let marks = self.indicators.iter().map(|(step, _)| step.marks(&input));
        let marks = marks.collect::<Result<Vec<_>, Error>>()?;
        let gaps = self.in_place.iter().map(|step| step.gaps(&input));
        let gaps = gaps.collect::<Result<Vec<_>, Error>>()?;
        let mut editor = BatchEditor::new(input, &self.filled)?;
        for (step, gaps) in self.in_place.iter().zip(&gaps) {
            step.fill(&mut editor, gaps)?;
        }
        let batch = editor.finish();
        if self.rebuilt.is_empty() && marks.is_empty() {
            return Ok(batch);
        }
        let mut builder = self.output.begin(&batch)?;
        for (step, place) in &self.rebuilt {
            step.rebuild(&batch.at(step.index)?, &mut builder, *place)?;
        }
        for ((_, place), marks) in self.indicators.iter().zip(marks) {
            match builder
                .booleans_mut(*place)
                .filter(|own| own.len() == marks.len())
            {
                Some(own) => own.copy_from_slice(&marks),
                None => builder.fill_numbers(*place, marks.iter().map(|&mark| Some(f64::from(mark))))?,
            }
        }
        Ok(builder.finish()?)
    }
}

fn indicator(field: &Field, kind: IndicatorType) -> Field {
    let data_type = match kind {
        IndicatorType::Boolean => DataType::Boolean,
        IndicatorType::Fp32 => FloatType::Fp32.data_type(),
        IndicatorType::Fp64 => FloatType::Fp64.data_type(),
    };
    Field::new(format!("missingindicator_{}", field.name), data_type).with_shape(field.shape.clone())
}

caisson_plugin::export!(transform: Impute);

#[cfg(test)]
mod tests;
