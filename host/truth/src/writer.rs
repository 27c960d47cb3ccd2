//! The thread that makes labels durable.
//!
//! What waits when it looks is one file for each deployment, and is acknowledged once the store has it: a
//! client that sends one label at a time shares its file with the others that do. Many small files of one
//! hour are put together into one; labels that came again with the value that they have become one with
//! a count.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use caisson_predictions::{Hour, Kept, LogFile, files, read_file, remove_below};
use caisson_store::{Objects, Store};
use jiff::Timestamp;

use crate::TruthError;
use crate::file::{decode, encode};
use crate::label::Label;
use crate::truth::{Admit, Deployments, LABELS, Message, PERFORMANCE, Recorded, Waiting};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(500);
/// How often old files are looked for.
const KEEP_EVERY: Duration = Duration::from_secs(3600);
/// Labels that are written together.
const LABELS_AT_ONCE: usize = 64 << 10;
/// Files of one hour that are put together.
const FILES_MAX: usize = 32;
/// Larger ones are left as they are, so that no label is written again and again.
const COMPACT_BYTES_MAX: u64 = 4 << 20;

pub(crate) struct Writer {
    store: Store,
    objects: Objects,
    deployments: Arc<Deployments>,
    admit: Admit,
    keep_at: Instant,
    /// What is written down of each deployment's bounds.
    kept: HashMap<(String, String), Kept>,
    /// Small files that were written since they were put together, by deployment and hour.
    small: BTreeMap<(String, String, Hour), usize>,
    /// This process, in the names of its files.
    process: String,
    files: u64,
}

impl Writer {
    pub(crate) fn new(store: Store, deployments: Arc<Deployments>, admit: Admit) -> Result<Self, TruthError> {
        let mut process = [0; 4];
        getrandom::fill(&mut process).map_err(|e| TruthError::Thread(format!("has no name: {e}")))?;
        Ok(Self {
            objects: store.objects(),
            store,
            deployments,
            admit,
            keep_at: Instant::now(),
            kept: HashMap::new(),
            small: BTreeMap::new(),
            process: hex::encode(process),
            files: 0,
        })
    }

