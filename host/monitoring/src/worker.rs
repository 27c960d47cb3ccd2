//! The thread that gathers rows into windows.
//!
//! It looks at the lanes at an interval, so that a request never wakes it; every deployment with rows gets
//! a slice of time in turn, so that one whose rows never end takes nothing from another but its turn. What
//! takes a disk or a plugin is done elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use caisson_store::StoreError;

use crate::checks::{Checks, Found};
use crate::deployment::Deployment;
use crate::keeper::{BACKLOG_BYTES_MAX, Keep, Loaded, send_state};
use crate::plan::Plan;
use crate::report::StatisticsWindow;
use crate::track::{Links, Track};

/// How often the lanes are looked at: a lane holds far more than what comes in that time.
const LANES_EVERY: Duration = Duration::from_millis(50);
/// How often time passes for windows, and it is looked whether something is to be saved.
const TICK: Duration = Duration::from_millis(500);
/// How long a deployment's rows are gathered before it is the next one's turn.
const SLICE: Duration = Duration::from_millis(5);
/// How long a flush waits for checks that are under way.
const SETTLE: Duration = Duration::from_secs(10);

/// What is told to the worker.
pub(crate) enum Message {
    /// A revision goes live.
    Start {
        deployment: Arc<Deployment>,
        plan: Arc<Plan>,
        checks: Weak<dyn Checks>,
        account: Arc<AtomicU64>,
    },
    /// What was kept of a deployment.
    Loaded(Loaded),
    /// What the checks of a window found.
    Checked {
        deployment: (String, String),
        number: u64,
        found: Vec<Result<Found, String>>,
    },
    /// Say what the open windows of the statistics have.
    Open(Arc<Deployment>, SyncSender<Vec<StatisticsWindow>>),
    /// Forget a tenant, or one deployment of it.
    Forget(String, Option<String>, SyncSender<Result<(), StoreError>>),
    /// Gather what waits, save everything, and say so.
    Flush(SyncSender<()>),
    /// The same, and end.
    Close,
}

pub(crate) struct Worker {
    pub(crate) links: Links,
    pub(crate) backlog: Arc<AtomicUsize>,
    tracks: HashMap<(String, String), Track>,
    seed: u64,
}

impl Worker {
    pub(crate) fn new(links: Links, backlog: Arc<AtomicUsize>, seed: u64) -> Self {
        Self {
            links,
            backlog,
            tracks: HashMap::new(),
            seed,
        }
    }

    /// Until it is told to end, or nobody is left to tell it.
    pub(crate) fn run(mut self, receiver: &Receiver<Message>) {
        let mut tick = Instant::now();
        let mut is_behind = false;
        loop {
            let patience = if is_behind { Duration::ZERO } else { LANES_EVERY };
            match receiver.recv_timeout(patience) {
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Message::Flush(done)) => {
                    let is_over = self.flush(receiver);
                    if self.links.keeper.send(Keep::Flush(done)).is_err() || is_over {
                        break;
                    }
                }
                Ok(message) => {
                    self.hear(message);
                    // All that there is to hear comes before rows.
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            is_behind = self.gather();
            if tick.elapsed() >= TICK {
                tick = Instant::now();
                self.tick(tick);
            }
        }
        self.flush(receiver);
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Start {
                deployment,
                plan,
                checks,
                account,
            } => self.start(deployment, plan, checks, account),
            Message::Loaded(loaded) => {
                let key = key_of(&loaded.deployment);
                if let Some(track) = self.tracks.get_mut(&key)
                    && Arc::ptr_eq(&track.deployment, &loaded.deployment)
                {
                    track.loaded(loaded.state, loaded.windows, &self.links);
                }
            }
            Message::Checked {
                deployment,
                number,
                found,
            } => {
                if let Some(track) = self.tracks.get_mut(&deployment) {
                    track.checked(number, found, &self.links);
                }
            }
            Message::Open(deployment, answer) => {
                let open = self.tracks.get(&key_of(&deployment)).map(Track::open);
                // Who asked may have gone.
                let _ = answer.send(open.unwrap_or_default());
            }
            Message::Forget(tenant, name, done) => {
                let is_gone =
                    |key: &(String, String)| key.0 == tenant && name.as_ref().is_none_or(|n| *n == key.1);
                self.tracks.retain(|key, _| !is_gone(key));
                // After all windows that are on their way to the disk.
                let _ = self.links.keeper.send(Keep::Forget(tenant, name, done));
            }
            Message::Flush(_) | Message::Close => {}
        }
    }

    fn start(
        &mut self,
        deployment: Arc<Deployment>,
        plan: Arc<Plan>,
        checks: Weak<dyn Checks>,
        account: Arc<AtomicU64>,
    ) {
        let key = key_of(&deployment);
        match self.tracks.get_mut(&key) {
            Some(track) if Arc::ptr_eq(&track.deployment, &deployment) => {
                track.replan(plan, checks, account, &self.links);
            }
            _ => {
                self.seed = self.seed.wrapping_add(1);
                let track = Track::new(Arc::clone(&deployment), plan, checks, account, self.seed);
                self.tracks.insert(key, track);
                let _ = self.links.keeper.send(Keep::Load(deployment));
            }
        }
    }

    /// A slice for everyone who has rows. Has somebody more?
    fn gather(&mut self) -> bool {
        let mut is_behind = false;
        for track in self.tracks.values_mut() {
            is_behind |= track.gather(SLICE, &self.links);
        }
        is_behind
    }

    fn tick(&mut self, now: Instant) {
        for track in self.tracks.values_mut() {
            let Some(state) = track.tick(now, &self.links) else {
                continue;
            };
            // A disk that is behind gets no more until it has caught up.
            if self.backlog.load(Ordering::Relaxed) > BACKLOG_BYTES_MAX {
                track.unsaved();
                continue;
            }
            send_state(&self.links.keeper, &self.backlog, &track.deployment, state);
        }
    }

    /// Gather what waits, let checks end, and save everything. Was the end asked for meanwhile?
    fn flush(&mut self, receiver: &Receiver<Message>) -> bool {
        let (start, mut is_over) = (Instant::now(), false);
        while start.elapsed() < SETTLE {
            while self.gather() {}
            if self.tracks.values().all(Track::is_settled) {
                break;
            }
            match receiver.recv_timeout(LANES_EVERY) {
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => is_over = true,
                Ok(Message::Flush(done)) => {
                    let _ = self.links.keeper.send(Keep::Flush(done));
                }
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        for track in self.tracks.values_mut() {
            if let Some(state) = track.save() {
                send_state(&self.links.keeper, &self.backlog, &track.deployment, state);
            }
        }
        is_over
    }
}

fn key_of(deployment: &Deployment) -> (String, String) {
    (deployment.tenant.clone(), deployment.name.clone())
}
