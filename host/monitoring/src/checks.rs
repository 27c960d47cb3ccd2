//! What the worker asks of whoever can call plugins.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use caisson_quality::accumulator::{Accumulator as _, Mismatch};

use crate::gathered::Gathered;
use crate::report::FeatureVerdict;
use crate::worker::Message;

/// Runs the checks of a revision's monitors, somewhere else: the worker doesn't wait.
pub trait Checks: Send + Sync {
    /// Check rows, one item after the other, and say what was found; items of one revision in the order in
    /// which they are asked for.
    fn check(self: Arc<Self>, items: Vec<Item>, done: Done);
}

/// Rows for a monitor to judge.
#[derive(Debug, Clone)]
pub struct Item {
    /// The monitor's name.
    pub monitor: String,
    /// The window's rows, or those of a segment in it.
    pub current: Arc<Gathered>,
    /// What they are compared with; none: the baseline.
    pub reference: Option<Reference>,
}

/// Windows before the one that is judged, the newest first; at least one.
#[derive(Debug, Clone)]
pub struct Reference(pub(crate) Vec<Arc<Gathered>>);

impl Reference {
    /// All of them together.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] only where a state was put together from parts that don't fit.
    pub fn all(&self) -> Result<Option<Gathered>, Mismatch> {
        let mut windows = self.0.iter();
        let Some(newest) = windows.next() else {
            return Ok(None);
        };
        let mut all = Gathered::clone(newest);
        windows.try_for_each(|window| all.merge(window))?;
        Ok(Some(all))
    }

    /// How many.
    pub(crate) fn windows(&self) -> usize {
        self.0.len()
    }

    /// The newest: as long as the window that is judged.
    pub fn newest(&self) -> Option<&Arc<Gathered>> {
        self.0.first()
    }
}

/// What a check found; nothing where there was too little to see.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Feature by feature.
    pub features: Vec<FeatureVerdict>,
    /// Rows that it saw.
    pub rows: u64,
}

/// Takes what was found, item by item. Dropped without, every check counts as failed.
#[derive(Debug)]
pub struct Done {
    pub(crate) worker: Sender<Message>,
    pub(crate) deployment: (String, String),
    pub(crate) number: u64,
    pub(crate) found: Vec<Result<Found, String>>,
}

impl Done {
    /// Hand over what was found, or why nothing was.
    pub fn found(mut self, found: Vec<Result<Found, String>>) {
        self.found = found;
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let message = Message::Checked {
            deployment: std::mem::take(&mut self.deployment),
            number: self.number,
            found: std::mem::take(&mut self.found),
        };
        // A worker that has ended wants nothing.
        let _ = self.worker.send(message);
    }
}
