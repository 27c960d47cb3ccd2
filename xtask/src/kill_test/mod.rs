//! `cargo xtask kill-test`: is everything there that was acknowledged, however the server ends?
//!
//! A server with keys and two tenants; clients that upload, register, move aliases, deploy, roll back,
//! make and revoke keys, and change settings; SIGKILL at a random moment; a start on the same folder; and
//! a look at everything. What was acknowledged must be there, and of what was under way all or nothing.
//! The disk is not taken away: that writes are flushed before they are acknowledged is the tests' of
//! `caisson-store` to show.

#![expect(
    clippy::indexing_slicing,
    reason = "what is indexed is JSON: a key that isn't there reads as null"
)]

mod belief;
mod blobs;
mod check;
mod client;
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::server::{Folder, Keys, Server};
use crate::{root, say};
use check::{Look, Unanswered};
use client::{Client, DEPLOYED_PLUGIN, Files, Stop, Target};
use random::Random;

/// Clients: enough for races, few enough that two cores answer each often before a kill.
const CLIENTS: u64 = 4;
/// Where everything is but the tenants that clients make.
const HOMES: [&str; 2] = ["acme", "globex"];
/// The longest time from the clients' start to the kill.
const KILL_AFTER_MS_MAX: u64 = 800;

/// Kill a server `kills` times.
pub(crate) fn run(program: &Path, kills: u64, seed: Option<u64>) -> Result<()> {
    let seed = seed.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos().into())
    });
    eprintln!("• kill test: {kills} kills, --seed {seed}");
    let folder = Folder::new("kill-test")?;
    let mut test = Test::new(program, &folder, seed)?;
    let outcome = test.run(kills);
    test.report();
    if let Err(error) = outcome {
        let log = folder.path().join("server.log");
        folder.keep();
        return Err(error.context(format!(
            "after kill {} of --seed {seed}; the data folder is {}, the servers' log {}",
            test.kills,
            folder.data().display(),
            log.display()
        )));
    }
    Ok(())
}

struct Test<'a> {
    program: &'a Path,
    folder: &'a Folder,
    data: PathBuf,
    random: Random,
    operator: String,
    files: Files,
    clients: Vec<Client>,
    /// Every acknowledged request since the first start.
    acknowledged: Vec<String>,
    kills: u64,
    unanswered: Unanswered,
    starts: Vec<Duration>,
    blobs: usize,
    began: Instant,
}

impl<'a> Test<'a> {
    fn new(program: &'a Path, folder: &'a Folder, seed: u64) -> Result<Self> {
        let mut random = Random::new(seed, 1000);
        let operator = random.key();
        let files = files()?;
        let mut test = Self {
            program,
            folder,
            data: folder.data(),
            random,
            operator,
            files,
            clients: Vec::new(),
            acknowledged: Vec::new(),
            kills: 0,
            unanswered: Unanswered::default(),
            starts: Vec::new(),
            blobs: 0,
            began: Instant::now(),
        };
        let server = test.start()?;
        let operator = server.api().with_key(&test.operator);
        let mut admins = BTreeMap::new();
        for home in HOMES {
            operator.post_json("/v1/tenants", &json!({ "id": home }))?.ok()?;
            let made = operator.post_json(
                &format!("/v1/tenants/{home}/keys"),
                &json!({"name": "admin", "role": "admin"}),
            )?;
            let key = made.ok()?["key"].as_str().unwrap_or_default().to_owned();
            client::prepare(&server.api().with_key(&key), &test.files)?;
            admins.insert(home, key);
        }
        if let Some(key) = admins.values().next() {
            client::warm(&server.api().with_key(key), &test.files)?;
        }
        for (index, home) in (0..CLIENTS).zip(HOMES.iter().cycle()) {
            let key = admins.get(home).cloned().unwrap_or_default();
            let first = (index as usize) < HOMES.len();
            test.clients
                .push(Client::new(index, seed, (*home).to_owned(), key, first));
        }
        server.kill()?;
        Ok(test)
    }

    fn start(&self) -> Result<Server> {
        // Without a drain: what is killed needs none, and the last one is told to stop.
        let keys = Keys::Operator(self.operator.clone());
        Server::start(self.program, self.folder, &keys, &["--drain-seconds", "0"])
    }

    fn run(&mut self, kills: u64) -> Result<()> {
        for _ in 0..kills {
            self.round()?;
            self.kills += 1;
            self.progress(kills);
        }
        let server = self.start()?;
        self.look(&server, None, true)?;
        server.terminate()?;
        let status = server.wait()?;
        ensure!(status.success(), "the last server ended with {status}");
        let verified = std::process::Command::new(self.program)
            .args(["audit", "verify", "--data-dir"])
            .arg(&self.data)
            .output()?;
        ensure!(
            verified.status.success(),
            "caisson audit verify --data-dir: {}{}",
            String::from_utf8_lossy(&verified.stdout),
            String::from_utf8_lossy(&verified.stderr)
        );
        Ok(())
    }

