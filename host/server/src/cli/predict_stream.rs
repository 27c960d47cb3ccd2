//! `caisson predict --input`: any number of rows, sent and answered at the same time.
//!
//! The server answers while it reads and stops reading when its answers aren't read, so this reads the
//! answer while it still sends. Neither side holds more than a few chunks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use futures_util::stream;
use indicatif::ProgressBar;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Body, Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::client::Client;
use super::download::{self, NewFile};
use super::output;
use crate::http::Form;

/// Bytes that are read from the input at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be sent.
const CHUNKS_MAX: usize = 4;
/// How long the server may say nothing: it waits for its tenant's quota for half a minute.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Bytes of a line that are looked at: an error line is a sentence or two.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 1 << 20;
/// How the server's error lines begin.
const ERROR_LINE: &[u8] = b"{\"error\":";
/// Rows without an answer, among others that have one.
const SOME_ROWS_FAILED: u8 = 2;

/// Rows to stream.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct StreamArgs {
    /// Stream the rows of this file, of any size; `-` is standard input. Exits 2 when a row had an error.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The input's form; by the file's name if absent (.ndjson, .jsonl, .csv, .arrows, .parquet, .json).
    #[arg(long, value_name = "FORM", requires = "input")]
    input_format: Option<Form>,
    /// A file that isn't there yet; standard output if absent.
    #[arg(long, value_name = "FILE", requires = "input")]
    output: Option<PathBuf>,
    /// The form of the answers; by the output's name if absent, else ndjson.
    #[arg(long, value_name = "FORM", requires = "input")]
    format: Option<Form>,
}

impl StreamArgs {
    pub(crate) fn is_used(&self) -> bool {
        self.input.is_some()
    }
}

/// The form that a file's name says.
pub(super) fn form_of(path: &Path) -> Option<Form> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "json" => Form::Json,
        "csv" => Form::Csv,
        "ndjson" | "jsonl" => Form::Ndjson,
        "arrows" => Form::Arrow,
        "parquet" => Form::Parquet,
        _ => return None,
    })
}

/// Stream.
///
/// # Errors
///
/// The server's refusal, an answer that breaks off, files that can't be read or written.
pub(crate) fn run(client: &Client, path: &str, args: &StreamArgs) -> anyhow::Result<ExitCode> {
    let input = args.input.as_deref().context("--input is missing")?;
    let from = args.input_format.or_else(|| form_of(input)).with_context(|| {
        format!(
            "what form has {}? Say it with --input-format; an Arrow stream's name ends in .arrows",
            input.display()
        )
    })?;
    let to = match (args.format, args.output.as_deref()) {
        (Some(form), _) => form,
        (None, Some(output)) => form_of(output)
            .with_context(|| format!("what form is {} to have? Say it with --format", output.display()))?,
        (None, None) => Form::Ndjson,
    };
    let (reader, length) = open(input)?;
    let mut output = Output::new(args.output.as_deref(), to)?;
    let bar = download::bar(length);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let sent = runtime.block_on(async {
        let mut response = send(client, path, (from, to), sending(reader, bar.clone())?).await?;
        let broke_off = "the answer broke off; in the form ndjson it would say why";
        while let Some(chunk) = response.chunk().await.context(broke_off)? {
            output.write(&chunk)?;
        }
        Ok::<_, anyhow::Error>(())
    });
    bar.finish_and_clear();
    sent?;
    output.finish()
}

fn open(input: &Path) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if input.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(input).with_context(|| format!("reading {}", input.display()))?;
    let metadata = file
        .metadata()
        .with_context(|| format!("reading {}", input.display()))?;
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), length))
}

/// A body that a thread reads: standard input and files block.
fn sending(mut reader: Box<dyn Read + Send>, bar: ProgressBar) -> anyhow::Result<Body> {
    let (sender, receiver) = mpsc::channel::<io::Result<Vec<u8>>>(CHUNKS_MAX);
    let read = move || loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let result = match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                bar.inc(length as u64);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = result.is_err();
        if sender.blocking_send(result).is_err() || last {
            return;
        }
    };
    std::thread::Builder::new()
        .name("caisson-input".to_owned())
        .spawn(read)
        .context("starting a thread")?;
    Ok(Body::wrap_stream(stream::unfold(
        receiver,
        |mut receiver| async {
            let chunk = receiver.recv().await?;
            Some((chunk, receiver))
        },
    )))
}

