//! A loaded model: sessions that all requests share.
//!
//! A run takes one of the model's sessions, and waits for one if all are busy. It then happens on the
//! caller's thread if runs of its size are known to be short ([`crate::pace`]), else on the inference
//! threads. Either way the watchdog ([`crate::deadline`]) ends it at its deadline.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session, SessionInputValue};
use ort::value::DynValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::deadline::Watch;
use crate::error::{InferenceError, tidy};
use crate::onnx_file;
use crate::pace::Pace;
use crate::runtime::Runtime;
use crate::session::{self, Placement, SessionOptions};
use crate::signature::{Signature, TensorSpec, list};
use crate::tensor::{Input, InputValues, Tensor};
use crate::threads::{self, Refused};
use crate::value::{from_ort, to_ort};

/// A loaded model. Cheap to clone; its sessions go when the last clone does.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("signature", &self.0.signature)
            .field("placement", &self.0.placement)
            .field("sessions", &self.0.slots.len())
            .finish_non_exhaustive()
    }
}

struct Inner {
    signature: Signature,
    /// Positions of the inputs by name.
    input_index: HashMap<String, usize>,
    output_names: Vec<Arc<str>>,
    placement: Placement,
    slots: Vec<Mutex<Slot>>,
    /// As many as slots: who holds one finds a slot that is free.
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    pace: Pace,
}

/// Which outputs to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Option<Vec<usize>>);

impl Selection {
    /// Every output, in the model's order.
    pub const ALL: Self = Self(None);

    /// These outputs, in this order.
    ///
    /// # Errors
    ///
    /// [`InferenceError::Outputs`] for a name that the model doesn't have or that comes twice.
    pub fn of<S: AsRef<str>>(signature: &Signature, names: &[S]) -> Result<Self, InferenceError> {
        let mut chosen = Vec::with_capacity(names.len());
        for name in names.iter().map(AsRef::as_ref) {
            let fail = |what| InferenceError::Outputs {
                what,
                name: tidy(name),
                expected: list(&signature.outputs),
            };
            let at = signature.outputs.iter().position(|o| o.name == name);
            let at = at.ok_or_else(|| fail("unknown"))?;
            if chosen.contains(&at) {
                return Err(fail("repeated"));
            }
            chosen.push(at);
        }
        let all = chosen.len() == signature.outputs.len() && chosen.is_sorted();
        Ok(Self((!all).then_some(chosen)))
    }

    /// The specs of the outputs that are chosen.
    pub fn specs<'s>(&'s self, signature: &'s Signature) -> impl Iterator<Item = &'s TensorSpec> {
        let all = self.0.is_none().then_some(signature.outputs.iter());
        let some = self
            .0
            .iter()
            .flatten()
            .filter_map(|&at| signature.outputs.get(at));
        all.into_iter().flatten().chain(some)
    }
}

impl Model {
    /// Load a file that [`check`](crate::check) has accepted: it is read into this process's C++.
    /// Takes from milliseconds to seconds, by size; not for a request's path.
    ///
    /// # Errors
    ///
    /// The file can't be read or is no model; options out of range; no such provider.
    pub fn load(runtime: &Runtime, file: &Path, options: &SessionOptions) -> Result<Self, InferenceError> {
        let bytes = fs::read(file).map_err(|source| InferenceError::File {
            path: file.to_owned(),
            source,
        })?;
        let metadata = onnx_file::inspect(&bytes)?;
        let (sessions, placement) = session::open(runtime, options, &bytes)?;
        let Some(first) = sessions.first() else {
            return Err(InferenceError::Options(
                "a model needs at least one session".into(),
            ));
        };
        let signature = Signature::of(first, metadata)?;
        let slots = sessions
            .into_iter()
            .map(Slot::new)
            .collect::<Result<Vec<_>, _>>()?;
        let inputs = signature.inputs.iter().enumerate();
        Ok(Self(Arc::new(Inner {
            input_index: inputs.map(|(i, spec)| (spec.name.clone(), i)).collect(),
            output_names: signature
                .outputs
                .iter()
                .map(|spec| spec.name.as_str().into())
                .collect(),
            signature,
            placement,
            permits: Arc::new(Semaphore::new(slots.len())),
            slots,
            waiting: AtomicUsize::new(0),
            waiting_max: options.waiting_max,
            pace: Pace::default(),
        })))
    }

    /// What the model takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// Where it runs, and why not where it was asked to.
    pub fn provider(&self) -> &Placement {
        &self.0.placement
    }

    /// How many runs can happen at the same time.
    pub fn sessions(&self) -> usize {
        self.0.slots.len()
    }

    /// Run the model. Dropping the future stops a run that is on the inference threads.
    ///
    /// # Errors
    ///
    /// Inputs that don't fit the signature, [`InferenceError::Deadline`],
    /// [`InferenceError::Overloaded`], or what ONNX Runtime says.
    pub async fn run(
        &self,
        inputs: Vec<Input<'_>>,
        outputs: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let inner = &self.0;
        let (inputs, elements) = inner.order(inputs)?;
        let permit = inner.acquire(deadline).await?;
        if inner.pace.is_short(elements) {
            return inner.run(inputs, elements, outputs, deadline, None);
        }
        inner
            .run_elsewhere(permit, inputs, elements, outputs, deadline)
            .await
    }

