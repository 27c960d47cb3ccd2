//! One at a time, by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// A lock for each key. Keys that nobody holds or waits for take no room.
#[derive(Debug)]
pub struct Turns<K>(StdMutex<HashMap<K, Arc<Mutex<()>>>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(StdMutex::default())
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Wait for the key's turn, which lasts until the guard is dropped.
    pub async fn of(&self, key: &K) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.clone()).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_key_has_one_turn_and_others_do_not_wait() {
        let turns = Turns::default();
        let first = turns.of(&"a").await;
        let other = tokio::time::timeout(Duration::from_secs(5), turns.of(&"b")).await;
        assert!(other.is_ok());
        let second = tokio::time::timeout(Duration::from_millis(20), turns.of(&"a")).await;
        assert!(second.is_err());
        drop(first);
        let second = tokio::time::timeout(Duration::from_secs(5), turns.of(&"a")).await;
        assert!(second.is_ok());
        drop((second, other));
        let _ = turns.of(&"c").await;
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
