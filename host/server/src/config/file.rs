//! The configuration file: one TOML document, every key optional, every unknown key an error.
//!
//! [`parse`] reports every problem of a file together, each with its key, line and column, because a
//! person who fixes one at a time restarts a server once for each. After a problem its key is
//! blanked out and the rest is read again.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use caisson_access::Quotas;
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

/// Bytes of a configuration file. A complete one has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Problems that are reported of one file: past that it is another kind of file.
const PROBLEMS_MAX: usize = 50;

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) storage: Storage,
    pub(crate) models: Models,
    pub(crate) log: Log,
    pub(crate) tracing: Tracing,
    pub(crate) audit: Audit,
    pub(crate) alerts: Alerts,
    pub(crate) predictions: PredictionLog,
    pub(crate) performance: Performance,
    /// What a tenant may use that has no quotas of its own.
    pub(crate) quotas: Quotas,
}

/// `[server]`: the port, starting and stopping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: Option<SocketAddr>,
    /// Where there is gRPC alone, besides `listen`, where there is both.
    pub(crate) grpc_listen: Option<SocketAddr>,
    /// Bytes of a gRPC message with tensors.
    pub(crate) grpc_message_bytes: Option<u64>,
    pub(crate) allow_remote: Option<bool>,
    pub(crate) dev: Option<bool>,
    pub(crate) drain_seconds: Option<u64>,
    pub(crate) grace_seconds: Option<u64>,
    pub(crate) ready: Option<ReadyPolicy>,
    pub(crate) connections_per_peer_max: Option<usize>,
    pub(crate) write_timeout_seconds: Option<u64>,
}

/// `[storage]`: what is kept, and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Storage {
    pub(crate) data_dir: Option<PathBuf>,
    /// Where plugins, models and baselines are: in the data folder, or `s3://BUCKET/PREFIX`.
    pub(crate) blobs: Option<String>,
    pub(crate) s3: S3,
}

/// `[storage.s3]`. Credentials come from the environment (`AWS_ACCESS_KEY_ID` and so on), so that no
/// file has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3 {
    /// The server, where it isn't Amazon's.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// May the endpoint be `http://`?
    pub(crate) allow_http: bool,
    /// Bytes of local copies.
    pub(crate) cache_bytes: Option<u64>,
}

/// `[audit]`: how much of the log is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// Bytes beyond which the oldest segments are removed.
    pub(crate) max_bytes: Option<u64>,
    /// Days after which segments are removed.
    pub(crate) max_days: Option<u64>,
}

/// `[alerts]`: when rules are evaluated, and where receivers may be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerts {
    /// Addresses that aren't public and that receivers may have all the same: `10.2.0.0/16`,
    /// `10.2.3.4:9093`.
    pub(crate) allow: Vec<String>,
    /// Certificates (PEM) that receivers' TLS trusts beside those of the machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// Put before links in notifications: `https://caisson.example.org`.
    pub(crate) base_url: Option<String>,
    /// How often rules are compared with what was measured.
    pub(crate) interval_seconds: Option<u64>,
}

/// `[predictions]`: what the logs of predictions may take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PredictionLog {
    /// Bytes of rows that wait in memory to be written.
    pub(crate) buffer_bytes: Option<usize>,
}

/// `[performance]`: when deployments with ground truth are looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Performance {
    /// How often it is told how they do.
    pub(crate) interval_seconds: Option<u64>,
}

/// `[models]`: ONNX Runtime.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    pub(crate) onnxruntime: Option<PathBuf>,
    pub(crate) provider: Option<Provider>,
    pub(crate) fallback_to_cpu: Option<bool>,
    /// Threads within one operator.
    pub(crate) intra_op_threads: Option<usize>,
    /// Do they spin while they wait?
    pub(crate) spinning: Option<bool>,
    /// What becomes of the memory that runs work in.
    pub(crate) arena: Option<Arena>,
    /// Runs of a model at the same time.
    pub(crate) sessions: Option<usize>,
    /// Runs that wait for one, past which a run is refused.
    pub(crate) waiting_max: Option<usize>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: Option<LogFormat>,
    pub(crate) filter: Option<String>,
}