    /// Run the model on this thread, however long it takes. For threads that may block.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn run_blocking(
        &self,
        inputs: Vec<Input<'_>>,
        outputs: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let (inputs, elements) = self.0.order(inputs)?;
        let _permit = self.0.acquire_blocking(deadline)?;
        self.0.run(inputs, elements, outputs, deadline, None)
    }
}

impl Inner {
    /// Put the inputs into the model's order and check them against the signature. Gives the number
    /// of their elements too.
    fn order<'a>(&self, mut inputs: Vec<Input<'a>>) -> Result<(Vec<Input<'a>>, usize), InferenceError> {
        let fail = |what, name: &str| InferenceError::Inputs {
            what,
            name: tidy(name),
            expected: list(&self.signature.inputs),
        };
        let names = self.signature.inputs.iter().map(|spec| spec.name.as_str());
        if !names.eq(inputs.iter().map(|input| input.name.as_ref())) {
            let position = |input: &Input<'_>| self.input_index.get(input.name.as_ref()).copied();
            if let Some(input) = inputs.iter().find(|input| position(input).is_none()) {
                return Err(fail("unknown", &input.name));
            }
            inputs.sort_by_key(position);
        }
        if let Some([one, _]) = inputs.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(fail("repeated", &one.name));
        }
        if inputs.len() != self.signature.inputs.len() {
            let given = |spec: &&TensorSpec| !inputs.iter().any(|input| input.name == spec.name);
            let name = self
                .signature
                .inputs
                .iter()
                .find(given)
                .map_or("", |spec| spec.name.as_str());
            return Err(fail("missing", name));
        }
        let mut elements = 0usize;
        for (input, spec) in inputs.iter().zip(&self.signature.inputs) {
            fits(input, spec)?;
            elements = elements.saturating_add(input.values.len());
        }
        Ok((inputs, elements))
    }

    async fn acquire(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, InferenceError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue()?;
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout_at(deadline.into(), permit).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(InferenceError::Deadline),
        }
    }

    fn acquire_blocking(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, InferenceError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue()?;
        match block_until(deadline, Arc::clone(&self.permits).acquire_owned()) {
            Some(Ok(permit)) => Ok(permit),
            Some(Err(_)) | None => Err(InferenceError::Deadline),
        }
    }

    /// Take a place in the queue for sessions.
    fn queue(&self) -> Result<Place<'_>, InferenceError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        if before >= self.waiting_max {
            return Err(InferenceError::Overloaded { waiting: before });
        }
        Ok(place)
    }

    async fn run_elsewhere(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        inputs: Vec<Input<'_>>,
        elements: usize,
        outputs: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let _leaving = Leaving(Arc::clone(&abandoned));
        let (answer, wait) = oneshot::channel();
        let inner = Arc::clone(self);
        let inputs: Vec<_> = inputs.into_iter().map(Input::into_owned).collect();
        let outputs = outputs.clone();
        let job = move || {
            if !abandoned.load(Ordering::Relaxed) {
                let result = inner.run(inputs, elements, &outputs, deadline, Some(abandoned));
                drop(permit);
                // Nobody waits if the request is gone.
                let _ = answer.send(result);
            }
        };
        threads::run(job).map_err(|refused| match refused {
            Refused::Full(waiting) => InferenceError::Overloaded { waiting },
            Refused::NoThreads(message) => {
                InferenceError::Run(format!("the inference threads can't start: {message}"))
            }
        })?;
        match tokio::time::timeout_at(deadline.into(), wait).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(InferenceError::Run("the run ended without a result".into())),
            Err(_) => Err(InferenceError::Deadline),
        }
    }

    /// Run on this thread. The caller holds a permit.
    fn run(
        &self,
        inputs: Vec<Input<'_>>,
        elements: usize,
        outputs: &Selection,
        deadline: Instant,
        abandoned: Option<Arc<AtomicBool>>,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let started = Instant::now();
        if started >= deadline {
            return Err(InferenceError::Deadline);
        }
        let mut slot = self.slot()?;
        slot.watch.start(deadline, abandoned);
        // ort asserts what it believes of ONNX Runtime; where it errs, one run fails.
        let result = catch_unwind(AssertUnwindSafe(|| slot.run(self, inputs, outputs)));
        let stopped = slot.watch.end();
        drop(slot);
        let took = started.elapsed();
        if stopped {
            self.pace.note_stopped(elements, took);
            return Err(InferenceError::Deadline);
        }
        let result =
            result.unwrap_or_else(|_| Err(InferenceError::Run("ONNX Runtime's binding panicked".into())))?;
        // A run that failed says nothing of how long one takes.
        self.pace.note(elements, took);
        Ok(result)
    }

    /// A free slot.
    fn slot(&self) -> Result<MutexGuard<'_, Slot>, InferenceError> {
        let free = self.slots.iter().find_map(|slot| match slot.try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        // Another thread may have released the slot that we passed and taken the one that we came to:
        // then any will be free soon, because there are as many permits as slots.
        let any = || {
            self.slots
                .first()
                .map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner))
        };
        free.or_else(any)
            .ok_or_else(|| InferenceError::Run("the model has no session".into()))
    }
}

