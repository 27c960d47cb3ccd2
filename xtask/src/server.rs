//! A server of this program's own: a process, a free port, a data folder.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http::Api;
use crate::{onnxruntime, root};

/// Reserving the instance pool and loading ONNX Runtime take well under a second; a machine that
/// also compiles something takes longer.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Whose the server is.
pub(crate) enum Keys {
    /// Everyone's who reaches it: `--dev`.
    Dev,
    /// An operator's, with this key.
    Operator(String),
}

/// A folder for one run of something, in the temporary folder; it stays where it is kept.
pub(crate) struct Folder {
    path: PathBuf,
    keep: Cell<bool>,
}

impl Folder {
    /// A new, empty one.
    pub(crate) fn new(what: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("caisson-{what}-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            path,
            keep: Cell::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data folder of a server that runs in it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The end of the log of the servers that ran in it.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Leave it when dropped.
    pub(crate) fn keep(&self) {
        self.keep.set(true);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep.get() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A running server; killed when dropped, unless it is left running.
pub(crate) struct Server {
    child: Child,
    url: String,
    started: Instant,
    leave: bool,
}

impl Server {
    /// Start `caisson serve` on a folder and wait until the port is bound. `args` are further ones.
    pub(crate) fn start(program: &Path, folder: &Folder, keys: &Keys, args: &[&str]) -> Result<Self> {
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.log_path())?;
        let mut command = Command::new(program);
        command
            // Port 0: the system chooses a free one, and the server says which.
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.data())
            .args(args)
            .env("CAISSON_ONNXRUNTIME", onnxruntime::path(&root()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        match keys {
            Keys::Dev => command.arg("--dev"),
            Keys::Operator(key) => command.env("CAISSON_OPERATOR_KEY", key),
        };
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            url: String::new(),
            started,
            leave: false,
        };
        let mut line = String::new();
        BufReader::new(stdout.context("the server has no output")?).read_line(&mut line)?;
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let _ = server.child.wait();
            bail!("the server did not start:\n{}", folder.log());
        };
        server.url = url.to_owned();
        Ok(server)
    }

    /// Wait until it is ready: how long it took from its start.
    pub(crate) fn wait_until_ready(&self) -> Result<Duration> {
        let api = self.api();
        loop {
            let answer = api.get("/v2/health/ready");
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(self.started.elapsed());
            }
            if self.started.elapsed() > READY_LIMIT {
                bail!(
                    "the server was not ready after {} s: {answer:?}",
                    READY_LIMIT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.url.clone())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Leave it running.
    pub(crate) fn leave(mut self) {
        self.leave = true;
    }

    /// SIGKILL, and wait until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; returns at once.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(status.success(), "kill -TERM {pid}: {status}");
        Ok(())
    }

    /// Wait until it has ended of itself.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.leave {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