/// `[tracing]`: where traces of requests go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tracing {
    /// The collector, `http://127.0.0.1:4318`; no traces without one.
    pub(crate) otlp_endpoint: Option<String>,
    /// The share of requests that are traced among those that bring no trace of their caller.
    pub(crate) sample: Option<f64>,
}

/// When a server whose deployments can't all be loaded is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadyPolicy {
    /// Once each deployment is loaded or has failed: one tenant's fault keeps no one else waiting.
    #[default]
    Settled,
    /// Only when every deployment is loaded.
    All,
}

/// What becomes of the memory that a model's runs work in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arena {
    /// Kept for the next run.
    #[default]
    Keep,
    /// Given back after a run that needed more than the first.
    Shrink,
    /// None: tensor by tensor from the system.
    Off,
}

/// Where models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// On the processor.
    #[default]
    Cpu,
    /// On an NVIDIA GPU.
    Cuda,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The file.
    pub(crate) file: PathBuf,
    /// Line, from 1; 0 where the problem is the file as a whole.
    pub(crate) line: usize,
    /// Column, from 1; 0 likewise.
    pub(crate) column: usize,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What was read: the text, what it says, and what of it can't be understood.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) text: String,
    /// Without what has a problem.
    pub(crate) file: File,
    /// In the order of the lines.
    pub(crate) problems: Vec<Problem>,
}

/// Read a configuration file.
pub(crate) fn read(path: &Path) -> Read {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(message) => {
            let problem = Problem {
                file: path.to_owned(),
                line: 0,
                column: 0,
                message,
            };
            return Read {
                problems: vec![problem],
                ..Read::default()
            };
        }
    };
    let (file, problems) = parse(path, &text);
    Read { text, file, problems }
}

fn text_of(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!(
            "it has {length} bytes; a configuration has at most {FILE_BYTES_MAX}"
        ));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// Read the text of a configuration file; `path` is for messages. What has a problem is left out of the
