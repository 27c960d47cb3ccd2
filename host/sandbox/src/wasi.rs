//! The inert WASI 0.2 that other languages' toolchains need to start.
//!
//! No file, no socket, no environment, no argument, nothing on standard input. What is printed goes
//! into the log. Clocks stand still and random numbers repeat, so that a transform stays a function
//! of its input, unless the stage is granted real ones ([`Grants`]).

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::guest::Guest;
use crate::log::{CallLog, LINE_BYTES_MAX, Level};

/// What a stage may have of the outside world, besides models. Nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// `wasi:clocks`: the time of day and a running clock. Without it clocks stand at 1970-01-01.
    pub clocks: bool,
    /// `wasi:random`: unpredictable numbers. Without it the same numbers come each time.
    pub random: bool,
}

/// Random bytes that a guest may ask for at once: the host allocates them.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Bytes that a guest may print at once.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// What "random" numbers repeat. A prime number of bytes, so that words of 4 and 8 differ.
const FIXED_RANDOM: [u8; 31] = *b"no stage was granted wasi:rand.";
const FIXED_SEED: u128 = 0x0063_6169_7373_6f6e;

/// Offer WASI 0.2.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Made on first use: components without WASI never pay for it.
        let (log, grants) = (&self.log, self.grants);
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| Box::new(context(log, grants))),
            table: &mut self.table,
        }
    }
}

fn context(log: &Arc<CallLog>, grants: Grants) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(Printed::new(log, Level::Info))
        .stderr(Printed::new(log, Level::Error))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES_MAX);
    if !grants.clocks {
        builder.wall_clock(Stopped).monotonic_clock(Stopped);
    }
    if !grants.random {
        builder
            .secure_random(Deterministic::new(FIXED_RANDOM.to_vec()))
            .insecure_random(Deterministic::new(FIXED_RANDOM.to_vec()))
            .insecure_random_seed(FIXED_SEED);
    }
    builder.build()
}

/// A clock that stands still.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Standard output or error: split into lines, into the log.
#[derive(Clone)]
struct Printed {
    log: Arc<CallLog>,
    level: Level,
    /// The line under way. Shared, because a guest may open the stream more than once.
    line: Arc<Mutex<Vec<u8>>>,
}

impl Printed {
    fn new(log: &Arc<CallLog>, level: Level) -> Self {
        Self {
            log: Arc::clone(log),
            level,
            line: Arc::default(),
        }
    }

    fn print(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let text = part.strip_suffix(b"\n");
            // One byte more than a line may have, so that it is seen to be cut.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
            line.extend(text.unwrap_or(part).iter().take(room));
            if text.is_some() {
                self.end_line(&mut line);
            }
        }
    }

    fn end_line(&self, line: &mut Vec<u8>) {
        let bytes = std::mem::take(line);
        // Reading from host memory can't fail.
        let _ = self.log.line(self.level, || {
            Ok(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
        });
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.line) == 1 && !line.is_empty() {
            self.end_line(&mut line);
        }
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl Pollable for Printed {
    // What `#[async_trait]` makes of `async fn ready(&mut self)`: always ready.
    fn ready<'s, 'f>(&'s mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Printed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
