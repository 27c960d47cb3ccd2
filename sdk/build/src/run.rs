//! Runs another program and hands over its output line by line, under a time limit.
//!
//! What fails: the program isn't there; it exits with an error (the last lines that it wrote are in
//! the message); it is still running at its limit (it is killed).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of output kept for an error message: enough for cargo's longest resolver complaint.
const TAIL_LINES_MAX: usize = 40;
/// Lines that may wait between the readers and the caller; past this the program waits.
const QUEUE_LINES_MAX: usize = 1024;

/// Why a program's run came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It couldn't be started.
    #[error("`{program}` could not be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It exited with an error.
    #[error("`{command}` failed ({status}){}", indented(tail))]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// Its last lines on standard error and standard output.
        tail: String,
    },
    /// It ran past its limit and was killed.
    #[error("`{command}` was stopped: it took more than {} s", limit.as_secs())]
    TimeLimit {
        /// The command line.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// The system lost track of it.
    #[error("waiting for `{command}`: {source}")]
    Wait {
        /// The command line.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn indented(tail: &str) -> String {
    if tail.is_empty() {
        return String::new();
    }
    let mut text = String::from(":");
    for line in tail.lines() {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

/// Which of the program's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Run to the end; every line goes to `on_line`. Without a limit the program may take for ever.
pub(crate) fn run(
    command: &mut Command,
    limit: Option<Duration>,
    on_line: &mut dyn FnMut(Stream, &str),
) -> Result<(), RunError> {
    let shown = shown(command);
    let deadline = limit.map(|limit| (limit, Instant::now() + limit));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| RunError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    let (sender, lines) = sync_channel(QUEUE_LINES_MAX);
    forward(child.stdout.take(), Stream::Out, sender.clone());
    forward(child.stderr.take(), Stream::Err, sender);

    let mut tail = VecDeque::new();
    let in_time = drain(&lines, deadline.map(|(_, at)| at), &mut |stream, line| {
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(line.to_owned());
        on_line(stream, line);
    });
    if let (false, Some((limit, _))) = (in_time, deadline) {
        // Its own children may live on and hold the pipes, so the readers aren't waited for.
        let _ = child.kill();
        let _ = child.wait();
        return Err(RunError::TimeLimit {
            command: shown,
            limit,
        });
    }
    let status = child.wait().map_err(|source| RunError::Wait {
        command: shown.clone(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(RunError::Failed {
        command: shown,
        status,
        tail: Vec::from(tail).join("\n"),
    })
}

/// Run to the end and return what it wrote to standard output.
pub(crate) fn output(command: &mut Command, limit: Option<Duration>) -> Result<String, RunError> {
    let mut text = String::new();
    run(command, limit, &mut |stream, line| {
        if stream == Stream::Out {
            text.push_str(line);
            text.push('\n');
        }
    })?;
    Ok(text)
}

/// Hand lines over until both streams end (true) or the deadline passes (false).
fn drain(
    lines: &Receiver<(Stream, String)>,
    deadline: Option<Instant>,
    on_line: &mut dyn FnMut(Stream, &str),
) -> bool {
    loop {
        let next = match deadline {
            None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => lines.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match next {
            Ok((stream, line)) => on_line(stream, &line),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

fn forward<R: Read + Send + 'static>(
    source: Option<R>,
    stream: Stream,
    sender: SyncSender<(Stream, String)>,
) {
    let Some(source) = source else { return };
    thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send((stream, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_arrive() {
        let mut seen = Vec::new();
        run(&mut sh("echo one; echo two >&2"), None, &mut |s, l| {
            seen.push((s == Stream::Out, l.to_owned()));
        })
        .unwrap();
        seen.sort();
        assert_eq!(seen, [(false, "two".to_owned()), (true, "one".to_owned())]);
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = run(
            &mut sh("echo broken pipe organ >&2; exit 3"),
            None,
            &mut |_, _| {},
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("broken pipe organ"),
            "{text}"
        );
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let error = run(&mut sh("seq 1 100; exit 1"), None, &mut |_, _| {}).unwrap_err();
        let RunError::Failed { tail, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(tail.lines().count(), TAIL_LINES_MAX);
        assert_eq!(tail.lines().last(), Some("100"));
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let start = Instant::now();
        let limit = Duration::from_millis(200);
        let error = run(
            &mut sh("echo started; exec sleep 600"),
            Some(limit),
            &mut |_, _| {},
        )
        .unwrap_err();
        assert!(matches!(error, RunError::TimeLimit { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here"), None, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