    /// Start, let the clients work, kill, start, look.
    fn round(&mut self) -> Result<()> {
        let server = self.start()?;
        server.wait_until_ready()?;
        let from = self.looking(&server).audit_time()?;
        let wait = Duration::from_millis(self.random.below(KILL_AFTER_MS_MAX + 1));
        self.work(server, wait)?;
        let blobs = blobs::check_all(&self.data)?;
        ensure!(
            blobs >= self.blobs,
            "there were {} blobs, and {blobs} are left",
            self.blobs
        );
        self.blobs = blobs;
        let server = self.start()?;
        self.look(&server, from.as_deref(), false)?;
        server.kill()
    }

    fn work(&mut self, server: Server, wait: Duration) -> Result<()> {
        let killed = AtomicBool::new(false);
        let target = Target {
            api: server.api(),
            operator: &self.operator,
            files: &self.files,
            killed: &killed,
        };
        let stops: Vec<Stop> = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .clients
                .iter_mut()
                .map(|client| scope.spawn(|| client.run(&target)))
                .collect();
            std::thread::sleep(wait);
            killed.store(true, Ordering::SeqCst);
            let dead = server.kill();
            let stops = running.into_iter().map(|thread| match thread.join() {
                Ok(stop) => stop,
                Err(_) => Stop::Finding(anyhow::anyhow!("a client panicked")),
            });
            let stops = stops.collect();
            dead.map(|()| stops)
        })?;
        for stop in stops {
            if let Stop::Finding(error) = stop {
                return Err(error);
            }
        }
        Ok(())
    }

    fn looking(&self, server: &Server) -> Look<'_> {
        let api = server.api();
        Look {
            operator: api.with_key(&self.operator),
            api,
            data: &self.data,
        }
    }

    /// Check everything that a server shows after a start.
    fn look(&mut self, server: &Server, from: Option<&str>, everything: bool) -> Result<()> {
        self.starts.push(server.wait_until_ready()?);
        let mut clients = std::mem::take(&mut self.clients);
        let mut unanswered = self.unanswered;
        let outcome = self.look_at(
            &self.looking(server),
            &mut clients,
            &mut unanswered,
            from,
            everything,
        );
        for client in &mut clients {
            self.acknowledged.append(&mut client.audited);
        }
        (self.clients, self.unanswered) = (clients, unanswered);
        outcome
    }

    fn look_at(
        &self,
        look: &Look<'_>,
        clients: &mut [Client],
        unanswered: &mut Unanswered,
        from: Option<&str>,
        everything: bool,
    ) -> Result<()> {
        let ready = look.operator.get("/v2/health/ready")?.ok()?;
        ensure!(
            ready["deployments"].is_null(),
            "not every deployment was loaded: {ready}"
        );
        let earlier = self.acknowledged.iter().filter(|_| everything);
        look.audit(
            from,
            earlier.chain(clients.iter().flat_map(|client| &client.audited)),
        )?;
        for client in clients.iter_mut() {
            look.at_own(client, unanswered)?;
            look.predictions(client)?;
            if everything {
                look.at_everything(client)?;
            }
        }
        for home in HOMES {
            let mut of_home: Vec<&mut Client> =
                clients.iter_mut().filter(|client| client.home == home).collect();
            look.at_shared(&mut of_home)?;
        }
        Ok(())
    }

    fn progress(&self, kills: u64) {
        let every = (kills / 10).max(1);
        if self.kills.is_multiple_of(every) {
            eprintln!(
                "    kill {} of {kills}: {} acknowledged changes are all there ({})",
                self.kills,
                self.acknowledged.len(),
                say::duration(self.began)
            );
        }
    }

    fn report(&mut self) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for client in &self.clients {
            for (what, count) in &client.counts {
                *counts.entry(what).or_default() += count;
            }
        }
        self.starts.sort_unstable();
        let start = |at: usize| {
            self.starts
                .get(at)
                .map_or_else(String::new, |took| format!("{} ms", took.as_millis()))
        };
        let kinds: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        eprintln!(
            "  {} kills in {}; acknowledged changes: {} ({}); of those under way {} were made whole and {} not at all; \
             {} blobs; ready after {} (median), {} (longest)",
            self.kills,
            say::duration(self.began),
            counts.values().sum::<u64>(),
            kinds.join(", "),
            self.unanswered.made,
            self.unanswered.lost,
            self.blobs,
            start(self.starts.len() / 2),
            start(self.starts.len().saturating_sub(1)),
        );
    }
}

/// Components, and the example's model.
fn files() -> Result<Files> {
    let mut plugins = Vec::new();
    for folder in ["target/plugins", "target/test-guests"] {
        let folder = root().join(folder);
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("{}: run `cargo xtask guests` first", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            // This one's name is refused, which is what it is for.
            if path.extension().is_none_or(|extension| extension != "wasm")
                || path.file_stem().is_some_and(|stem| stem == "hostile-name")
            {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            plugins.push((blobs::digest(&bytes), bytes));
        }
    }
    // The small ones first: they are what most uploads take. The order of a folder is no order.
    plugins.sort_by_key(|(digest, bytes): &(String, Vec<u8>)| (bytes.len(), digest.clone()));
    if plugins.is_empty() {
        bail!("there are no components: run `cargo xtask guests` first");
    }
    let read = |path: &str| std::fs::read(root().join(path)).with_context(|| path.to_owned());
    Ok(Files {
        plugins,
        model: read("examples/cdnow/model.onnx")?,
        deployed: read(&format!("target/test-guests/{DEPLOYED_PLUGIN}.wasm"))?,
    })
}
