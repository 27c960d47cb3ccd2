//! The thread that makes files of answers.
//!
//! Answers of one revision and one hour wait together until they are old or many enough, or until memory
//! is half full, when the largest go first. A file that the store doesn't take is tried again, and its
//! rows hold their room meanwhile, so a store that is away for long makes later rows find none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use caisson_store::{Objects, Store};
use jiff::Timestamp;

use crate::LogError;
use crate::counts::Unlogged;
use crate::file::encode;
use crate::keep::{Kept, key_of};
use crate::place::{Hour, LOG};
use crate::redact::Key;
use crate::shared::{Admit, Deployments, Entry, Limits, Log, Message, Space, forget};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(200);
/// How often old files are looked for.
const KEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long a store that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The answers that become one file.
struct Buffer {
    log: Arc<Log>,
    hour: Hour,
    entries: Vec<Entry>,
    bytes: usize,
    since: Instant,
}

/// A file that the store hasn't taken yet.
struct Unwritten {
    log: Arc<Log>,
    path: String,
    bytes: Vec<u8>,
    rows: u64,
    _spaces: Vec<Space>,
}

pub(crate) struct Writer {
    store: Store,
    objects: Objects,
    limits: Limits,
    held: Arc<AtomicUsize>,
    deployments: Arc<Deployments>,
    admit: Admit,
    /// By revision and hour.
    buffers: HashMap<(usize, Hour), Buffer>,
    unwritten: Vec<Unwritten>,
    retry_at: Instant,
    keys: HashMap<String, Key>,
    /// What is written down of each deployment's bounds.
    kept: HashMap<(String, String), Kept>,
    keep_at: Instant,
    /// This process, in the names of its files.
    process: String,
    files: u64,
}

impl Writer {
    pub(crate) fn new(
        store: Store,
        limits: Limits,
        held: Arc<AtomicUsize>,
        deployments: Arc<Deployments>,
        admit: Admit,
    ) -> Result<Self, LogError> {
        let mut process = [0; 4];
        getrandom::fill(&mut process).map_err(|e| LogError::Thread(format!("has no name: {e}")))?;
        let now = Instant::now();
        Ok(Self {
            objects: store.objects(),
            store,
            limits,
            held,
            deployments,
            admit,
            buffers: HashMap::new(),
            unwritten: Vec::new(),
            retry_at: now,
            keys: HashMap::new(),
            kept: HashMap::new(),
            keep_at: now,
            process: hex::encode(process),
            files: 0,
        })
    }

