//! The demo's own server: a process, a free port, an empty data folder.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::http::Api;
use crate::onnxruntime;

/// Reserving the instance pool and loading ONNX Runtime take well under a second; a machine that
/// also compiles something takes longer.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running server; stopped, and its folder removed, when dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
    keep: bool,
}

impl Server {
    /// Start `target/release/caisson serve` and wait until it is ready.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let program = root.join("target/release/caisson");
        let folder = std::env::temp_dir().join(format!("caisson-demo-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let mut child = Command::new(&program)
            // Port 0: the system chooses a free one, and the server says which.
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .env("CAISSON_ONNXRUNTIME", onnxruntime::path(root))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            folder,
            url: String::new(),
            keep: false,
        };
        let mut line = String::new();
        BufReader::new(stdout.context("the server has no output")?).read_line(&mut line)?;
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let _ = server.child.wait();
            bail!("the server did not start:\n{}", server.log());
        };
        server.url = url.to_owned();
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let api = self.api();
        let start = Instant::now();
        while !api
            .get("/v2/health/ready")
            .is_ok_and(|answer| answer.status == 200)
        {
            if start.elapsed() > READY_LIMIT {
                bail!(
                    "the server was not ready after {} s:\n{}",
                    READY_LIMIT.as_secs(),
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.url.clone())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything of this run: data and log.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leave it running.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
