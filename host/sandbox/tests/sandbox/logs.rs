//! What guests log: tagged, bounded, at a bounded rate, and never mistaken for the host's own lines.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Request, hostile, xs};

/// Everything that was logged in this process.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// From now on.
    pub(crate) fn start() -> Self {
        static CAPTURED: OnceLock<Captured> = OnceLock::new();
        CAPTURED
            .get_or_init(|| {
                let captured = Self::default();
                tracing_subscriber::fmt()
                    .with_ansi(false)
                    .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
                    .with_writer(captured.clone())
                    .init();
                captured
            })
            .clone()
    }

    /// Lines of one stage.
    pub(crate) fn lines(&self, stage: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        let tag = format!("stage={stage}");
        String::from_utf8(bytes.clone())
            .unwrap()
            .lines()
            .filter(|l| l.contains(&tag))
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn named(behave: &str) -> Request {
    let mut request = hostile(behave);
    request.stage = format!("log-{behave}");
    request
}

#[tokio::test]
async fn a_flood_is_dropped_and_counted() {
    let log = Captured::start();
    let stage = named("log-flood").prepare().await.unwrap();
    stage.apply(&xs(&[1.0])).await.unwrap();
    let stats = stage.stats();
    // A burst of two seconds' worth, and what the call itself took.
    assert!((40..100).contains(&stats.log_lines), "{stats:?}");
    assert_eq!(stats.log_lines + stats.log_lines_dropped, 10_000);
    let lines = log.lines("log-log-flood");
    assert_eq!(lines.len() as u64, stats.log_lines);
    assert!(
        lines[0].contains("tenant=acme") && lines[0].contains("deployment=churn"),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].contains(" INFO ") && lines[0].contains("line 0"),
        "{}",
        lines[0]
    );

    // Two more lines pass a tenth of a second later, after a word on those that did not.
    tokio::time::sleep(std::time::Duration::from_millis(110)).await;
    stage.apply(&xs(&[1.0])).await.unwrap();
    let lines = log.lines("log-log-flood");
    // One word, or more if the flood itself was interrupted for long enough.
    let told: u64 = lines
        .iter()
        .filter(|line| line.contains("were dropped"))
        .filter_map(|line| {
            let (_, count) = line.split_once("dropped=")?;
            let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        })
        .sum();
    let dropped = stage.stats().log_lines_dropped;
    assert!(
        (stats.log_lines_dropped..=dropped).contains(&told),
        "{told}: {lines:?}"
    );
}

#[tokio::test]
async fn a_long_line_is_cut() {
    let log = Captured::start();
    let stage = named("long-line").prepare().await.unwrap();
    stage.apply(&xs(&[1.0])).await.unwrap();
    let lines = log.lines("log-long-line");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].len() < 4096 + 300, "{} bytes", lines[0].len());
    assert!(lines[0].contains('…'));
}

#[tokio::test]
async fn a_line_is_one_line() {
    let log = Captured::start();
    let stage = named("forged-line").prepare().await.unwrap();
    stage.apply(&xs(&[1.0])).await.unwrap();
    let lines = log.lines("log-forged-line");
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(r"first\n2026-01-01 ERROR root: forged\r\u{1b}[2Jgone"),
        "{}",
        lines[0]
    );
}
