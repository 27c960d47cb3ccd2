//! The compare benchmark's model, run natively: its sessions, and its two stages in place.
//!
//! Sessions are made as `host/inference` makes them, one a core. The stages do what the plugins
//! `std/impute` and `std/standardize` do, with the same numbers, on the request's own buffer.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use anyhow::{Context as _, Result, anyhow, ensure};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde::Deserialize;

/// Columns of a row.
pub const COLUMNS: usize = 30;
/// Probabilities of a row.
pub const CLASSES: usize = 2;
/// What the model calls its input.
pub const INPUT: &str = "input";
/// What the model calls its probabilities.
pub const OUTPUT: &str = "probabilities";

/// The model's sessions, and what was fitted for its stages.
#[derive(Debug)]
pub struct Booster {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
    stages: Stages,
}

/// Fitted numbers, one a column.
#[derive(Debug, Deserialize)]
struct Stages {
    fill: Vec<f32>,
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Booster {
    /// Load `model.onnx` and `stages.json` of a folder with this ONNX Runtime.
    ///
    /// # Errors
    ///
    /// No such library, or a file that isn't there or isn't what it should be.
    pub fn load(library: &Path, folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| path.display().to_string())
        };
        let stages: Stages = serde_json::from_slice(&read("stages.json")?).context("stages.json")?;
        for column in [&stages.fill, &stages.mean, &stages.scale] {
            ensure!(column.len() == COLUMNS, "stages.json: not {COLUMNS} numbers");
        }
        let environment = ort::init_from(library)
            .with_context(|| library.display().to_string())?
            .with_telemetry(false)
            .build()
            .map_err(|error| anyhow!("ONNX Runtime: {error}"))?;
        let (model, cores) = (read("model.onnx")?, std::thread::available_parallelism()?.get());
        let sessions: Result<Vec<_>, ort::Error> =
            (0..cores).map(|_| session(&environment, &model)).collect();
        let sessions = sessions.map_err(|error| anyhow!("model.onnx: {error}"))?;
        Ok(Self {
            sessions: sessions.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
            stages,
        })
    }

    /// Fill what is missing (NaN), then standardise.
    pub fn prepare(&self, rows: &mut [f32]) {
        let Stages { fill, mean, scale } = &self.stages;
        for row in rows.chunks_exact_mut(COLUMNS) {
            for (((x, fill), mean), scale) in row.iter_mut().zip(fill).zip(mean).zip(scale) {
                let value = if x.is_nan() { *fill } else { *x };
                *x = (value - mean) / scale;
            }
        }
    }

    /// Run the model on prepared rows: the probabilities, row after row.
    ///
    /// # Errors
    ///
    /// No whole rows, or the model's own.
    pub fn run(&self, rows: &[f32]) -> Result<Vec<f32>> {
        ensure!(rows.len().is_multiple_of(COLUMNS), "rows have {COLUMNS} columns");
        let run = |session: &mut Session| -> Result<Vec<f32>, ort::Error> {
            let tensor = TensorRef::from_array_view(([rows.len() / COLUMNS, COLUMNS], rows))?;
            let outputs = session.run(ort::inputs![INPUT => tensor])?;
            let (_, values) = outputs
                .get(OUTPUT)
                .ok_or_else(|| ort::Error::new("no such output"))?
                .try_extract_tensor::<f32>()?;
            Ok(values.to_vec())
        };
        // There is one for each of the server's threads: one is free.
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.sessions.len();
        let mut order = (0..count).filter_map(|turn| self.sessions.get((first + turn) % count));
        let free = order.clone().find_map(|session| match session.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let mut guard = match free {
            Some(guard) => guard,
            None => order
                .next()
                .context("no session")?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        };
        run(&mut guard).map_err(|error| anyhow!("{error}"))
    }
}

/// One session, with what `host/inference/src/session.rs` sets.
fn session(environment: &Environment, model: &[u8]) -> Result<Session, ort::Error> {
    Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(true)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_memory(model)
}