    /// Until it is told to end, or nobody is left to tell it.
    pub(crate) fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let mut together: BTreeMap<(String, String), Vec<Waiting>> = BTreeMap::new();
            let mut labels = 0;
            let mut next = receiver.recv_timeout(TICK);
            let mut after = None;
            loop {
                match next {
                    Ok(Message::Record(waiting)) => {
                        labels += waiting.labels.len();
                        let place = (waiting.tenant.clone(), waiting.deployment.clone());
                        together.entry(place).or_default().push(*waiting);
                    }
                    other => {
                        after = Some(other);
                        break;
                    }
                }
                if labels >= LABELS_AT_ONCE {
                    break;
                }
                next = match receiver.try_recv() {
                    Ok(message) => Ok(message),
                    Err(_) => break,
                };
            }
            for ((tenant, deployment), waiting) in together {
                self.write(&tenant, &deployment, waiting);
            }
            match after {
                Some(Ok(Message::Forget(tenant, deployment, done))) => {
                    // Who asked may have gone.
                    let _ = done.send(self.forget(&tenant, deployment.as_deref()));
                }
                Some(Ok(Message::Close) | Err(RecvTimeoutError::Disconnected)) => return,
                _ => {}
            }
            if Instant::now() >= self.keep_at {
                self.keep_at = Instant::now() + KEEP_EVERY;
                if let Err(error) = self.keep() {
                    tracing::error!(%error, "old labels can't be removed");
                }
            }
        }
    }

    fn write(&mut self, tenant: &str, deployment: &str, waiting: Vec<Waiting>) {
        let written = self.write_all(tenant, deployment, &waiting);
        for one in waiting {
            let recorded = Recorded {
                labels: one.labels.len() as u64,
            };
            (one.done)(written.as_ref().map(|()| recorded).map_err(Clone::clone));
        }
        let Ok(()) = written else { return };
        let hour = Hour::now();
        let key = (tenant.to_owned(), deployment.to_owned(), hour);
        let small = self.small.entry(key.clone()).or_default();
        *small += 1;
        if *small >= FILES_MAX {
            self.small.remove(&key);
            if let Err(error) = self.compact(tenant, deployment, hour) {
                tracing::error!(tenant, deployment, %error, "files of labels can't be put together");
            }
        }
    }

    fn write_all(&mut self, tenant: &str, deployment: &str, waiting: &[Waiting]) -> Result<(), TruthError> {
        if !(self.admit)(tenant, deployment) {
            return Err(TruthError::Gone);
        }
        if let Some(last) = waiting.last() {
            self.note(&last.kept)?;
        }
        let labels: Vec<Label> = waiting
            .iter()
            .flat_map(|one| one.labels.iter().cloned())
            .collect();
        if labels.is_empty() {
            return Ok(());
        }
        let bytes = encode(&labels)?;
        let size = bytes.len() as u64;
        let path = self.next_path(tenant, deployment, Hour::now());
        self.objects.put(&path, bytes)?;
        let of = self.deployments.of(tenant, deployment);
        let stored = of.add(size);
        of.changed();
        if self
            .kept
            .get(&(tenant.to_owned(), deployment.to_owned()))
            .is_some_and(|kept| stored > kept.bytes)
        {
            self.keep_at = Instant::now();
        }
        Ok(())
    }

    fn next_path(&mut self, tenant: &str, deployment: &str, hour: Hour) -> String {
        self.files += 1;
        let now = Timestamp::now().as_microsecond();
        LABELS.file(
            tenant,
            deployment,
            hour,
            &format!("{now}-{}-{}", self.process, self.files),
        )
    }

    /// Write down what a deployment's file says of how much is kept.
    fn note(&mut self, kept: &Kept) -> Result<(), TruthError> {
        let place = (kept.tenant.clone(), kept.deployment.clone());
        if self.kept.get(&place) != Some(kept) {
            kept.store(&self.store, LABELS)?;
            self.kept.insert(place, kept.clone());
        }
        Ok(())
    }

    /// Put the small files of an hour together.
    fn compact(&mut self, tenant: &str, deployment: &str, hour: Hour) -> Result<(), TruthError> {
        let all = files(&self.objects, LABELS, tenant, deployment)?;
        let small: Vec<LogFile> = all
            .into_iter()
            .filter(|file| file.hour == hour && file.size <= COMPACT_BYTES_MAX)
            .collect();
        if small.len() < 2 {
            return Ok(());
        }
        let of = self.deployments.of(tenant, deployment);
        // Nobody reads meanwhile, who would find labels twice or not at all.
        let Some(_alone) = of.try_write() else {
            return Ok(());
        };
        let mut labels = Vec::new();
        for file in &small {
            for batch in read_file(&self.objects, &file.path, None)?.into_iter().flatten() {
                labels.extend(decode(&batch?));
            }
        }
        let labels = together(labels);
        let bytes = encode(&labels)?;
        let size = bytes.len() as u64;
        let path = self.next_path(tenant, deployment, hour);
        // A crash between leaves labels twice, which then count as having come twice.
        self.objects.put(&path, bytes)?;
        for file in &small {
            self.objects.remove(&file.path)?;
        }
        let before: u64 = small.iter().map(|file| file.size).sum();
        of.replace(before, size);
        Ok(())
    }

    /// Hold all labels to their bounds, put together what an hour left, and count what remains.
    fn keep(&mut self) -> Result<(), TruthError> {
        let now = Hour::now();
        for kept in Kept::all(&self.store, LABELS)? {
            let (tenant, deployment) = (kept.tenant.as_str(), kept.deployment.as_str());
            let bytes = kept.enforce(&self.objects, LABELS, now)?;
            let of = self.deployments.of(tenant, deployment);
            of.set(bytes);
            of.set_results(bytes_below(
                &self.objects,
                &PERFORMANCE.of_deployment(tenant, deployment),
            )?);
            let mut hours: BTreeMap<Hour, usize> = BTreeMap::new();
            for file in files(&self.objects, LABELS, tenant, deployment)? {
                if file.size <= COMPACT_BYTES_MAX && file.hour < now {
                    *hours.entry(file.hour).or_default() += 1;
                }
            }
            for (hour, _) in hours.into_iter().filter(|(_, count)| *count > 1) {
                self.compact(tenant, deployment, hour)?;
            }
        }
        self.small.retain(|(.., hour), _| *hour >= now);
        Ok(())
    }

    fn forget(&mut self, tenant: &str, deployment: Option<&str>) -> Result<(), TruthError> {
        let is_meant = |owner: &str, name: &str| owner == tenant && deployment.is_none_or(|d| d == name);
        self.kept.retain(|(owner, name), _| !is_meant(owner, name));
        self.small.retain(|(owner, name, _), _| !is_meant(owner, name));
        match deployment {
            Some(deployment) => {
                Kept::forget(&self.store, LABELS, tenant, deployment)?;
                remove_below(&self.objects, &PERFORMANCE.of_deployment(tenant, deployment))?;
            }
            None => {
                Kept::forget_tenant(&self.store, LABELS, tenant)?;
                remove_below(&self.objects, &PERFORMANCE.of_tenant(tenant))?;
            }
        }
        self.deployments.forget(is_meant);
        Ok(())
    }
}

/// Labels of one key that came again with the value that they have are one.
fn together(mut labels: Vec<Label>) -> Vec<Label> {
    labels.sort_by_key(|label| label.received_at);
    let mut newest: HashMap<crate::label::LabelKey, usize> = HashMap::new();
    let mut kept: Vec<Label> = Vec::with_capacity(labels.len());
    for label in labels {
        if let Some(&at) = newest.get(&label.key)
            && let Some(before) = kept.get_mut(at)
            && before.value == label.value
        {
            before.times = before.times.saturating_add(label.times);
            continue;
        }
        newest.insert(label.key.clone(), kept.len());
        kept.push(label);
    }
    kept
}

fn bytes_below(objects: &Objects, folder: &str) -> Result<u64, TruthError> {
    let mut bytes = 0;
    objects.visit(folder, |object| {
        bytes += object.size;
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::LabelKey;

    #[test]
    fn what_came_again_is_one_and_what_was_stated_anew_is_kept() {
        let label = |id: &str, value: &str, received_at| Label {
            key: LabelKey::Request {
                id: id.to_owned(),
                row: 0,
            },
            value: value.to_owned(),
            observed_at: None,
            received_at,
            times: 1,
        };
        let found = together(vec![
            label("a", "1", 5),
            label("a", "1", 1),
            label("b", "1", 2),
            label("a", "0", 7),
            label("a", "1", 8),
            label("b", "1", 9),
        ]);
        let short: Vec<_> = found
            .iter()
            .map(|l| (l.value.as_str(), l.received_at, l.times))
            .collect();
        assert_eq!(short, [("1", 1, 2), ("1", 2, 2), ("0", 7, 1), ("1", 8, 1)]);
    }
}
