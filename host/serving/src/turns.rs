//! One at a time for each key, and different keys at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Who waits for a turn waits only for those with the same key.
#[derive(Debug)]
pub struct Turns<K>(StdMutex<HashMap<K, Arc<Mutex<()>>>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(StdMutex::default())
    }
}

impl<K: Eq + Hash> Turns<K> {
    /// Wait for the key's turn; it ends when what this gives is dropped.
    pub async fn of(&self, key: K) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Bounded by the turns that are taken or waited for now.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn keys_wait_for_themselves_alone() {
        let turns = Turns::default();
        let first = turns.of("a").await;
        let _other = turns.of("b").await;
        let again = tokio::time::timeout(Duration::from_millis(20), turns.of("a")).await;
        assert!(again.is_err());
        drop(first);
        drop(turns.of("a").await);
        drop(turns.of("c").await);
        assert_eq!(turns.0.lock().unwrap().len(), 2, "b is taken, c was the last");
    }
}
