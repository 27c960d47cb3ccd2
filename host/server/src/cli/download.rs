//! Answers of any length, written as they come.
//!
//! A file appears under its name when it is whole and on the disk: until then it is a temporary file
//! beside it, which is removed when the download fails.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Method;

use super::client::Client;

/// Between two drawings of a bar that nothing else moves.
const TICK: std::time::Duration = std::time::Duration::from_millis(200);

/// Write an answer to standard output.
pub(crate) fn to_stdout(client: &Client, method: Method, path: &str) -> anyhow::Result<()> {
    let mut answer = client.stream(method, path)?;
    let mut out = io::stdout().lock();
    io::copy(&mut answer, &mut out).context("the answer broke off")?;
    out.flush().context("standard output")
}

/// Write an answer to a file that isn't there yet, with a progress bar on a terminal; how many bytes.
/// Only its owner may read the file.
pub(crate) fn to_file(client: &Client, method: Method, path: &str, file: &Path) -> anyhow::Result<u64> {
    if file.exists() {
        bail!("{} exists already; choose another name", file.display());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let answer = client.stream(method, path)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("making a file in {}", folder.display()))?;
    let bar = bar(None);
    let bytes = io::copy(&mut bar.wrap_read(answer), &mut temporary).with_context(|| {
        format!(
            "{} was not written: the answer or the disk broke off",
            file.display()
        )
    })?;
    bar.finish_and_clear();
    let whole = || -> io::Result<()> {
        temporary.as_file().sync_all()?;
        temporary.persist_noclobber(file).map_err(|e| e.error)?;
        std::fs::File::open(folder)?.sync_all()
    };
    whole().with_context(|| format!("writing {}", file.display()))?;
    Ok(bytes)
}

/// A bar that counts bytes, on standard error where that is a terminal.
pub(crate) fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    // A constant that the tests parse.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}
