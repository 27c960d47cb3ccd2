//! What a person sees while the server works on an answer: nothing for a second, then how long it takes.

use std::io::{IsTerminal as _, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A shorter wait needs no word.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two drawings.
const TICK: Duration = Duration::from_millis(200);

/// A line on standard error, where that is a terminal, until this is dropped.
pub(crate) struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// Begin to wait for the server at this address.
    pub(crate) fn on(server: &str) -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let (done, answered) = mpsc::channel::<()>();
        let message = format!("waiting for {server}");
        let thread = std::thread::spawn(move || {
            if answered.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::no_length()
                .with_elapsed(PATIENCE)
                .with_message(message);
            // A constant that the tests parse.
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            while answered.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Self(Some((done, thread)))
    }
}

const TEMPLATE: &str = "{spinner} {msg}, {elapsed}";

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.0.take() {
            drop(done);
            // Nothing can be done about a thread that draws no more.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_one() {
        indicatif::ProgressStyle::with_template(super::TEMPLATE).unwrap();
    }
}
