//! One plugin of each world, configured and called as the host does it.

use caisson_plugin::prelude::*;
use caisson_plugin::testing::{assert_column, batch, config_schema, configure, json, models, schema};

mod double {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Config {
        /// What to double.
        #[serde(default)]
        columns: Columns,
    }

    pub(crate) struct Double(Vec<usize>, Arc<Schema>);

    impl Transform for Double {
        type Config = Config;

        const ABOUT: About = About {
            name: "double",
            version: "1.0.0-rc.1",
            help: "2 x.",
        };

        fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
            let columns = config.columns.resolve(input, Need::FLOAT)?;
            Ok((Self(columns, input.clone()), (**input).clone()))
        }

        fn apply(&self, input: Batch) -> Result<Batch, Error> {
            let mut edit = BatchEditor::new(input, &self.1)?;
            for &column in &self.0 {
                edit.slice_mut::<f32>(column)?.iter_mut().for_each(|x| *x *= 2.0);
            }
            Ok(edit.finish())
        }
    }

    caisson_plugin::export!(transform: Double);
}

/// A transform that breaks the contract in the way that its config says.
mod broken {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub(crate) enum Config {
        DropsRows,
        OtherSchema,
        MissingWhereNoneMayBe,
    }

    pub(crate) struct Broken(Config, Arc<Schema>);

    impl Transform for Broken {
        type Config = Config;

        const ABOUT: About = About {
            name: "broken",
            version: "1.0.0",
            help: "Breaks.",
        };

        fn configure(config: Config, input: &Arc<Schema>) -> Result<(Self, Schema), Error> {
            Ok((Self(config, input.clone()), (**input).clone()))
        }

        fn apply(&self, input: Batch) -> Result<Batch, Error> {
            Ok(match self.0 {
                Config::DropsRows => Batch::empty(self.1.clone()),
                Config::OtherSchema => batch!["y": fp32 = [1.0]],
                Config::MissingWhereNoneMayBe => {
                    let mut edit = BatchEditor::new(input, &self.1)?;
                    edit.set_missing::<f32>(0, 0)?;
                    edit.finish()
                }
            })
        }
    }

    caisson_plugin::export!(transform: Broken);
}

mod positive {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct Config {
        column: String,
        severity: Severity,
    }

    pub(crate) struct Positive {
        index: usize,
        config: Config,
    }

    impl Validator for Positive {
        type Config = Config;

        const ABOUT: About = About {
            name: "positive",
            version: "0.1.0",
            help: "x > 0.",
        };

        fn configure(config: Config, input: &Arc<Schema>) -> Result<Self, Error> {
            let index = Need::NUMBER.find(input, &config.column)?;
            Ok(Self { index, config })
        }

        fn validate(&self, input: &Batch) -> Result<Vec<Violation>, Error> {
            let mut violations = Vec::new();
            for (row, x) in input.at(self.index)?.numbers()?.enumerate() {
                if let Some(x) = x.filter(|&x| x <= 0.0) {
                    violations.push(
                        Violation::new("not-positive", format!("{x} is not above 0"))
                            .at(row, &self.config.column)
                            .with_severity(self.config.severity),
                    );
                }
            }
            Ok(violations)
        }
    }

    caisson_plugin::export!(validator: Positive);
}

mod count {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct Config {}

    pub(crate) struct Count(String);

    impl DriftCheck for Count {
        type Config = Config;

        const ABOUT: About = About {
            name: "count",
            version: "0.1.0",
            help: "Compares the numbers of rows.",
        };

        fn configure(_: Config, input: &Arc<Schema>) -> Result<Self, Error> {
            let index = Need::ANY.find(input, "x")?;
            Ok(Self(
                input.field(index).map(|f| f.name.clone()).unwrap_or_default(),
            ))
        }

        fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
            Ok((reference.rows() as u64).to_le_bytes().to_vec())
        }

        fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
            let state = state
                .try_into()
                .map_err(|_| Error::internal("not this plugin's state"))?;
            let (reference, current) = (u64::from_le_bytes(state), current.rows() as u64);
            Ok(DriftReport::new(vec![FeatureDrift {
                feature: self.0.clone(),
                method: "count".into(),
                statistic: Some(reference.abs_diff(current) as f64),
                threshold: 1.0,
                p_value: None,
                effect_size: None,
                reference_count: reference,
                current_count: current,
                reference_missing_rate: 0.0,
                current_missing_rate: 0.0,
                status: if reference == current {
                    DriftStatus::Stable
                } else {
                    DriftStatus::Drifted
                },
                detail: format!("{reference} rows became {current}"),
            }]))
        }
    }

    caisson_plugin::export!(drift_check: Count);
}

