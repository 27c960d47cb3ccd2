//! A process that writes and acknowledges until it is killed, and the check of what it left.
//!
//! Each of four threads commits its generations 0, 1, 2, …, one by one. A generation is three
//! records, `<thread>/left`, `<thread>/right` and `<thread>/history/<generation>`, in one commit,
//! and now and then a blob that the records name. After the commit the process prints
//! `ACK <thread> <generation>`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use caisson_store::{Commit, Digest, Expect, Op, Store};

pub(crate) const THREADS: u64 = 4;
const DIR: &str = "CAISSON_STORE_TEST_DIR";

/// Start the writing process on a data folder.
pub(crate) fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "workload::child_process", "--nocapture"])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kill the process (SIGKILL); the newest generation that each thread had acknowledged.
pub(crate) fn kill(mut child: Child) -> BTreeMap<u64, u64> {
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.contains("panicked"),
        "the writing process failed: {stderr}"
    );
    acknowledged(&String::from_utf8_lossy(&output.stdout))
}

fn acknowledged(stdout: &str) -> BTreeMap<u64, u64> {
    let mut newest = BTreeMap::new();
    // The last line may be cut off by the kill.
    for line in stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        // The test harness may have written before it on the same line.
        if let Some((_, ack)) = line.trim().split_once("ACK ") {
            let (thread, generation) = ack.split_once(' ').unwrap();
            newest.insert(thread.parse().unwrap(), generation.parse().unwrap());
        }
    }
    newest
}

/// Wait until the process has opened the store.
pub(crate) fn wait_until_open(child: &mut Child) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("ACK ")),
        "the process ended before it wrote anything"
    );
}

/// Everything acknowledged is there, and nothing is there in part. Newest generation a thread.
pub(crate) fn verify(store: &Store, acknowledged: &BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
    let metadata = store.metadata();
    let mut newest = BTreeMap::new();
    for thread in 0..THREADS {
        let left = metadata.get(key(thread, "left").as_bytes()).unwrap();
        let right = metadata.get(key(thread, "right").as_bytes()).unwrap();
        assert_eq!(left, right, "thread {thread}: a commit is there in part");
        let generations = match &left {
            Some(value) => generation_of(value) + 1,
            None => 0,
        };
        if let Some(acknowledged) = acknowledged.get(&thread) {
            assert!(
                generations > *acknowledged,
                "thread {thread}: {acknowledged} was acknowledged, and there are {generations}"
            );
        }
        for generation in 0..generations {
            let value = metadata
                .get(history(thread, generation).as_bytes())
                .unwrap()
                .unwrap_or_else(|| panic!("thread {thread}: generation {generation} is missing"));
            assert_eq!(value, value_of(thread, generation));
            if let Some(blob) = blob_of(thread, generation) {
                assert_eq!(store.blobs().read(&Digest::of(&blob), u64::MAX).unwrap(), blob);
            }
        }
        let next = metadata.get(history(thread, generations).as_bytes()).unwrap();
        assert_eq!(next, None, "thread {thread}: a commit is there in part");
        if generations > 0 {
            newest.insert(thread, generations - 1);
        }
    }
    newest
}

fn key(thread: u64, name: &str) -> String {
    format!("{thread}/{name}")
}

fn history(thread: u64, generation: u64) -> String {
    format!("{thread}/history/{generation:08}")
}

/// From tens of bytes to tens of kilobytes.
fn value_of(thread: u64, generation: u64) -> Vec<u8> {
    let length = 40
        + (thread * 7919 + generation * 104_729) % 997 * if generation.is_multiple_of(13) { 40 } else { 1 };
    let mut value = format!("{generation:020}").into_bytes();
    if let Some(blob) = blob_of(thread, generation) {
        value.extend_from_slice(Digest::of(&blob).to_string().as_bytes());
    }
    let fill = (0..length).map(|i| (thread + generation * 31 + i * i) as u8);
    value.extend(fill);
    value
}

fn generation_of(value: &[u8]) -> u64 {
    std::str::from_utf8(&value[..20]).unwrap().parse().unwrap()
}

fn blob_of(thread: u64, generation: u64) -> Option<Vec<u8>> {
    generation.is_multiple_of(5).then(|| {
        format!("blob of {thread} {generation} ")
            .repeat(5000)
            .into_bytes()
    })
}

fn write_generation(store: &Store, thread: u64, generation: u64) {
    if let Some(blob) = blob_of(thread, generation) {
        store.blobs().put(&blob).unwrap();
    }
    let value = value_of(thread, generation);
    let expect = match generation {
        0 => Expect::Absent,
        _ => Expect::Value(value_of(thread, generation - 1)),
    };
    let outcome = store
        .metadata()
        .commit(&[
            Op::put(key(thread, "left"), expect.clone(), value.clone()),
            Op::put(history(thread, generation), Expect::Absent, value.clone()),
            Op::put(key(thread, "right"), expect, value),
        ])
        .unwrap();
    assert_eq!(outcome, Commit::Done);
    // One write of one line: what is seen of it was acknowledged.
    let line = format!("\nACK {thread} {generation}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Not a test of its own: the process that [`spawn`] starts.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn child_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = Store::open(dir).unwrap();
    let newest = verify(&store, &BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, first) = (&store, newest.get(&thread).map_or(0, |n| n + 1));
            scope.spawn(move || {
                for generation in first.. {
                    write_generation(store, thread, generation);
                }
            });
        }
        // Should the parent die without killing us.
        std::thread::sleep(Duration::from_secs(60));
        std::process::exit(1);
    });
}