    /// Until it is told to end, or nobody is left to tell it.
    pub(crate) fn run(mut self, receiver: &Receiver<Message>) {
        let mut tick = Instant::now();
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(Message::Answer(entry)) => self.take(*entry),
                Ok(Message::Flush(done)) => {
                    self.flush(|_| true);
                    self.retry();
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Ok(Message::Forget(tenant, done)) => {
                    let _ = done.send(self.forget(&tenant));
                }
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if tick.elapsed() >= TICK {
                tick = Instant::now();
                self.tick(tick);
            }
        }
        self.flush(|_| true);
        self.retry();
        for file in std::mem::take(&mut self.unwritten) {
            file.log.drop_rows(Unlogged::Storage, file.rows);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.flush(|buffer| now.duration_since(buffer.since) >= buffer.log.spec.flush_every());
        if now >= self.retry_at && !self.unwritten.is_empty() {
            self.retry();
        }
        if now >= self.keep_at {
            self.keep_at = now + KEEP_EVERY;
            if let Err(error) = self.keep() {
                tracing::error!(%error, "old files of prediction logs can't be removed");
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        let hour = Hour::of_micros(entry.answer.received.as_microsecond());
        // A buffer holds its log, so no other can have its address.
        let key = (Arc::as_ptr(&entry.log) as usize, hour);
        let buffer = self.buffers.entry(key).or_insert_with(|| Buffer {
            log: Arc::clone(&entry.log),
            hour,
            entries: Vec::new(),
            bytes: 0,
            since: Instant::now(),
        });
        buffer.bytes += entry.space.bytes;
        buffer.entries.push(entry);
        if buffer.bytes >= buffer.log.spec.flush_bytes() {
            self.write(key);
        } else if self.held.load(Ordering::Relaxed) > self.limits.buffer_bytes / 2 {
            let largest = self.buffers.iter().max_by_key(|(_, buffer)| buffer.bytes);
            if let Some(&key) = largest.map(|(key, _)| key) {
                self.write(key);
            }
        }
    }

    fn flush(&mut self, due: impl Fn(&Buffer) -> bool) {
        let due: Vec<_> = self
            .buffers
            .iter()
            .filter(|(_, buffer)| due(buffer))
            .map(|(key, _)| *key)
            .collect();
        due.into_iter().for_each(|key| self.write(key));
    }

    /// Make a file of a buffer.
    fn write(&mut self, key: (usize, Hour)) {
        let Some(buffer) = self.buffers.remove(&key) else {
            return;
        };
        let log = Arc::clone(&buffer.log);
        let rows = buffer.entries.iter().map(|e| e.answer.input.rows() as u64).sum();
        let tenant = &log.deployment.tenant;
        // Before anything is written down: the tenant may be gone.
        if !(self.admit)(tenant, self.deployments.stored(tenant)) {
            return log.drop_rows(Unlogged::Quota, rows);
        }
        let bytes = match self.encode(&buffer) {
            Ok(bytes) => bytes,
            Err(error) => {
                let deployment = &log.deployment.name;
                tracing::error!(tenant, deployment, %error, rows, "rows of a prediction log are lost");
                return log.drop_rows(Unlogged::Storage, rows);
            }
        };
        if !(self.admit)(
            tenant,
            self.deployments.stored(tenant).saturating_add(bytes.len() as u64),
        ) {
            return log.drop_rows(Unlogged::Quota, rows);
        }
        self.files += 1;
        let part = format!(
            "{}-{}-{}",
            Timestamp::now().as_microsecond(),
            self.process,
            self.files
        );
        let unwritten = Unwritten {
            path: LOG.file(tenant, &log.deployment.name, buffer.hour, &part),
            log: Arc::clone(&log),
            bytes,
            rows,
            _spaces: buffer.entries.into_iter().map(|entry| entry.space).collect(),
        };
        self.unwritten.push(unwritten);
        if Instant::now() >= self.retry_at {
            self.retry();
        }
    }

    fn encode(&mut self, buffer: &Buffer) -> Result<Vec<u8>, LogError> {
        let log = &buffer.log;
        let tenant = &log.deployment.tenant;
        let key = match self.keys.get(tenant) {
            Some(key) => *key,
            None => {
                let key = key_of(&self.store, tenant)?;
                self.keys.insert(tenant.clone(), key);
                key
            }
        };
        let kept = Kept::new(tenant, &log.deployment.name, &log.spec);
        let place = (tenant.clone(), log.deployment.name.clone());
        if self.kept.get(&place) != Some(&kept) {
            kept.store(&self.store, LOG)?;
            self.kept.insert(place, kept);
        }
        let answers: Vec<_> = buffer.entries.iter().map(|entry| &entry.answer).collect();
        encode(&answers, log.revision, &log.spec, &key)
    }

    /// Give the store what it hasn't taken yet, until it fails.
    fn retry(&mut self) {
        while let Some(file) = self.unwritten.pop() {
            let size = file.bytes.len() as u64;
            let deployment = Arc::clone(&file.log.deployment);
            match self.objects.put(&file.path, file.bytes.clone()) {
                Ok(()) => {
                    deployment.tally.logged(file.rows);
                    let stored = deployment.stored.fetch_add(size, Ordering::Relaxed) + size;
                    if stored > file.log.spec.keep_bytes() {
                        self.keep_at = Instant::now();
                    }
                }
                Err(error) => {
                    tracing::error!(path = file.path, %error, "a file of a prediction log can't be written yet");
                    self.unwritten.push(file);
                    self.retry_at = Instant::now() + RETRY_AFTER;
                    return;
                }
            }
        }
    }

    /// Hold every log to its bounds, and count what is left.
    fn keep(&self) -> Result<(), LogError> {
        for kept in Kept::all(&self.store, LOG)? {
            let bytes = kept.enforce(&self.objects, LOG, Hour::now())?;
            let deployment = self.deployments.of(&kept.tenant, &kept.deployment);
            deployment.stored.store(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn forget(&mut self, tenant: &str) -> Result<(), LogError> {
        self.buffers
            .retain(|_, buffer| buffer.log.deployment.tenant != tenant);
        self.unwritten.retain(|file| file.log.deployment.tenant != tenant);
        self.keys.remove(tenant);
        self.kept.retain(|(owner, _), _| owner != tenant);
        forget(&self.store, &self.deployments, tenant)
    }
}