mod cascade {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct Config {
        models: Vec<String>,
    }

    pub(crate) struct Cascade(Vec<String>, Arc<Schema>);

    impl Predictor for Cascade {
        type Config = Config;

        const ABOUT: About = About {
            name: "cascade",
            version: "0.1.0",
            help: "One model after the other.",
        };

        fn configure(config: Config, _: &Arc<Schema>) -> Result<(Self, Schema), Error> {
            let output = Schema::new(vec![Field::new("score", DataType::Fp32)])?;
            Ok((Self(config.models, Arc::new(output.clone())), output))
        }

        fn predict(&self, models: &mut Models, input: &Batch) -> Result<Batch, Error> {
            let rows = input.rows() as u32;
            let mut x = input.at(0)?.slice::<f32>()?.to_vec();
            for model in &self.0 {
                let outputs = models.load(model)?.run(&[("x", &[rows], (&x).into())])?;
                x = outputs.get("y")?.to_fp32s()?;
            }
            let mut builder = BatchBuilder::new(self.1.clone(), input.rows())?;
            builder.fill(0, x.into_iter().map(Some))?;
            Ok(builder.finish()?)
        }
    }

    caisson_plugin::export!(predictor: Cascade);
}

fn add(amount: f32) -> impl Fn(&[caisson_plugin::Input<'_>]) -> Result<Outputs, Error> {
    move |inputs| match inputs {
        [("x", dimensions, Elements::Fp32(x))] => {
            let y: Vec<f32> = x.iter().map(|x| x + amount).collect();
            Ok(Outputs::new(vec![(
                "y".into(),
                Tensor::new(dimensions, (&y).into())?,
            )]))
        }
        _ => Err(Error::internal("the model wants one fp32 input `x`")),
    }
}

#[test]
fn a_transform_transforms() {
    let input = batch!["x": fp32 = [1.0, None], "y": fp32 = [3.0, 4.0]];
    let plugin = configure::<double::Double>(json!({"columns": ["x"]}), input.schema()).unwrap();
    assert_eq!(plugin.output(), input.schema());
    let output = plugin.apply(input).unwrap();
    assert_column(&output, "x", &[Some(2.0), None], 0.0);
    assert_column(&output, "y", &[Some(3.0), Some(4.0)], 0.0);
}

#[test]
fn a_config_is_checked_before_the_plugin_sees_it() {
    let schema = schema!["x": fp32];
    let error = configure::<double::Double>(json!({"columns": [1]}), &schema)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "invalid config: columns[0]: invalid type: integer `1`, expected a string at line 1 column 13"
    );
    assert!(configure::<double::Double>(json!({"column": []}), &schema).is_err());
}

