//! `kill -9` between storing a notification and delivering it, and between delivering and writing down
//! that it was.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use caisson_alerts::Alerts;
use caisson_store::Store;

use crate::sink::{Answer, Sink};
use crate::support::{Fixture, RULE, accuracy, deliver, now, options, runtime, until, webhook};

const DIR: &str = "CAISSON_ALERTS_CRASH_DIR";
const URL: &str = "CAISSON_ALERTS_CRASH_URL";
const DELIVERS: &str = "CAISSON_ALERTS_CRASH_DELIVERS";

/// What the killed process does; in the test run itself, nothing.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let alerts = Alerts::open(Store::open(dir).unwrap(), options()).unwrap();
    alerts.put_rules("acme", RULE, now()).unwrap();
    let url = std::env::var(URL).unwrap();
    alerts.put_receiver("acme", webhook("hook", &url)).unwrap();
    alerts.observe("acme", &[accuracy(0.1, now())], now()).unwrap();
    println!("\nstored");
    if std::env::var(DELIVERS).is_ok() {
        runtime().block_on(alerts.run(std::future::pending()));
    }
    loop {
        std::thread::park();
    }
}

/// A process that has stored a notification.
fn spawn(dir: &Path, url: &str, delivers: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIR, dir)
        .env(URL, url)
        .stdout(Stdio::piped());
    if delivers {
        command.env(DELIVERS, "yes");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line == "stored"),
        "the process ended before it stored"
    );
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn kill(mut child: Child) {
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_was_stored_and_not_delivered_is_delivered_after_a_crash() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    kill(spawn(dir.path(), &sink.url(), false));
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
    let child = spawn(dir.path(), &sink.url(), true);
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
