//! One request over many connections, again and again, from one thread.
//!
//! The client runs on the server's machine. A thread for each connection would have to be woken for every
//! answer, by the server and at its cost; one thread that waits for all of them finds several answers
//! whenever it looks.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::raw::Reply;

/// A server that hasn't answered so long after the end has failed.
const AFTER_END_MAX: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What is sent.
pub(super) struct Load<'a> {
    pub(super) url: &'a str,
    /// As it goes over the wire.
    pub(super) request: &'a [u8],
    pub(super) connections: usize,
    /// Requests a second; none: each connection's next when its last is answered. A request that is due
    /// while all connections are busy goes over the first that is free.
    pub(super) rate: Option<f64>,
    pub(super) lasts: Duration,
}

/// A connection, and what is under way on it.
struct Wire {
    stream: TcpStream,
    /// When the request that isn't answered yet began.
    since: Option<Instant>,
    sent: usize,
    reply: Vec<u8>,
}

/// Send, and tell `found` each reply and how long it took; none for a request that failed.
///
/// # Errors
///
/// A server that can't be reached, or leaves requests unanswered.
pub(super) fn run(load: &Load<'_>, mut found: impl FnMut(Duration, Option<Reply>)) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    let mut wires = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        wires.push(open(load.url, number, poll.registry())?);
    }
    let mut idle: VecDeque<usize> = (0..wires.len()).collect();
    let begin = Instant::now();
    let end = begin + load.lasts;
    let mut sent = 0;
    loop {
        let now = Instant::now();
        if now >= end && idle.len() == wires.len() {
            return Ok(());
        }
        if now >= end + AFTER_END_MAX {
            bail!("{} requests aren't answered", wires.len() - idle.len());
        }
        let mut wait = AFTER_END_MAX;
        while now < end && !idle.is_empty() {
            let due = load.rate.map_or(begin, |rate| begin + turn(sent, rate));
            if due > now {
                wait = due - now;
                break;
            }
            let Some(wire) = idle.pop_front().and_then(|number| wires.get_mut(number)) else {
                break;
            };
            sent += 1;
            wire.since = Some(Instant::now());
            wire.sent = 0;
            // One that fails here is found closed below.
            let _ = wire.send(load.request);
        }
        poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let Token(number) = event.token();
            let Some(wire) = wires.get_mut(number) else {
                continue;
            };
            let read = match wire.send(load.request).and_then(|()| wire.receive(&mut buffer)) {
                Ok(None) => continue,
                Ok(Some(reply)) => Some(reply),
                Err(_) => None,
            };
            let closed = read.as_ref().is_none_or(|reply| reply.closes);
            if let Some(since) = wire.since.take() {
                idle.push_back(number);
                found(since.elapsed(), read);
            }
            if closed {
                *wire = open(load.url, number, poll.registry())?;
            }
        }
    }
}

fn open(url: &str, number: usize, registry: &Registry) -> Result<Wire> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let stream = std::net::TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(
        &mut stream,
        Token(number),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Wire {
        stream,
        since: None,
        sent: 0,
        reply: Vec::new(),
    })
}

impl Wire {
    /// What the connection takes of the request.
    fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        while let (Some(_), Some(rest @ [_, ..])) = (self.since, request.get(self.sent..)) {
            match self.stream.write(rest) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The reply, once it is there.
    fn receive(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<Reply>> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.reply.extend(buffer.iter().take(bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let whole = Reply::whole(&self.reply).map_err(std::io::Error::other)?;
        if whole.is_some() {
            self.reply.clear();
        }
        Ok(whole)
    }
}

/// When the request number so and so is due.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn turn(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_the_rate() {
        assert_eq!(turn(0, 200.0), Duration::ZERO);
        assert_eq!(turn(300, 200.0), Duration::from_millis(1500));
    }
}