/// file, so that the rest can be checked further.
pub(crate) fn parse(path: &Path, text: &str) -> (File, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut rest = text.to_owned();
    let mut file = File::default();
    while problems.len() < PROBLEMS_MAX {
        let error = match toml::from_str::<File>(&rest) {
            Ok(read) => {
                file = read;
                break;
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let (line, column) = position(text, span.start);
        problems.push(Problem {
            file: path.to_owned(),
            line,
            column,
            message: explained(error.message(), key_at(text, span.start)),
        });
        // A file that isn't TOML has one problem: what comes after it can't be told.
        if toml::from_str::<toml::Table>(&rest).is_err() || !blank(&mut rest, &span) {
            break;
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    (file, problems)
}

/// What is wrong with a key, in the words of who writes the file and not of who wrote the reader.
fn explained(message: &str, key: Option<String>) -> String {
    let message = message.trim().replace('\n', " ");
    let mut message = match message.as_str() {
        "invalid socket address syntax" => {
            "this is no address and port; write ADDRESS:PORT, such as \"127.0.0.1:8080\"".to_owned()
        }
        _ => message,
    };
    for (theirs, ours) in [
        ("expected u64", "expected a whole number from 0"),
        ("expected usize", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a text"),
        ("expected a string", "expected a text"),
        ("expected a sequence", "expected a list"),
    ] {
        message = message.replace(theirs, ours);
    }
    match key {
        Some(key) if !message.starts_with("unknown field") => format!("{key}: {message}"),
        _ => message,
    }
}

/// The key, such as `server.listen`, whose value begins at a byte.
fn key_at(text: &str, offset: usize) -> Option<String> {
    fn within(table: &DeTable<'_>, offset: usize) -> Option<String> {
        table.iter().find_map(|(name, value)| {
            if value.span().start == offset {
                return Some(name.get_ref().to_string());
            }
            let inner = match value.get_ref() {
                DeValue::Table(table) => within(table, offset),
                DeValue::Array(list) => list
                    .iter()
                    .any(|item| item.span().start == offset)
                    .then(String::new),
                _ => None,
            }?;
            Some(match inner.is_empty() {
                true => name.get_ref().to_string(),
                false => format!("{}.{inner}", name.get_ref()),
            })
        })
    }
    within(DeTable::parse(text).ok()?.get_ref(), offset)
}

/// Where a file sets a key such as `server.listen`, from 1; none where it doesn't.
pub(crate) fn place_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
        if parts.peek().is_none() {
            return Some(position(text, name.span().start));
        }
        let DeValue::Table(inner) = value.get_ref() else {
            return None;
        };
        table = inner;
    }
    None
}

/// Line and column of a byte, from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Replace the lines that hold a span by spaces, so that later positions stay right; an unknown
/// table goes with its keys. False if nothing was left to replace.
fn blank(text: &mut String, span: &Range<usize>) -> bool {
    let start = text
        .get(..span.start)
        .and_then(|t| t.rfind('\n'))
        .map_or(0, |i| i + 1);
    let from = span.end.max(span.start);
    let mut end = text
        .get(from..)
        .and_then(|t| t.find('\n'))
        .map_or(text.len(), |i| from + i);
    let is_header = text
        .get(start..end)
        .is_some_and(|line| line.trim_start().starts_with('['));
    if is_header {
        end = text
            .get(end..)
            .and_then(|t| t.find("\n["))
            .map_or(text.len(), |i| end + i);
    }
    let Some(lines) = text.get(start..end) else {
        return false;
    };
    let blanked: String = lines
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    let changed = blanked != lines;
    text.replace_range(start..end, &blanked);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(usize, usize, String)> {
        let (_, problems) = parse(Path::new("caisson.toml"), text);
        problems
            .into_iter()
            .map(|p| (p.line, p.column, p.message))
            .collect()
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let found = problems(
            "[server]\nlisten = \"here\"\ndrain_seconds = -1\nlistn = 1\n\n[storgae]\ndata_dir = \"x\"\n\n[models]\nprovider = \"tpu\"\n",
        );
        let lines: Vec<usize> = found.iter().map(|p| p.0).collect();
        for line in [2, 3, 4, 6, 10] {
            assert!(lines.contains(&line), "line {line}: {found:?}");
        }
        let text = format!("{found:?}");
        assert!(
            text.contains("listn") && text.contains("storgae") && text.contains("tpu"),
            "{text}"
        );
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(lines.is_sorted(), "{found:?}");
        assert!(
            text.contains("server.listen: this is no address and port; write ADDRESS:PORT")
                && text.contains("server.drain_seconds: ")
                && text.contains("expected a whole number from 0"),
            "{text}"
        );
    }

    #[test]
    fn what_is_right_of_a_file_with_problems_is_read() {
        let text =
            "[server]\nlisten = \"here\"\ndrain_seconds = 9\n[alerts]\nallow = [1]\ninterval_seconds = 7\n";
        let (file, problems) = parse(Path::new("x"), text);
        assert_eq!(file.server.drain_seconds, Some(9));
        assert_eq!(file.alerts.interval_seconds, Some(7));
        assert!(problems[1].message.starts_with("alerts.allow: "), "{problems:?}");
    }

    #[test]
    fn text_that_is_not_toml_is_one_problem_with_its_place() {
        let found = problems("[server]\nlisten = = 1\nx = 2\n");
        assert_eq!((found.len(), found[0].0), (1, 2), "{found:?}");
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let (file, problems) = parse(Path::new("x"), "");
        assert_eq!((file, problems), (File::default(), Vec::new()));
    }

    #[test]
    fn keys_are_found_where_they_are_set() {
        let text = "[server]\n  listen = \"x\"\n[storage.s3]\nregion = \"r\"\n";
        assert_eq!(place_of(text, "server.listen"), Some((2, 3)));
        assert_eq!(place_of(text, "storage.s3.region"), Some((4, 1)));
        assert_eq!(place_of(text, "server.dev"), None);
        assert_eq!(place_of(text, "server.listen.x"), None);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("ä = 1\nü = x", 7), (2, 1));
        assert_eq!(position("äb", 2), (1, 2));
    }
}
