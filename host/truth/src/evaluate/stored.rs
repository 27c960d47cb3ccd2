//! What was said of windows, as objects of the store.
//!
//! One object a window, with its statements:
//! `performance/tenant=…/deployment=…/spec=0d4e8f3c2b1a4978/window-….json`. What is measured otherwise
//! (another window, another label) stands in a folder of its own.

use caisson_predictions::remove_below;
use caisson_store::{Objects, record};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::TruthError;
use crate::result::{StoredWindow, WindowStatement};
use crate::spec::{GroundTruthSpec, PerformanceSpec};
use crate::truth::PERFORMANCE;

/// Windows that are kept of a deployment: twelve weeks of hours.
pub(super) const WINDOWS_MAX: usize = 2_000;
/// Statements that are kept of a window: the first, and the newest of the others.
const STATEMENTS_MAX: usize = 8;
/// Bytes of one window: four columns of twenty segments, of hundred classes.
const WINDOW_BYTES_MAX: u64 = 64 << 20;

/// Where the windows of a deployment are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    objects: Objects,
    /// All of the deployment.
    above: String,
    path: String,
}

/// What windows depend on: changed, they are measured anew.
#[derive(Serialize)]
struct Measured<'a> {
    label: &'a caisson_data::Field,
    join: &'a crate::spec::JoinSpec,
    performance: &'a PerformanceSpec,
    event_time: Option<&'a caisson_predictions::EventTimeSpec>,
}

/// A name for what is measured.
pub(super) fn key(
    truth: &GroundTruthSpec,
    performance: &PerformanceSpec,
    event_time: Option<&caisson_predictions::EventTimeSpec>,
) -> Result<String, TruthError> {
    let text = serde_json::to_vec(&Measured {
        label: &truth.label,
        join: &truth.join,
        performance,
        event_time,
    })
    .map_err(|e| TruthError::Encode(e.to_string()))?;
    let digest = Sha256::digest(&text);
    Ok(hex::encode(digest.get(..8).unwrap_or_default()))
}

/// Are predictions, or labels, of a window gone?
fn has_less(statement: &WindowStatement, before: &WindowStatement) -> bool {
    let counts = |of: &WindowStatement| {
        of.parts
            .first()
            .map_or((0, 0), |all| (all.predictions, all.labelled))
    };
    let (now, before) = (counts(statement), counts(before));
    now.0 < before.0 || now.1 < before.1
}

/// Another calibration is no other statement: what was estimated of the same predictions stays.
fn keep_estimates(statement: &mut WindowStatement, before: &WindowStatement) {
    for part in &mut statement.parts {
        let earlier = before
            .parts
            .iter()
            .find(|earlier| earlier.segment == part.segment);
        if let Some(earlier) =
            earlier.filter(|e| e.predictions == part.predictions && !e.estimates.is_empty())
        {
            part.estimates.clone_from(&earlier.estimates);
        }
    }
}

impl Folder {
    pub(super) fn new(objects: Objects, tenant: &str, deployment: &str, key: &str) -> Self {
        let above = PERFORMANCE.of_deployment(tenant, deployment);
        Self {
            objects,
            path: format!("{above}/spec={key}"),
            above,
        }
    }

    fn file(&self, at: i64) -> String {
        // In the order of time, also before 1970.
        format!("{}/window-{:016x}.json", self.path, (at as u64) ^ (1 << 63))
    }

    /// The windows there are, the oldest first.
    pub(super) fn windows(&self) -> Result<Vec<i64>, TruthError> {
        let mut windows = Vec::new();
        self.objects.visit(&self.path, |object| {
            let name = object.path.rsplit('/').next().unwrap_or_default();
            let place = name
                .strip_prefix("window-")
                .and_then(|name| name.strip_suffix(".json"));
            if let Some(Ok(at)) = place.map(|place| u64::from_str_radix(place, 16)) {
                windows.push((at ^ (1 << 63)) as i64);
            }
            Ok(())
        })?;
        windows.sort_unstable();
        Ok(windows)
    }

