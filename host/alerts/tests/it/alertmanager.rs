//! Alertmanager: a real one, from Debian's package, and what it is told of.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use caisson_alerts::{Options, SilenceSpec};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::sink::{Answer, Sink};
use crate::support::{Fixture, RULE, accuracy, deliver, now, observation, options, receiver, until};

/// Where the package has its templates, as its program knows it.
const TEMPLATES: &[u8] = b"/usr/share/prometheus/alertmanager";
const NEED: &str = "the tests of Alertmanager need Debian's package prometheus-alertmanager: \
    apt-get and dpkg-deb, and a mirror";

struct Alertmanager {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alertmanager {
    fn start() -> Self {
        let installed = installed();
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("config.yml"),
            "route: {receiver: none}\nreceivers: [{name: none}]\n",
        )
        .unwrap();
        let mut child = Command::new(installed.join("alertmanager"))
            .arg(format!(
                "--config.file={}",
                dir.path().join("config.yml").display()
            ))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .current_dir(&installed)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = said
            .by_ref()
            .find_map(|line| {
                Some(
                    line.split_once("msg=\"Listening on\" address=")?
                        .1
                        .trim()
                        .to_owned(),
                )
            })
            .expect("Alertmanager ended before it listened");
        // A full pipe would stop it.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            child,
            address,
            _dir: dir,
        }
    }

    /// The alerts that are active, or are not any more but still known.
    fn alerts(&self) -> Vec<Value> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /api/v2/alerts HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

/// The folder of the unpacked package; unpacked where it isn't yet, by one process at a time.
fn installed() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(tmp).unwrap();
    let lock = File::create(tmp.join("alertmanager.lock")).unwrap();
    lock.lock().unwrap();
    let dir = tmp.join("alertmanager");
    let program = dir.join("alertmanager");
    // Written last.
    if program.exists() {
        return dir;
    }
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    run(Command::new("apt-get")
        .args(["--quiet", "download", "prometheus-alertmanager"])
        .current_dir(&dir));
    let package = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .expect(NEED);
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(dir.join("root")));
    let templates = dir.join("root/usr/share/prometheus/alertmanager");
    for file in ["default.tmpl", "email.tmpl"] {
        fs::copy(templates.join(file), dir.join(file)).unwrap();
    }
    // Nothing is installed, so it finds its templates in the folder where it is started.
    let mut bytes = fs::read(dir.join("root/usr/bin/prometheus-alertmanager")).unwrap();
    let mut here = vec![b'/'; TEMPLATES.len()];
    here[0] = b'.';
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(TEMPLATES.len()).position(|w| w == TEMPLATES) {
        at += found;
        bytes[at..at + here.len()].copy_from_slice(&here);
    }
    let new = dir.join("alertmanager.new");
    fs::write(&new, bytes).unwrap();
    run(Command::new("chmod").arg("+x").arg(&new));
    fs::rename(new, program).unwrap();
    dir
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{NEED}: {:?}: {e}", command.get_program()));
    assert!(
        output.status.success(),
        "{NEED}: {command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn fixture(url: &str, resend: Duration) -> Fixture {
    let fixture = Fixture::with(Options { resend, ..options() });
    fixture.alerts.put_rules("acme", RULE, now()).unwrap();
    let spec = serde_json::json!({"name": "am", "alertmanager": {"url": url, "bearer_token": "T0K3N"}});
    fixture.alerts.put_receiver("acme", receiver(spec)).unwrap();
    fixture
}

