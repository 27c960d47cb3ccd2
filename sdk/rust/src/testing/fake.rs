//! Models that closures stand in for.

use crate::Error;
use crate::models::{Input, Models, Outputs, Session};

type Compute = Box<dyn Fn(&[Input<'_>]) -> Result<Outputs, Error>>;

struct Fake(std::rc::Rc<Compute>);

impl Session for Fake {
    fn compute(&self, inputs: &[Input<'_>]) -> Result<Outputs, String> {
        (self.0)(inputs).map_err(|e| e.to_string())
    }
}

/// Models for a predictor's test: one name, and a closure in the model's place. Chain
/// [`Models::and`] for more. Any other name can't be loaded.
///
/// ```
/// use caisson_plugin::prelude::*;
/// use caisson_plugin::testing::models;
///
/// let mut models = models("double", |inputs| {
///     let (_, dimensions, elements) = inputs[0];
///     let Elements::Fp32(x) = elements else { return Err(Error::internal("fp32 only")) };
///     let y: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
///     Ok(Outputs::new(vec![("y".into(), Tensor::new(dimensions, (&y).into())?)]))
/// });
/// let outputs = models.load("double")?.run(&[("x", &[2], (&vec![1.0f32, 4.0]).into())])?;
/// assert_eq!(outputs.get("y")?.to_fp32s()?, [2.0, 8.0]);
/// assert!(models.load("triple").is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn models(
    name: impl Into<String>,
    compute: impl Fn(&[Input<'_>]) -> Result<Outputs, Error> + 'static,
) -> Models {
    Models::new(Box::new(|name| {
        Err(format!("the deployment grants no model `{name}`"))
    }))
    .and(name, compute)
}

impl Models {
    /// These models and one more.
    #[must_use]
    pub fn and(
        self,
        name: impl Into<String>,
        compute: impl Fn(&[Input<'_>]) -> Result<Outputs, Error> + 'static,
    ) -> Self {
        let (own, rest) = (name.into(), self.into_loader());
        let compute: std::rc::Rc<Compute> = std::rc::Rc::new(Box::new(compute));
        Self::new(Box::new(move |name| {
            if name == own {
                Ok(Box::new(Fake(compute.clone())))
            } else {
                rest(name)
            }
        }))
    }
}