    pub(super) fn read(&self, at: i64) -> Result<Option<StoredWindow>, TruthError> {
        let path = self.file(at);
        match self.objects.get(&path, WINDOW_BYTES_MAX)? {
            None => Ok(None),
            Some(bytes) => Ok(Some(record::decode(path.as_bytes(), &bytes)?)),
        }
    }

    /// Add a statement, if it says anything new; which one it is, and whether it is new.
    pub(super) fn state(
        &self,
        at: i64,
        mut statement: WindowStatement,
    ) -> Result<(WindowStatement, bool), TruthError> {
        let mut stored = match self.read(at) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, path = self.file(at), "statements of a window can't be read, and are made anew");
                None
            }
        }
        .unwrap_or(StoredWindow {
            at,
            statements: Vec::new(),
        });
        if let Some(newest) = stored.statements.first_mut() {
            if has_less(&statement, newest) {
                // Files of the log, or of labels, are gone: this is the last that can be said.
                newest.is_final = true;
                let last = newest.clone();
                self.write(&stored)?;
                return Ok((last, false));
            }
            keep_estimates(&mut statement, newest);
            statement.statement = newest.statement;
            statement.evaluated_at = newest.evaluated_at;
            // That no label is waited for any more is no other statement.
            let is_final = std::mem::replace(&mut newest.is_final, statement.is_final);
            if *newest == statement {
                if is_final != statement.is_final {
                    self.write(&stored)?;
                }
                return Ok((statement, false));
            }
            newest.is_final = is_final;
            statement.statement = newest.statement.saturating_add(1);
        }
        statement.evaluated_at = Timestamp::now();
        stored.statements.insert(0, statement.clone());
        if stored.statements.len() > STATEMENTS_MAX {
            stored.statements.remove(STATEMENTS_MAX - 1);
        }
        self.write(&stored)?;
        Ok((statement, true))
    }

    fn write(&self, stored: &StoredWindow) -> Result<(), TruthError> {
        Ok(self.objects.put(&self.file(stored.at), record::encode(stored)?)?)
    }

    pub(super) fn remove(&self, at: i64) -> Result<(), TruthError> {
        Ok(self.objects.remove(&self.file(at))?)
    }

    /// Remove the folders of what was measured otherwise, the oldest first, while they have more windows
    /// than a deployment keeps. Gives the bytes of all that is left.
    pub(super) fn prune(&self) -> Result<u64, TruthError> {
        let mut folders: Vec<(std::time::SystemTime, String, usize, u64)> = Vec::new();
        let mut own = 0;
        self.objects.visit(&self.above, |object| {
            let Some((folder, _)) = object.path.rsplit_once('/') else {
                return Ok(());
            };
            if folder == self.path {
                own += object.size;
                return Ok(());
            }
            match folders.iter_mut().find(|(_, name, ..)| name == folder) {
                Some((written, _, count, bytes)) => {
                    *written = (*written).max(object.written);
                    *count += 1;
                    *bytes += object.size;
                }
                None => folders.push((object.written, folder.to_owned(), 1, object.size)),
            }
            Ok(())
        })?;
        folders.sort();
        let mut count: usize = folders.iter().map(|(_, _, count, _)| count).sum();
        for (_, folder, windows, bytes) in folders {
            if count <= WINDOWS_MAX {
                own += bytes;
                continue;
            }
            remove_below(&self.objects, &folder)?;
            count -= windows;
        }
        Ok(own)
    }

    /// The list of the log's files, if there is one that can be read.
    pub(super) fn read_list<T: record::Record>(&self) -> Option<T> {
        let path = self.list();
        let bytes = self.objects.get(&path, WINDOW_BYTES_MAX).ok()??;
        record::decode(path.as_bytes(), &bytes).ok()
    }

    pub(super) fn write_list<T: record::Record + for<'de> Deserialize<'de>>(
        &self,
        list: &T,
    ) -> Result<(), TruthError> {
        Ok(self.objects.put(&self.list(), record::encode(list)?)?)
    }

    fn list(&self) -> String {
        format!("{}/log.json", self.path)
    }
}
