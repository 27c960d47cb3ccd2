//! Answers of any length, written as they come.
//!
//! A file appears under its name when it is whole and on the disk: until then it is a temporary file
//! beside it, which is removed when the download fails.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Method;

use super::client::Client;
use super::output;

/// Between two drawings of a bar that nothing else moves.
const TICK: std::time::Duration = std::time::Duration::from_millis(200);

/// Write an answer to standard output.
pub(crate) fn to_stdout(client: &Client, method: Method, path: &str) -> anyhow::Result<()> {
    let mut answer = client.stream(method, path)?;
    let mut out = io::stdout().lock();
    io::copy(&mut answer, &mut out)
        .inspect_err(output::end_if_closed)
        .context("the answer broke off")?;
    out.flush().context("standard output")
}

/// Write an answer to a file that isn't there yet, with a progress bar on a terminal; how many bytes.
/// Only its owner may read the file.
pub(crate) fn to_file(client: &Client, method: Method, path: &str, file: &Path) -> anyhow::Result<u64> {
    let mut new = NewFile::at(file)?;
    let answer = client.stream(method, path)?;
    let bar = bar(None);
    let bytes = io::copy(&mut bar.wrap_read(answer), &mut new).with_context(|| {
        format!(
            "{} was not written: the answer or the disk broke off",
            file.display()
        )
    })?;
    bar.finish_and_clear();
    new.keep()?;
    Ok(bytes)
}

/// A file that isn't there yet, and is there once it is whole.
pub(crate) struct NewFile {
    name: PathBuf,
    folder: PathBuf,
    temporary: tempfile::NamedTempFile,
}

impl NewFile {
    /// A file of this name.
    ///
    /// # Errors
    ///
    /// It exists already, or its folder can't be written.
    pub(crate) fn at(name: &Path) -> anyhow::Result<Self> {
        if name.exists() {
            bail!("{} exists already; choose another name", name.display());
        }
        let folder = match name.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Ok(Self {
            temporary: tempfile::NamedTempFile::new_in(folder)
                .with_context(|| format!("making a file in {}", folder.display()))?,
            name: name.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// It is whole.
    ///
    /// # Errors
    ///
    /// The disk is full, or the name was taken meanwhile.
    pub(crate) fn keep(self) -> anyhow::Result<()> {
        let Self {
            name,
            folder,
            temporary,
        } = self;
        let whole = || -> io::Result<()> {
            temporary.as_file().sync_all()?;
            temporary.persist_noclobber(&name).map_err(|e| e.error)?;
            std::fs::File::open(&folder)?.sync_all()
        };
        whole().with_context(|| format!("writing {}", name.display()))
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
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
