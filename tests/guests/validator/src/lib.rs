//! Rejects negative values of its fp32 columns, warns of zeros; or returns as many violations as it
//! is told to.

use caisson_plugin::prelude::*;

/// Nothing to set, usually.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Return this many instead.
    #[serde(default)]
    flood: usize,
}

struct NotNegative {
    flood: usize,
    columns: Vec<usize>,
}

impl Validator for NotNegative {
    type Config = Config;

    const ABOUT: About = About {
        name: "not-negative",
        version: "0.1.0",
        help: "Rejects negative values, warns of zeros.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
        let columns = (0..input.len())
            .filter(|&i| input.field(i).is_some_and(|f| f.data_type == DataType::Fp32))
            .collect();
        Ok(Self {
            flood: config.flood,
            columns,
        })
    }

    fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
        if self.flood > 0 {
            let one = |i: usize| Violation::new("flood", format!("number {i}\nand a line")).in_row(i);
            return Ok((0..self.flood).map(one).collect());
        }
        let mut found = Vec::new();
        for &index in &self.columns {
            let Some(column) = input.column(index) else {
                continue;
            };
            for (row, &x) in column.fp32s().unwrap_or_default().iter().enumerate() {
                let name = column.field().name.as_str();
                if x < 0.0 {
                    found.push(Violation::new("negative", format!("{x} is below 0")).at(row, name));
                } else if x == 0.0 {
                    let zero = Violation::new("zero", "0 is suspicious").at(row, name);
                    found.push(zero.with_severity(Severity::Warn));
                }
            }
        }
        Ok(found)
    }
}

caisson_plugin::export!(validator: NotNegative);