/// Send the head and begin to send the body; the answer's head, if it is no refusal.
async fn send(client: &Client, path: &str, (from, to): (Form, Form), body: Body) -> anyhow::Result<Response> {
    // Whoever installed one before has the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        // A key goes to the server that was named and to no other.
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(SILENCE_MAX)
        .http1_only()
        .build()
        .context("starting a client")?;
    let (base, authorization) = client.address();
    let mut request = http
        .post(format!("{base}{path}"))
        .header(CONTENT_TYPE, from.media_type())
        .header(ACCEPT, to.media_type())
        .body(body);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let mut response = request
        .send()
        .await
        .with_context(|| format!("no answer from {base} (is `caisson serve` running there?)"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the server's answer broke off")? {
        text.extend_from_slice(&chunk);
        if text.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let value = serde_json::from_slice(&text)
        .map_err(|_| anyhow!("{base} answered {status} with something that is not JSON"))?;
    Err(client.refused(status.as_u16(), &value))
}

/// Where answers go, and what was seen of them.
struct Output {
    to: To,
    lines: Option<Lines>,
}

enum To {
    File(NewFile),
    Stdout(io::Stdout),
}

impl Output {
    fn new(path: Option<&Path>, form: Form) -> anyhow::Result<Self> {
        Ok(Self {
            to: match path {
                Some(path) => To::File(NewFile::at(path)?),
                None => To::Stdout(io::stdout()),
            },
            lines: (form == Form::Ndjson).then(Lines::default),
        })
    }

    fn write(&mut self, chunk: &[u8]) -> anyhow::Result<()> {
        if let Some(lines) = &mut self.lines {
            lines.look_at(chunk);
        }
        match &mut self.to {
            To::File(file) => file.write_all(chunk),
            To::Stdout(stdout) => stdout.write_all(chunk).inspect_err(output::end_if_closed),
        }
        .context("writing the answers")
    }

    fn finish(mut self) -> anyhow::Result<ExitCode> {
        if let To::Stdout(stdout) = &mut self.to {
            stdout.flush().context("standard output")?;
        }
        let lines = self.lines.take().unwrap_or_default();
        if let Some(end) = &lines.ended {
            bail!(
                "the server stopped after {} rows: {}",
                end.answered.unwrap_or(0),
                end.error
            );
        }
        if let To::File(file) = self.to {
            file.keep()?;
        }
        if lines.errors == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!(
            "{} of {} rows have an error in the place of an answer",
            lines.errors, lines.rows
        );
        Ok(ExitCode::from(SOME_ROWS_FAILED))
    }
}

/// Lines of JSON, seen in chunks.
#[derive(Default)]
struct Lines {
    /// The start of the line that isn't whole.
    line: Vec<u8>,
    rows: u64,
    errors: u64,
    ended: Option<ErrorLine>,
}

/// A line in the place of an answer, or the last of a stream that ended early.
#[derive(Debug, Deserialize)]
struct ErrorLine {
    error: String,
    #[serde(rename = "code")]
    _code: String,
    row: Option<u64>,
    answered: Option<u64>,
}

impl Lines {
    fn look_at(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let error = line
            .starts_with(ERROR_LINE)
            .then(|| serde_json::from_slice::<ErrorLine>(&line).ok())
            .flatten();
        match error {
            Some(end) if end.answered.is_some() => self.ended = Some(end),
            other => {
                self.rows += 1;
                self.errors += u64::from(other.is_some_and(|error| error.row.is_some()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_are_seen_in_any_chunks() {
        let text = b"{\"x\":1}\n{\"error\":\"no\",\"code\":\"bad-json\",\"row\":1}\n{\"error\":0.5}\n{\"error\":\"gone\",\"code\":\"not-found\",\"answered\":3}\n";
        for size in [1, 7, 1000] {
            let mut lines = Lines::default();
            text.chunks(size).for_each(|chunk| lines.look_at(chunk));
            assert_eq!((lines.rows, lines.errors), (3, 1));
            assert_eq!(lines.ended.unwrap().error, "gone");
        }
    }

    #[test]
    fn a_name_says_the_form() {
        assert_eq!(form_of(Path::new("a.JSONL")), Some(Form::Ndjson));
        assert_eq!(form_of(Path::new("a.parquet")), Some(Form::Parquet));
        assert_eq!(
            form_of(Path::new("a.arrow")),
            None,
            "the file form, which is another"
        );
    }
}
