//! A server that runs and is to be measured: Caisson, or a peer.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::case::{Case, Encoding};
use super::fixture::{Fixture, Form, Request};
use crate::http::Api;
use crate::process;
use crate::site::Site;

/// A peer that has not answered by then does not come: Python servers import for half a minute on a busy
/// machine.
const START_MAX: Duration = Duration::from_secs(120);
/// What a peer gets to end by itself.
const END_MAX: Duration = Duration::from_secs(5);

/// A server, started and answering.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// What it is, with versions.
    pub(crate) version: String,
    pub(crate) form: Form,
    /// Whether it takes binary tensors.
    pub(crate) binary: bool,
    pub(crate) api: Api,
    pub(crate) pid: u32,
    /// From the start of the process to the first right answer.
    pub(crate) start: Duration,
    /// Ends the server when dropped.
    #[expect(dead_code, reason = "held for as long as the server is to run")]
    pub(crate) running: Running,
}

/// What ends a server.
pub(crate) enum Running {
    Caisson(#[expect(dead_code, reason = "held")] Box<Site>),
    Peer(#[expect(dead_code, reason = "held")] Process),
}

impl Contender {
    /// A case's request, with the key where there is one.
    pub(crate) fn request(&self, fixture: &Fixture, case: Case) -> Request {
        let mut request = fixture.request(self.form, case);
        if let Some(key) = self.api.key() {
            request.headers.push(("Authorization", format!("Bearer {key}")));
        }
        request
    }

    /// Can it answer this case, and is the answer right? The error says why not.
    pub(crate) fn check(&self, fixture: &Fixture, case: Case) -> Result<()> {
        ensure!(
            self.binary || case.encoding == Encoding::Json,
            "it takes JSON alone"
        );
        ask_and_check(&self.api, fixture, self.form, case)
    }

    /// Does it fill what is missing?
    pub(crate) fn check_gap(&self, fixture: &Fixture, encoding: Encoding) -> Result<()> {
        let answer = ask(&self.api, &fixture.gap_request(self.form, encoding))?;
        fixture.check_gap(self.form, &answer)
    }
}

/// Send a case's request once: the error says what is wrong with the answer.
pub(crate) fn ask_and_check(api: &Api, fixture: &Fixture, form: Form, case: Case) -> Result<()> {
    let answer = ask(api, &fixture.request(form, case))?;
    fixture.check(form, case, &answer)
}

/// The answer to a request, if it is a success.
fn ask(api: &Api, request: &Request) -> Result<crate::http::Bytes> {
    /// Of what a server says of a refusal.
    const SHOWN_MAX: usize = 160;
    let answer = api.exchange(&request.path, &request.headers, &request.body)?;
    if answer.status != 200 {
        let text: String = String::from_utf8_lossy(&answer.body)
            .chars()
            .take(SHOWN_MAX)
            .collect();
        bail!("HTTP {}: {}", answer.status, text.replace('\n', " "));
    }
    Ok(answer)
}

/// A peer's process; what it starts ends with it.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Wait for its first right answer: how long since this start.
    pub(crate) fn wait_until_it_answers(
        &mut self,
        started: Instant,
        fixture: &Fixture,
        form: Form,
        api: &Api,
    ) -> Result<Duration> {
        loop {
            let Err(why) = ask_and_check(api, fixture, form, Case::json(1, 1)) else {
                return Ok(started.elapsed());
            };
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended with {status}");
            }
            ensure!(
                started.elapsed() < START_MAX,
                "no right answer in {} s: {why:#}",
                START_MAX.as_secs()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // All of them: a worker may outlive its parent.
        let tree = process::tree(self.0.id());
        signal("-TERM", &tree);
        let asked = Instant::now();
        while asked.elapsed() < END_MAX && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        signal("-KILL", &tree);
        let _ = self.0.wait();
    }
}

fn signal(signal: &str, processes: &BTreeSet<u32>) {
    let _ = Command::new("kill")
        .arg(signal)
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

/// Ports that nobody listens on now, one after another: some peers want several in a row.
pub(crate) fn free_ports(count: u16) -> Result<u16> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let first = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let Some(last) = first.checked_add(count - 1) else {
            continue;
        };
        let all: Result<Vec<_>, _> = (first..=last)
            .map(|port| TcpListener::bind(("127.0.0.1", port)))
            .collect();
        if all.is_ok() {
            return Ok(first);
        }
    }
    bail!("there are no {count} free ports in a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_ends_with_all_that_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        let log = tempfile::NamedTempFile::new().unwrap();
        let process = Process::start(command, log.path()).unwrap();
        let begin = Instant::now();
        while process::tree(process.pid()).len() < 3 && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let tree = process::tree(process.pid());
        assert_eq!(tree.len(), 3, "the shell and its two children");
        drop(process);
        for pid in tree {
            // A zombie that init has not taken yet has no memory.
            let gone = || process::memory(pid).is_err();
            while !gone() && begin.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(gone(), "{pid}");
        }
    }

    #[test]
    fn ports_are_free() {
        let first = free_ports(3).unwrap();
        for port in first..first + 3 {
            TcpListener::bind(("127.0.0.1", port)).unwrap();
        }
    }
}