#[test]
fn the_config_schema_shows_the_plugins_own_words() {
    let schema = config_schema::<double::Double>();
    let columns = &schema["properties"]["columns"];
    assert_eq!(columns["description"], "What to double.");
    assert_eq!(columns["type"], json!(["array", "null"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema.get("$defs"), None);
}

fn break_the_contract(how: &str) {
    let input = batch!["x": fp32 = [1.0]];
    if let Ok(plugin) = configure::<broken::Broken>(json!(how), input.schema()) {
        let _ = plugin.apply(input);
    }
}

#[test]
#[should_panic(expected = "the plugin changed the number of rows")]
fn dropped_rows_fail_the_test() {
    break_the_contract("drops-rows");
}

#[test]
#[should_panic(expected = "another schema than it declared")]
fn another_schema_fails_the_test() {
    break_the_contract("other-schema");
}

#[test]
#[should_panic(expected = "row 0 of column `x` is missing")]
fn a_missing_value_in_a_column_that_is_not_nullable_fails_the_test() {
    break_the_contract("missing-where-none-may-be");
}

#[test]
fn a_validator_says_where() {
    let input = batch!["x": int64 = [1, None, -2]];
    let config = json!({"column": "x", "severity": "warn"});
    let plugin = configure::<positive::Positive>(config, input.schema()).unwrap();
    let expected = Violation::new("not-positive", "-2 is not above 0")
        .at(2, "x")
        .with_severity(Severity::Warn);
    assert_eq!(plugin.validate(&input).unwrap(), [expected]);
}

#[test]
fn a_drift_check_compares() {
    let (reference, current) = (batch!["x": fp32 = [1.0]], batch!["x": fp32 = [1.0, 2.0]]);
    let plugin = configure::<count::Count>(json!({}), reference.schema()).unwrap();
    let report = plugin.compare(&reference, &current).unwrap();
    assert_eq!(report.status, DriftStatus::Drifted);
    let same = plugin.compare(&current, &current).unwrap();
    assert_eq!(same.status, DriftStatus::Stable);
    assert!(plugin.check(&[1, 2], &current).is_err());
}

#[test]
fn the_worst_status_is_the_reports() {
    assert!(DriftStatus::Stable < DriftStatus::InsufficientData);
    assert!(DriftStatus::InsufficientData < DriftStatus::Warn);
    assert!(DriftStatus::Warn < DriftStatus::Drifted);
    assert_eq!(DriftReport::new(Vec::new()).status, DriftStatus::Stable);
}

#[test]
fn a_predictor_runs_models_by_name() {
    let input = batch!["x": fp32 = [1.0, 2.0]];
    let config = json!({"models": ["one", "ten", "one"]});
    let plugin = configure::<cascade::Cascade>(config, input.schema()).unwrap();
    let mut both = models("one", add(1.0)).and("ten", add(10.0));
    let output = plugin.predict(&mut both, &input).unwrap();
    assert_column(&output, "score", &[Some(13.0), Some(14.0)], 0.0);
    let error = plugin.predict(&mut models("one", add(1.0)), &input).unwrap_err();
    assert_eq!(
        error.to_string(),
        "internal error: model `ten` can't be loaded: the deployment grants no model `ten`"
    );
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let mut models = models("one", add(1.0));
    let model = models.load("one").unwrap();
    let error = model.run(&[("x", &[3], (&vec![1.0f32]).into())]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("model `one`, input `x`: dimensions [3] don't fit 1 elements of type fp32"),
        "{error}"
    );
    // The product of these passes 64 bits.
    assert!(
        model
            .run(&[("x", &[u32::MAX; 4], (&vec![1.0f32]).into())])
            .is_err()
    );
    let outputs = model.run(&[("x", &[1], (&vec![1.0f32]).into())]).unwrap();
    let error = outputs.get("z").unwrap_err().to_string();
    assert!(error.contains("no output `z`; its outputs are `y`"), "{error}");
    let error = outputs.get("y").unwrap().to_i64s().unwrap_err().to_string();
    assert!(error.contains("holds fp32 where i64"), "{error}");
}

#[test]
fn tensors_keep_every_bit() {
    let halves = Tensor::new(&[2], Elements::Fp16(&[0x3c00, 0xfc00])).unwrap();
    assert_eq!(halves.to_half_bits().unwrap(), [0x3c00, 0xfc00]);
    let brain = Tensor::new(&[1], Elements::Bf16(&[0x3f80])).unwrap();
    assert_eq!((brain.len(), brain.to_half_bits().unwrap()), (1, vec![0x3f80]));
    let wide = Tensor::new(&[1, 2], (&vec![i64::MIN, 9007199254740993]).into()).unwrap();
    assert_eq!(wide.to_i64s().unwrap(), [i64::MIN, 9007199254740993]);
    assert_eq!(wide.dimensions(), [1, 2]);
    let empty = Tensor::new(&[0, 3], (&Vec::<f64>::new()).into()).unwrap();
    assert!(empty.is_empty() && empty.to_fp64s().unwrap().is_empty());
    let bytes = Tensor::new(&[3], (&vec![1u8, 2, 3]).into()).unwrap();
    assert_eq!(bytes.to_u8s().unwrap(), [1, 2, 3]);
    assert_eq!(
        Tensor::new(&[1], (&vec![-1i32]).into())
            .unwrap()
            .to_i32s()
            .unwrap(),
        [-1]
    );
}

#[test]
fn errors_read_well() {
    let cases = [
        (
            Error::bad_input(3, "age", "-1 is no age"),
            "bad input in row 3, column `age`: -1 is no age",
        ),
        (
            Error::bad_column("age", "all missing"),
            "bad input in column `age`: all missing",
        ),
        (Error::bad_row(0, "empty"), "bad input in row 0: empty"),
        (Error::schema_mismatch("x"), "the schema doesn't suit: x"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}