/// Does the input fit its spec?
fn fits(input: &Input<'_>, spec: &TensorSpec) -> Result<(), InferenceError> {
    let found = input.values.data_type();
    if found != spec.data_type {
        return Err(InferenceError::Type {
            input: spec.name.clone(),
            expected: spec.data_type,
            found,
        });
    }
    let same = |(&size, &want): (&usize, &i64)| want < 0 || usize::try_from(want) == Ok(size);
    if input.shape.len() != spec.shape.len() || !input.shape.iter().zip(&spec.shape).all(same) {
        return Err(InferenceError::Shape {
            input: spec.name.clone(),
            expected: spec.shape.clone(),
            found: input.shape.to_vec(),
        });
    }
    let needed = input.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if needed != Some(input.values.len()) {
        return Err(InferenceError::Length {
            input: spec.name.clone(),
            shape: input.shape.to_vec(),
            needed: needed.map_or("more elements than there can be".into(), |n| {
                format!("{n} elements")
            }),
            found: format!("{} elements", input.values.len()),
        });
    }
    Ok(())
}

/// One session and what belongs to its runs.
struct Slot {
    /// For runs that want some outputs only.
    binding: IoBinding,
    session: Session,
    /// Where bound outputs go.
    host_memory: MemoryInfo<'static>,
    watch: Arc<Watch>,
}

impl Slot {
    fn new(session: Session) -> Result<Mutex<Self>, InferenceError> {
        let fail = |e: ort::Error| InferenceError::Run(tidy(e.message()));
        Ok(Mutex::new(Self {
            binding: session.create_binding().map_err(fail)?,
            session,
            host_memory: MemoryInfo::new(
                AllocationDevice::CPU,
                0,
                AllocatorType::Device,
                MemoryType::CPUOutput,
            )
            .map_err(fail)?,
            watch: Watch::new().map_err(InferenceError::Run)?,
        }))
    }

    fn run(
        &mut self,
        model: &Inner,
        inputs: Vec<Input<'_>>,
        outputs: &Selection,
    ) -> Result<Vec<Tensor>, InferenceError> {
        match &outputs.0 {
            None => self.run_all(model, inputs),
            Some(chosen) => {
                let result = self.run_some(model, inputs, chosen);
                // Bound outputs are taken for preallocated ones by the next run; and nothing of a
                // request stays behind.
                self.binding.clear();
                result
            }
        }
    }

    /// Every output: inputs are read where they lie.
    fn run_all(&mut self, model: &Inner, inputs: Vec<Input<'_>>) -> Result<Vec<Tensor>, InferenceError> {
        let values = inputs
            .into_iter()
            .map(|input| value_of(input.values, &input.shape, &input.name))
            .collect::<Result<Vec<_>, _>>()?;
        let given = self
            .session
            .run_with_options(values.as_slice(), self.watch.options())
            .map_err(|e| InferenceError::Run(tidy(e.message())))?;
        model
            .output_names
            .iter()
            .zip(given)
            .map(|(name, (_, value))| tensor(name, &value))
            .collect()
    }

    /// Some outputs: ONNX Runtime skips what only the others need. Through an `IoBinding`, because
    /// ort's output selector can't be combined with stopping a run from another thread. A binding
    /// copies borrowed inputs in a slow way, so they are copied here; that is one `memcpy`.
    fn run_some(
        &mut self,
        model: &Inner,
        inputs: Vec<Input<'_>>,
        chosen: &[usize],
    ) -> Result<Vec<Tensor>, InferenceError> {
        let run_error = |e: ort::Error| InferenceError::Run(tidy(e.message()));
        let names: Vec<_> = chosen
            .iter()
            .filter_map(|&at| model.output_names.get(at))
            .collect();
        for input in inputs {
            let values = match input.values {
                InputValues::Owned(values) => values,
                InputValues::Borrowed(values) => values.to_values(),
            };
            let value = value_of(InputValues::Owned(values), &input.shape, &input.name)?;
            self.binding.bind_input(input.name, &*value).map_err(run_error)?;
        }
        for name in &names {
            self.binding
                .bind_output_to_device(&***name, &self.host_memory)
                .map_err(run_error)?;
        }
        let given = self
            .session
            .run_binding_with_options(&self.binding, self.watch.options())
            .map_err(run_error)?;
        names
            .into_iter()
            .zip(given)
            .map(|(name, (_, value))| tensor(name, &value))
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

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says so when whoever waited leaves.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Poll on this thread until the deadline; needs no runtime.
fn block_until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        thread::park_timeout(deadline.checked_duration_since(Instant::now())?);
    }
}