fn time(alert: &Value, key: &str) -> Timestamp {
    alert[key].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_real_alertmanager_shows_what_fires_and_forgets_what_resolved() {
    let alertmanager = Alertmanager::start();
    let fixture = fixture(
        &format!("http://{}/", alertmanager.address),
        Duration::from_secs(3),
    );
    let at = now();
    let values = [accuracy(0.1, at), observation("accuracy", "fraud-é\"{}", 0.2, at)];
    fixture.alerts.observe("acme", &values, at).unwrap();
    deliver(&fixture.alerts, || {
        until("both are there", || alertmanager.alerts().len() == 2);
        let alerts = alertmanager.alerts();
        let alert = alerts
            .iter()
            .find(|a| a["labels"]["deployment"] == "churn")
            .unwrap();
        assert_eq!(alert["labels"]["alertname"], "accuracy-low");
        assert_eq!(alert["labels"]["severity"], "critical");
        assert_eq!(alert["labels"]["tenant"], "acme");
        assert_eq!(
            alert["annotations"]["reason"],
            "accuracy of churn is 0.1, below the threshold 0.85"
        );
        assert_eq!(
            alert["generatorURL"],
            "https://caisson.example.org/v1/monitors/churn"
        );
        assert_eq!(alert["status"]["state"], "active");
        assert_eq!(time(alert, "startsAt").as_second(), at.as_second());
        // It is told again, so it goes on firing beyond its first end.
        let end = time(alert, "endsAt");
        until("its end moves", || {
            alertmanager
                .alerts()
                .iter()
                .any(|a| a["labels"]["deployment"] == "churn" && time(a, "endsAt") > end)
        });
        std::thread::sleep(Duration::from_secs(13));
        assert_eq!(alertmanager.alerts().len(), 2);
        // One resolves, and the other doesn't.
        let later = now();
        fixture
            .alerts
            .observe("acme", &[accuracy(0.9, later)], later)
            .unwrap();
        until("one is gone", || alertmanager.alerts().len() == 1);
        std::thread::sleep(Duration::from_secs(3));
        let alerts = alertmanager.alerts();
        assert_eq!(alerts.len(), 1, "it came back");
        assert_eq!(alerts[0]["labels"]["deployment"], "fraud-é\"{}");
    });
    // Nobody tells it any more, so it takes the other as resolved.
    until("the other one is gone", || alertmanager.alerts().is_empty());
}

#[test]
fn after_a_restart_it_is_told_again_of_what_fires() {
    let sink = Sink::start();
    let fixture = fixture(&format!("http://{}", sink.address), Duration::from_secs(60));
    let values: Vec<_> = (0..100)
        .map(|i| observation("accuracy", &format!("d{i}"), 0.1, now()))
        .collect();
    fixture.alerts.observe("acme", &values, now()).unwrap();
    deliver(&fixture.alerts, || {
        sink.wait(100);
        until("all are told", || {
            fixture.alerts.receivers("acme")[0].waiting == 0
        });
    });
    // What it is told of first, one by one, may be told again together meanwhile.
    let before = sink.seen().len();
    let fixture = fixture.reopen(options());
    let requests = deliver(&fixture.alerts, || sink.wait(before + 2));
    let numbers: Vec<usize> = requests[before..]
        .iter()
        .map(|r| r.json().as_array().unwrap().len())
        .collect();
    assert_eq!(numbers, [64, 36]);
    for request in &requests {
        assert_eq!(request.line, "POST /api/v2/alerts HTTP/1.1");
        assert_eq!(request.headers["authorization"], "Bearer T0K3N");
        for alert in request.json().as_array().unwrap() {
            let ends_in = time(alert, "endsAt").duration_since(now());
            assert!(ends_in > SignedDuration::from_secs(120), "{alert}");
        }
    }
}

#[test]
fn what_is_silenced_isnt_told_again() {
    let sink = Sink::start();
    let fixture = fixture(&format!("http://{}", sink.address), Duration::from_millis(100));
    fixture
        .alerts
        .observe("acme", &[accuracy(0.1, now())], now())
        .unwrap();
    deliver(&fixture.alerts, || {
        sink.wait(5);
        let silence = SilenceSpec {
            matchers: vec!["team=churn".parse().unwrap()],
            from: now(),
            until: now() + SignedDuration::from_hours(1),
            author: "ada".to_owned(),
            comment: "known".to_owned(),
        };
        fixture.alerts.silence("acme", silence, now()).unwrap();
        // One may be on its way.
        std::thread::sleep(Duration::from_millis(500));
        let seen = sink.seen().len();
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(sink.seen().len(), seen);
    });
}

#[test]
fn an_end_is_never_overtaken_by_a_repetition() {
    // Each answer takes longer than the pause between repetitions.
    let sink = Sink::answering(|_, _| {
        std::thread::sleep(Duration::from_millis(50));
        Answer::Status(200, "")
    });
    let fixture = fixture(&format!("http://{}", sink.address), Duration::from_millis(10));
    deliver(&fixture.alerts, || {
        for round in 0..10 {
            for value in [0.1, 0.9] {
                fixture
                    .alerts
                    .observe("acme", &[accuracy(value, now())], now())
                    .unwrap();
                std::thread::sleep(Duration::from_millis(60 + 7 * round));
            }
        }
        until("all is told", || fixture.alerts.receivers("acme")[0].waiting == 0);
    });
    let mut ended: Option<Timestamp> = None;
    for request in sink.seen() {
        let alert = &request.json()[0];
        let (starts_at, ends_at) = (time(alert, "startsAt"), time(alert, "endsAt"));
        if let Some(ended) = ended {
            assert!(starts_at >= ended, "{alert} after an end at {ended}");
        }
        if alert["annotations"]["summary"]
            .as_str()
            .unwrap()
            .starts_with("[RESOLVED]")
        {
            ended = Some(ends_at);
        }
    }
    assert!(ended.is_some());
}
