//! One session of a model, and the two ways of running it.

use std::sync::{Arc, Mutex};

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session, SessionInputValue};
use ort::value::DynValue;

use crate::deadline::Watch;
use crate::error::{InferenceError, tidy};
use crate::tensor::{Input, InputValues, Tensor};
use crate::value::{from_ort, to_ort};

/// One session and what belongs to its runs.
pub(crate) struct Slot {
    /// For runs that want some outputs only.
    binding: IoBinding,
    session: Session,
    /// Where bound outputs go.
    host_memory: MemoryInfo<'static>,
    /// Ends runs that are over.
    pub(crate) watch: Arc<Watch>,
}

impl Slot {
    pub(crate) fn new(session: Session, options: RunOptions) -> Result<Mutex<Self>, InferenceError> {
        Ok(Mutex::new(Self {
            binding: session.create_binding().map_err(run_error)?,
            session,
            host_memory: MemoryInfo::new(
                AllocationDevice::CPU,
                0,
                AllocatorType::Device,
                MemoryType::CPUOutput,
            )
            .map_err(run_error)?,
            watch: Watch::new(options).map_err(InferenceError::Run)?,
        }))
    }

    /// Compute every output and give the chosen ones, or all. Inputs are read where they lie.
    pub(crate) fn run_whole(
        &mut self,
        names: &[Arc<str>],
        inputs: Vec<Input<'_>>,
        chosen: Option<&[usize]>,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let values = inputs
            .into_iter()
            .map(|input| value_of(input.values, &input.shape, &input.name))
            .collect::<Result<Vec<_>, _>>()?;
        let given = self
            .session
            .run_with_options(values.as_slice(), self.watch.options())
            .map_err(run_error)?;
        match chosen {
            None => names
                .iter()
                .zip(given.values())
                .map(|(name, value)| tensor(name, &value))
                .collect(),
            Some(chosen) => chosen
                .iter()
                .filter_map(|&at| Some((names.get(at)?, given.values().nth(at)?)))
                .map(|(name, value)| tensor(name, &value))
                .collect(),
        }
    }

    /// Compute only the chosen outputs, and what they need. Through an `IoBinding`, because ort's output
    /// selector can't be combined with stopping a run from another thread. A binding copies borrowed
    /// inputs in a slow way, so they are copied here; that is one `memcpy`.
    pub(crate) fn run_chosen(
        &mut self,
        names: &[Arc<str>],
        inputs: Vec<Input<'_>>,
        chosen: &[usize],
    ) -> Result<Vec<Tensor>, InferenceError> {
        let names: Vec<_> = chosen.iter().filter_map(|&at| names.get(at)).collect();
        let result = self.run_bound(&names, inputs);
        // Bound outputs are taken for preallocated ones by the next run; and nothing of a request stays
        // behind.
        self.binding.clear();
        result
    }

    fn run_bound(
        &mut self,
        names: &[&Arc<str>],
        inputs: Vec<Input<'_>>,
    ) -> Result<Vec<Tensor>, InferenceError> {
        for input in inputs {
            let values = match input.values {
                InputValues::Owned(values) => values,
                InputValues::Borrowed(values) => values.to_values(),
            };
            let value = value_of(InputValues::Owned(values), &input.shape, &input.name)?;
            self.binding.bind_input(input.name, &*value).map_err(run_error)?;
        }
        for name in names {
            self.binding
                .bind_output_to_device(&***name, &self.host_memory)
                .map_err(run_error)?;
        }
        let given = self
            .session
            .run_binding_with_options(&self.binding, self.watch.options())
            .map_err(run_error)?;
        names
            .iter()
            .zip(given.values())
            .map(|(name, value)| tensor(name, &value))
            .collect()
    }
}

fn value_of<'a>(
    values: InputValues<'a>,
    shape: &[usize],
    name: &str,
) -> Result<SessionInputValue<'a>, InferenceError> {
    to_ort(values, shape).map_err(|message| InferenceError::Element {
        input: name.to_owned(),
        message,
    })
}

fn tensor(name: &Arc<str>, value: &DynValue) -> Result<Tensor, InferenceError> {
    let (shape, values) = from_ort(value).map_err(|message| InferenceError::Output {
        output: name.to_string(),
        message,
    })?;
    Ok(Tensor {
        name: Arc::clone(name),
        shape,
        values,
    })
}

fn run_error(error: ort::Error) -> InferenceError {
    InferenceError::Run(tidy(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{assert_bits, cases, file, runtime};
    use crate::session::{self, SessionOptions};

    /// Both ways give the expected bits, for every model and type, with any outputs in any order, in one
    /// session after the other.
    #[test]
    fn whole_and_chosen_runs_agree() {
        for case in cases() {
            let bytes = std::fs::read(file(&case.model)).unwrap();
            let options = SessionOptions {
                sessions: Some(1),
                ..SessionOptions::default()
            };
            let (mut sessions, _) = session::open(runtime(), &options, &bytes).unwrap();
            let slot = Slot::new(sessions.pop().unwrap(), RunOptions::new().unwrap()).unwrap();
            let mut slot = slot.lock().unwrap();
            let names: Vec<Arc<str>> = case.outputs.iter().map(|o| o.name.as_str().into()).collect();
            let inputs = || case.inputs.iter().map(|i| i.input()).collect::<Vec<_>>();
            let all: Vec<usize> = (0..names.len()).collect();
            let reversed = all.iter().rev().copied().collect();
            for chosen in all.iter().map(|&at| vec![at]).chain([all.clone(), reversed]) {
                let whole = slot.run_whole(&names, inputs(), Some(&chosen)).unwrap();
                let bound = slot.run_chosen(&names, inputs(), &chosen).unwrap();
                assert_eq!((whole.len(), bound.len()), (chosen.len(), chosen.len()));
                for ((whole, bound), &at) in whole.iter().zip(&bound).zip(&chosen) {
                    let expected = &case.outputs[at];
                    let what = format!("{} {}", case.model, expected.name);
                    for tensor in [whole, bound] {
                        assert_eq!((&*tensor.name, &tensor.shape), (&*expected.name, &expected.shape));
                        assert_bits(&tensor.values, &expected.values(), &what);
                    }
                }
            }
            assert_eq!(slot.run_whole(&names, inputs(), None).unwrap().len(), names.len());
        }
    }
}
