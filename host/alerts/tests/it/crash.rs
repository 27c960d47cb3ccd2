//! `kill -9` between storing a notification and delivering it, and between delivering and writing down
//! that it was.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use caisson_alerts::Alerts;
use caisson_store::Store;

use crate::sink::{Answer, Sink};
use crate::support::{Fixture, RULE, accuracy, deliver, now, options, runtime, until, webhook};

const DIR: &str = "CAISSON_ALERTS_CRASH_DIR";
const URL: &str = "CAISSON_ALERTS_CRASH_URL";
const WORK: &str = "CAISSON_ALERTS_CRASH_WORK";

/// What the killed process does.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    /// Store a notification, and wait.
    Store,
    /// Store one, and deliver.
    Deliver,
    /// Deliver, and let the alert fire and resolve all the time.
    Flap,
}

/// The killed process; in the test run itself, nothing.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let alerts = Alerts::open(Store::open(dir).unwrap(), options()).unwrap();
    alerts.put_rules("acme", RULE, now()).unwrap();
    let url = std::env::var(URL).unwrap();
    alerts.put_receiver("acme", webhook("hook", &url)).unwrap();
    let (runtime, work) = (runtime(), std::env::var(WORK).unwrap());
    if work != "store" {
        runtime.spawn(alerts.clone().run(std::future::pending()));
    }
    let mut fires = alerts.alerts("acme", now()).iter().any(|a| a.phase.is_firing());
    loop {
        let value = if fires { 0.9 } else { 0.1 };
        let observed = alerts.observe("acme", &[accuracy(value, now())], now()).unwrap();
        assert_eq!(observed.fired + observed.resolved, 1);
        fires = !fires;
        println!("\nstored");
        match work.as_str() {
            // Not so fast that more wait than may wait.
            "flap" => std::thread::sleep(Duration::from_millis(3)),
            _ => std::thread::park(),
        }
    }
}

/// A process that has stored a notification, and how many it says it has.
fn spawn(dir: &Path, url: &str, work: Work) -> (Child, JoinHandle<usize>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIR, dir)
        .env(URL, url)
        .env(
            WORK,
            match work {
                Work::Store => "store",
                Work::Deliver => "deliver",
                Work::Flap => "flap",
            },
        )
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line == "stored"),
        "the process ended before it stored"
    );
    let stored = std::thread::spawn(move || 1 + lines.filter(|line| line == "stored").count());
    (child, stored)
}

/// With SIGKILL. Says how many notifications it had stored.
fn kill((mut child, stored): (Child, JoinHandle<usize>)) -> usize {
    child.kill().unwrap();
    child.wait().unwrap();
    stored.join().unwrap()
}

#[test]
fn processes_that_are_killed_again_and_again_lose_nothing() {
    const ROUNDS: usize = 5;
    let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let mut stored = 0;
    for round in 0..ROUNDS {
        let child = spawn(dir.path(), &sink.url(), Work::Flap);
        std::thread::sleep(Duration::from_millis(40 + 97 * round as u64));
        stored += kill(child);
    }
    let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options()).unwrap();
    deliver(&alerts, || {
        until("nothing waits", || alerts.receivers("acme")[0].waiting == 0);
    });
    let mut ids = HashSet::new();
    let statuses: Vec<String> = sink
        .seen()
        .iter()
        .filter(|request| ids.insert(request.id()))
        .map(|request| request.status())
        .collect();
    // Each killed process may have stored one more than it came to say.
    let told = statuses.len();
    assert!((stored..=stored + ROUNDS).contains(&told), "{told} of {stored}");
    assert!(stored > 2 * ROUNDS, "the processes hardly did anything: {stored}");
    for (i, status) in statuses.iter().enumerate() {
        assert_eq!(status, if i % 2 == 0 { "firing" } else { "resolved" }, "{i}");
    }
    println!("{stored} stored, {told} told, in {} requests", sink.seen().len());
}

#[test]
fn what_was_stored_and_not_delivered_is_delivered_after_a_crash() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    kill(spawn(dir.path(), &sink.url(), Work::Store));
    assert_eq!(sink.seen().len(), 0);
    let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options()).unwrap();
    assert!(alerts.alerts("acme", now())[0].phase.is_firing());
    assert_eq!(alerts.receivers("acme")[0].waiting, 1);
    // The same value again is nothing new.
    let again = alerts.alerts("acme", now())[0].clone();
    alerts.observe("acme", &[accuracy(0.1, now())], now()).unwrap();
    let requests = deliver(&alerts, || {
        let requests = sink.wait(1);
        until("it is off the list", || alerts.receivers("acme")[0].waiting == 0);
        requests
    });
    assert_eq!(requests[0].json()["alert"], again.id.as_str());
    drop(alerts);
    let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options()).unwrap();
    assert_eq!(alerts.receivers("acme")[0].waiting, 0);
    assert_eq!(sink.seen().len(), 1);
}

#[test]
fn what_was_delivered_and_not_written_down_is_delivered_again_with_its_id() {
    let dir = tempfile::tempdir().unwrap();
    // The first never gets an answer.
    let sink = Sink::answering(|_, before| match before {
        0 => Answer::Hang,
        _ => Answer::Status(200, ""),
    });
    let child = spawn(dir.path(), &sink.url(), Work::Deliver);
    sink.wait(1);
    kill(child);
    let alerts = Alerts::open(Store::open(dir.path()).unwrap(), options()).unwrap();
    let requests = deliver(&alerts, || sink.wait(2));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(
        requests[0].headers["caisson-delivery"],
        requests[1].headers["caisson-delivery"]
    );
}

#[test]
fn a_runtime_that_is_dropped_loses_nothing() {
    let fixture = Fixture::new();
    let sink = Sink::answering(|_, before| match before {
        0 => Answer::Hang,
        _ => Answer::Status(200, ""),
    });
    fixture.acme(&sink.url());
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    let runtime = runtime();
    let task = runtime.spawn(fixture.alerts.clone().run(std::future::pending()));
    sink.wait(1);
    drop(runtime);
    drop(task);
    let requests = deliver(&fixture.alerts, || sink.wait(2));
    assert_eq!(requests[0].id(), requests[1].id());
}
