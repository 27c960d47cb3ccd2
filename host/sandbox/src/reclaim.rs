//! Giving much memory back without holding up those who need little.
//!
//! Whatever changes what a process's addresses mean takes one lock of the kernel: a guest's memory that grows
//! takes it exclusively, and memory that goes back to the system takes it shared, for about 35 µs a
//! megabyte. Shared holders don't disturb each other; but behind somebody who waits for it exclusively
//! all others queue, so a plugin that grows while another's 256 MiB go back stops every request of the
//! process for 9 ms. So on the threads for calls that burn ([`crate::fair`]) the two don't meet: while
//! one gives much back, the others wait before they grow.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use crate::fair;
use crate::guest::Guest;

/// From here on memory counts as much: a seventh of a millisecond.
const MUCH_BYTES: usize = 4 << 20;

static TURN: Turnstile = Turnstile {
    taken: Mutex::new(false),
    free: Condvar::new(),
};

/// Wait, on a thread for calls that burn, until nobody gives much back.
pub(crate) fn before_growing() {
    if fair::is_low() {
        drop(TURN.pass());
    }
}

/// A store whose memory goes back in its turn.
pub(crate) struct Held {
    store: Store<Guest>,
    /// After the store: it is dropped after it.
    turn: Option<Turn>,
}

impl Held {
    pub(crate) fn new(store: Store<Guest>) -> Self {
        Self { store, turn: None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if fair::is_low() && self.store.data().limiter.memory_bytes() >= MUCH_BYTES {
            self.turn = Some(TURN.take());
        }
    }
}

impl Deref for Held {
    type Target = Store<Guest>;

    fn deref(&self) -> &Store<Guest> {
        &self.store
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Store<Guest> {
        &mut self.store
    }
}

/// A lock whose guard may be in a future.
struct Turnstile {
    taken: Mutex<bool>,
    free: Condvar,
}

/// Whoever has it gives memory back.
struct Turn;

impl Turnstile {
    fn pass(&self) -> MutexGuard<'_, bool> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.free
            .wait_while(taken, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Turn {
        *self.pass() = true;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURN.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        TURN.free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_gives_back_is_waited_for() {
        let given = AtomicBool::new(false);
        let turn = TURN.take();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                drop(TURN.pass());
                given.load(Ordering::SeqCst)
            });
            std::thread::sleep(Duration::from_millis(20));
            given.store(true, Ordering::SeqCst);
            drop(turn);
            assert!(waiter.join().unwrap(), "passed before the turn was over");
        });
        // And nobody is waited for on an ordinary thread.
        let _turn = TURN.take();
        before_growing();
    }
}
