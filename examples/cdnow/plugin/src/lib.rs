//! A tenant's own plugin: what to do about a customer, from the model's probabilities.
//!
//! Takes `probabilities`, `fp32[2]` (does not buy, buys), and gives in its place `probability` (the
//! second), `expected_value` = probability × order value, in the order value's unit, and `decision`,
//! `keep` from the threshold on and `win-back` below it. Other columns pass through.

use caisson_plugin::prelude::*;

/// The decision rule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// From this probability on the customer is expected to come back by himself. 0 to 1.
    threshold: f32,
    /// What an average order is worth.
    order_value: f32,
}

/// The configured plugin.
#[derive(Debug)]
pub struct CustomerValue {
    threshold: f32,
    order_value: f32,
    probabilities: usize,
    output: Arc<Schema>,
}

const COLUMN: &str = "probabilities";

impl Transform for CustomerValue {
    type Config = Config;

    const ABOUT: About = About {
        name: "customer-value",
        version: env!("CARGO_PKG_VERSION"),
        help: "Turns the model's two probabilities into `probability`, `expected_value` (probability times \
               order value) and a `decision`: `keep` from the threshold on, `win-back` below.",
    };

    fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
        if !(0.0..=1.0).contains(&config.threshold) {
            return Err(Error::invalid_config(format!(
                "threshold {} is not in 0 to 1",
                config.threshold
            )));
        }
        let probabilities = input
            .index_of(COLUMN)
            .filter(|&i| {
                input
                    .field(i)
                    .is_some_and(|f| f.data_type == DataType::Fp32 && f.shape == [2])
            })
            .ok_or_else(|| {
                Error::schema_mismatch(format!("needs a column `{COLUMN}: fp32[2]`; there are {input}"))
            })?;
        let others = input.fields().iter().filter(|f| f.name != COLUMN).cloned();
        let new = [
            Field::new("probability", DataType::Fp32),
            Field::new("expected_value", DataType::Fp32),
            Field::new("decision", DataType::Text),
        ];
        let output =
            Schema::new(others.chain(new).collect()).map_err(|e| Error::schema_mismatch(e.to_string()))?;
        let plugin = Self {
            threshold: config.threshold,
            order_value: config.order_value,
            probabilities,
            output: Arc::new(output.clone()),
        };
        Ok((plugin, output))
    }

    fn apply(&self, input: Batch) -> Result<Batch, Error> {
        let gone = || Error::internal("a column is gone");
        let mut out = BatchBuilder::new(Arc::clone(&self.output), input.rows())?;
        let kept = (0..input.schema().len()).filter(|&i| i != self.probabilities);
        let mut next = 0;
        for column in kept.filter_map(|i| input.column(i)) {
            out.copy_column(next, column)?;
            next += 1;
        }
        let pairs = input
            .column(self.probabilities)
            .and_then(|c| c.fp32s())
            .ok_or_else(gone)?;
        let buys: Vec<f32> = pairs
            .chunks_exact(2)
            .filter_map(|pair| pair.get(1))
            .copied()
            .collect();
        out.fp32s_mut(next).ok_or_else(gone)?.copy_from_slice(&buys);
        for (value, p) in out.fp32s_mut(next + 1).ok_or_else(gone)?.iter_mut().zip(&buys) {
            *value = p * self.order_value;
        }
        let decisions = out.varlen_mut(next + 2).ok_or_else(gone)?;
        for &p in &buys {
            let decision: &[u8] = if p >= self.threshold { b"keep" } else { b"win-back" };
            decisions
                .push(decision)
                .ok_or_else(|| Error::internal("too much text"))?;
        }
        Ok(out.finish()?)
    }
}

caisson_plugin::export!(transform: CustomerValue);

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(shape: &[u32]) -> Arc<Schema> {
        let fields = vec![
            Field::new("customer_id", DataType::Int64),
            Field::new("probabilities", DataType::Fp32).with_shape(shape),
        ];
        Arc::new(Schema::new(fields).unwrap())
    }

    #[test]
    fn probabilities_become_a_decision() {
        let schema = schema(&[2]);
        let config = Config {
            threshold: 0.5,
            order_value: 30.0,
        };
        let (plugin, output) = CustomerValue::configure(config, &schema).unwrap();
        assert_eq!(output.fields().len(), 4);
        let mut batch = BatchBuilder::new(schema, 2).unwrap();
        batch.int64s_mut(0).unwrap().copy_from_slice(&[7, 8]);
        batch
            .fp32s_mut(1)
            .unwrap()
            .copy_from_slice(&[0.25, 0.75, 0.9, 0.1]);
        let out = plugin.apply(batch.finish().unwrap()).unwrap();
        assert_eq!(out.column_named("customer_id").unwrap().int64s().unwrap(), [7, 8]);
        assert_eq!(
            out.column_named("probability").unwrap().fp32s().unwrap(),
            [0.75, 0.1]
        );
        assert_eq!(
            out.column_named("expected_value").unwrap().fp32s().unwrap(),
            [22.5, 3.0]
        );
        let decision = out.column_named("decision").unwrap();
        assert_eq!(
            (decision.text(0), decision.text(1)),
            (Some("keep"), Some("win-back"))
        );
    }

    #[test]
    fn other_inputs_and_thresholds_are_refused() {
        let config = || Config {
            threshold: 0.5,
            order_value: 30.0,
        };
        assert!(matches!(
            CustomerValue::configure(config(), &schema(&[3])),
            Err(Error::SchemaMismatch(_))
        ));
        let wild = Config {
            threshold: 1.5,
            ..config()
        };
        assert!(matches!(
            CustomerValue::configure(wild, &schema(&[2])),
            Err(Error::InvalidConfig(_))
        ));
    }
}
