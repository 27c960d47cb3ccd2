//! What the methods that look at one feature at a time have in common.
//!
//! A plugin implements [`Method`]: how a sample is sketched, and how a sketch and a sample compare.
//! [`PerFeature`] does the rest: it chooses the features, takes batches apart, keeps the sketches,
//! and judges.

use caisson_plugin::{Batch, DriftReport, Error, Field, Need, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{Defaults, Limits, Policy, Rules};
use crate::features::{Feature, Kind, select};
use crate::rates::Rates;
use crate::sample::{Infinity, Sample, Values, samples};
use crate::state;
use crate::verdict::{Entry, Finding, report};

/// How one feature of two samples compares.
pub trait Method {
    /// The plugin's name and that of its statistic.
    const NAME: &'static str;
    /// Thresholds and counts where the config says nothing.
    const DEFAULTS: Defaults;
    /// What becomes of ±∞.
    const INFINITY: Infinity = Infinity::Keep;

    /// What is kept of the reference's values.
    type Sketch: Serialize + DeserializeOwned;

    /// Sketch the reference's values; there may be none. `None` for values of a kind that the method
    /// doesn't take.
    fn sketch(&self, feature: &Feature, values: &Values) -> Option<Self::Sketch>;

    /// Values that a sketch stands for; `None` for one that [`Self::sketch`] can't have made of
    /// this feature.
    fn count(&self, feature: &Feature, sketch: &Self::Sketch) -> Option<u64>;

    /// Compare current values with a sound sketch of the same feature. Both have at least one value.
    /// `None` where they are of different kinds.
    fn compare(&self, sketch: &Self::Sketch, current: &Values) -> Option<Finding>;
}

/// A drift check that looks at one feature at a time.
#[derive(Debug)]
pub struct PerFeature<M> {
    method: M,
    features: Vec<(Feature, Limits)>,
    policy: Policy,
}

/// One feature of a state.
#[derive(Serialize, Deserialize)]
struct Fitted<S> {
    name: String,
    is_category: bool,
    rates: Rates,
    sketch: S,
}

impl<M: Method> PerFeature<M> {
    /// Choose the features and resolve the rules. `need` says which columns suit, `kind_of` how
    /// each compares.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] and [`Error::SchemaMismatch`], as [`select`] and [`Rules`] say.
    pub fn new(
        method: M,
        rules: &Rules,
        input: &Schema,
        need: Need,
        kind_of: impl Fn(&Field) -> Kind,
    ) -> Result<Self, Error> {
        let features = select(input, &rules.columns, need, kind_of)?;
        rules.check_columns(&features)?;
        let limits = |feature: Feature| {
            let limits = rules.limits_of(&feature.column, M::DEFAULTS)?;
            Ok((feature, limits))
        };
        Ok(Self {
            method,
            features: features.into_iter().map(limits).collect::<Result<_, Error>>()?,
            policy: rules.policy()?,
        })
    }

    /// The features that are checked.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter().map(|(feature, _)| feature)
    }

    fn samples(&self, batch: &Batch) -> Result<Vec<Sample>, Error> {
        let features: Vec<Feature> = self.features().cloned().collect();
        samples(batch, &features, M::INFINITY)
    }

    /// Sketch a reference.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a batch of another schema.
    pub fn fit(&self, reference: &Batch) -> Result<Vec<u8>, Error> {
        let samples = self.samples(reference)?;
        let mut fitted = Vec::with_capacity(samples.len());
        for (feature, sample) in self.features().zip(samples) {
            let sketch = self.method.sketch(feature, &sample.values);
            fitted.push(Fitted {
                name: feature.name.clone(),
                is_category: feature.kind == Kind::Category,
                rates: sample.rates,
                sketch: sketch.ok_or_else(|| {
                    Error::internal(format!(
                        "`{}` is of a kind that {} doesn't take",
                        feature.name,
                        M::NAME
                    ))
                })?,
            });
        }
        state::encode(M::NAME, &fitted)
    }

    /// Compare current data with a state that [`Self::fit`] gave.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a state that isn't this check's, and for a batch of another schema.
    pub fn check(&self, state: &[u8], current: &Batch) -> Result<DriftReport, Error> {
        let fitted: Vec<Fitted<M::Sketch>> = state::decode(M::NAME, state)?;
        let known = fitted.iter().map(|one| (one.name.as_str(), one.is_category));
        state::same_features(known, self.features())?;
        let mut entries = Vec::with_capacity(fitted.len());
        for ((one, (feature, limits)), sample) in
            fitted.iter().zip(&self.features).zip(self.samples(current)?)
        {
            let unsound = || state::unsound(&format!("the sketch of `{}` contradicts itself", feature.name));
            if !one.rates.is_sound() || self.method.count(feature, &one.sketch) != Some(one.rates.values()) {
                return Err(unsound());
            }
            let finding = if Entry::has_enough(limits, &one.rates, &sample.rates) {
                let finding = self.method.compare(&one.sketch, &sample.values);
                Some(finding.ok_or_else(unsound)?)
            } else {
                None
            };
            entries.push(Entry {
                feature: feature.name.clone(),
                limits: *limits,
                reference: one.rates,
                current: sample.rates,
                finding,
            });
        }
        let unusable = match M::INFINITY {
            Infinity::Keep => "NaN",
            Infinity::Drop => "NaN or infinite",
        };
        Ok(report(M::NAME, unusable, &self.policy, entries))
    }
}
