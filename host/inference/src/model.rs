//! A loaded model: sessions that all requests share.
//!
//! A run takes one of the model's sessions, and waits for one if all are busy. It then happens on the
//! caller's thread if runs of its size are known to be short ([`crate::pace`]), else on the inference
//! threads. Either way the watchdog ([`crate::deadline`]) ends it at its deadline, and the time for
//! which it had a thread goes on an account ([`Model::load_on_account`]).

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{InferenceError, tidy};
use crate::onnx_file;
use crate::pace::{Known, Pace};
use crate::runtime::Runtime;
use crate::session::{self, Placement, SessionOptions};
use crate::signature::{Signature, TensorSpec, list};
use crate::slot::Slot;
use crate::tensor::{Input, Tensor};
use crate::threads::{self, Refused};

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
    /// Nanoseconds for which runs had a thread, where somebody keeps an account.
    account: Option<Arc<AtomicU64>>,
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
        Self::load_inner(runtime, file, options, None)
    }

    /// [`Self::load`], and every run adds the time for which it had a thread to `account`, in
    /// nanoseconds. With `intra_op_threads` of 1 that is its processor time, and no clock is read for it
    /// that isn't read anyway. Runs of [`Self::run_bytes`] on the caller's thread aren't added: who calls
    /// for a guest measures the guest around them.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load_on_account(
        runtime: &Runtime,
        file: &Path,
        options: &SessionOptions,
        account: Arc<AtomicU64>,
    ) -> Result<Self, InferenceError> {
        Self::load_inner(runtime, file, options, Some(account))
    }

    fn load_inner(
        runtime: &Runtime,
        file: &Path,
        options: &SessionOptions,
        account: Option<Arc<AtomicU64>>,
    ) -> Result<Self, InferenceError> {
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
            .map(|session| {
                let run = session::run_options(options.arena, placement.provider);
                Slot::new(session, run.map_err(InferenceError::Run)?)
            })
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
            account,
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
        self.run_for(Payer::Account, inputs, outputs, deadline).await
    }

    /// [`Self::run`]; `inline` pays for a run on this thread.
    pub(crate) async fn run_for(
        &self,
        inline: Payer,
        inputs: Vec<Input<'_>>,
        outputs: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let inner = &self.0;
        let (inputs, elements) = inner.order(inputs)?;
        let permit = inner.acquire(deadline).await?;
        let run = Run {
            elements,
            outputs,
            deadline,
            how: inner.how(elements, outputs),
            abandoned: None,
            payer: inline,
        };
        if run.how == How::Short {
            return inner.run(inputs, run);
        }
        inner.run_elsewhere(permit, inputs, run).await
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
        let run = Run {
            elements,
            outputs,
            deadline,
            how: self.0.how(elements, outputs),
            abandoned: None,
            payer: Payer::Account,
        };
        self.0.run(inputs, run)
    }
}

/// What a run is to do, besides its inputs.
struct Run<'a> {
    elements: usize,
    outputs: &'a Selection,
    deadline: Instant,
    how: How,
    abandoned: Option<Arc<AtomicBool>>,
    payer: Payer,
}

/// Who pays for the time of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    /// The model's account.
    Account,
    /// Whoever calls, by its own measure.
    Caller,
}

/// How a run goes about its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It is known to be short: compute everything, because choosing costs a microsecond.
    Short,
    /// It may be long, and everything is wanted or has to be measured again.
    Whole,
    /// It is long: compute only what is wanted.
    Chosen,
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

    fn how(&self, elements: usize, outputs: &Selection) -> How {
        match (self.pace.of(elements), &outputs.0) {
            (Known::Short, _) => How::Short,
            (Known::Long, Some(_)) => How::Chosen,
            (Known::Long, None) | (Known::No, _) => How::Whole,
        }
    }

    async fn run_elsewhere(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        inputs: Vec<Input<'_>>,
        run: Run<'_>,
    ) -> Result<Vec<Tensor>, InferenceError> {
        let Run {
            elements,
            deadline,
            how,
            ..
        } = run;
        let abandoned = Arc::new(AtomicBool::new(false));
        let _leaving = Leaving(Arc::clone(&abandoned));
        let (answer, wait) = oneshot::channel();
        let inner = Arc::clone(self);
        let inputs: Vec<_> = inputs.into_iter().map(Input::into_owned).collect();
        let outputs = run.outputs.clone();
        let job = move || {
            if !abandoned.load(Ordering::Relaxed) {
                let abandoned = Some(abandoned);
                let run = Run {
                    elements,
                    outputs: &outputs,
                    deadline,
                    how,
                    abandoned,
                    payer: Payer::Account,
                };
                let result = inner.run(inputs, run);
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
    fn run(&self, inputs: Vec<Input<'_>>, run: Run<'_>) -> Result<Vec<Tensor>, InferenceError> {
        let chosen = run.outputs.0.as_deref();
        if let Some(at) = chosen.and_then(|c| c.iter().find(|&&at| at >= self.output_names.len())) {
            return Err(InferenceError::Outputs {
                what: "unknown",
                name: format!("#{at}"),
                expected: list(&self.signature.outputs),
            });
        }
        let started = Instant::now();
        if started >= run.deadline {
            return Err(InferenceError::Deadline);
        }
        let mut slot = self.slot()?;
        slot.watch.start(run.deadline, run.abandoned);
        // ort asserts what it believes of ONNX Runtime; where it errs, one run fails.
        let result = catch_unwind(AssertUnwindSafe(|| match chosen {
            Some(chosen) if run.how == How::Chosen => slot.run_chosen(&self.output_names, inputs, chosen),
            _ => slot.run_whole(&self.output_names, inputs, chosen),
        }));
        let stopped = slot.watch.end();
        drop(slot);
        let took = started.elapsed();
        if let (Payer::Account, Some(account)) = (run.payer, &self.account) {
            let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            account.fetch_add(ns, Ordering::Relaxed);
        }
        if stopped {
            self.pace.note_stopped(run.elements, took);
            return Err(InferenceError::Deadline);
        }
        let result =
            result.unwrap_or_else(|_| Err(InferenceError::Run("ONNX Runtime's binding panicked".into())))?;
        // A run that failed, or that left something out, doesn't say how long a whole one takes.
        if run.how != How::Chosen {
            self.pace.note(run.elements, took);
        }
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
