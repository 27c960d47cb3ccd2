//! Answers that are kept: the response cache of a deployment, off unless its file turns it on.
//!
//! An answer is found by all of its request: the revision (each has a cache of its own) and every byte
//! of every input, by SHA-256. The kept answer has all outputs, so which of them a caller wants doesn't
//! matter. Equal requests at the same time run once; if the caller that runs goes away, another one of
//! them runs. Errors are not kept.
//!
//! Memory is bounded by the file, and the least used goes first.

mod spec;

use std::time::{Duration, Instant};

use caisson_data::{Batch, match_values};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::error::ServingError;
use crate::pipeline::Prediction;

pub use spec::CacheSpec;

/// SHA-256 of a request.
type Key = [u8; 32];

/// Bytes that an entry takes beside its rows: key, clock and batch headers, roughly.
const ENTRY_BYTES: u64 = 256;
/// Bytes of an average answer, from which the number of entries is estimated.
const ANSWER_BYTES: u64 = 512;

/// Kept answers.
pub(crate) struct Answers {
    kept: Cache<Key, Kept, Bytes>,
    ttl: Duration,
}

#[derive(Clone)]
struct Kept {
    prediction: Prediction,
    since: Instant,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Kept> for Bytes {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        let warnings: usize = kept
            .prediction
            .warnings
            .iter()
            .map(|w| w.message.len() + 64)
            .sum();
        ENTRY_BYTES + (kept.prediction.batch.byte_len() + warnings) as u64
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers")
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl Answers {
    pub(crate) fn new(bytes_max: u64, ttl: Duration) -> Self {
        let entries = usize::try_from(bytes_max / (ENTRY_BYTES + ANSWER_BYTES)).unwrap_or(usize::MAX);
        Self {
            kept: Cache::with_weighter(entries, bytes_max, Bytes),
            ttl,
        }
    }

    /// The kept answer for these rows, or what `run` gives, which is then kept.
    pub(crate) async fn get_or(
        &self,
        rows: Batch,
        run: impl AsyncFnOnce(Batch) -> Result<Prediction, ServingError>,
    ) -> Result<Prediction, ServingError> {
        let key = key(&rows);
        if self
            .kept
            .get(&key)
            .is_some_and(|kept| kept.since.elapsed() >= self.ttl)
        {
            self.kept.remove(&key);
        }
        match self.kept.get_value_or_guard_async(&key).await {
            Ok(kept) => Ok(kept.prediction),
            Err(place) => {
                let prediction = run(rows).await?;
                let kept = Kept {
                    prediction: prediction.clone(),
                    since: Instant::now(),
                };
                // Refused where another revision's clock removed the place meanwhile: then it isn't kept.
                let _ = place.insert(kept);
                Ok(prediction)
            }
        }
    }
}

/// SHA-256 of everything that the rows say. Lengths stand before what varies in length, so different
/// rows never give the same bytes.
fn key(rows: &Batch) -> Key {
    let mut hash = Sha256::new();
    hash.update((rows.rows() as u64).to_le_bytes());
    for block in rows.blocks() {
        match_values!(
            &block.values,
            list => hash.update(bytemuck::cast_slice::<_, u8>(list)),
            var => {
                hash.update(bytemuck::cast_slice::<_, u8>(&var.offsets));
                hash.update(&var.data);
            }
        );
        // All present, and a bitmap that says so, are two entries for one request: no harm.
        hash.update([u8::from(block.validity.is_some())]);
        hash.update(block.validity.as_deref().unwrap_or_default());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::error::Kind;
    use caisson_data::{Block, DataType, Field, Schema, Values, VarLen};

    fn answers(ttl: Duration) -> Answers {
        Answers::new(1 << 20, ttl)
    }

    fn rows(values: &[f32]) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Fp32)]).unwrap());
        Batch::new(
            schema,
            values.len(),
            vec![Block::new(Values::Fp32(values.to_vec()))],
        )
        .unwrap()
    }

    fn texts(list: &[&str]) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Bytes)]).unwrap());
        let mut var = VarLen::default();
        for text in list {
            var.push(text.as_bytes()).unwrap();
        }
        Batch::new(schema, list.len(), vec![Block::new(Values::Bytes(var))]).unwrap()
    }

    async fn ask(answers: &Answers, rows: Batch, runs: &AtomicUsize) -> Result<Prediction, ServingError> {
        let run = async |batch| {
            tokio::task::yield_now().await;
            runs.fetch_add(1, Ordering::Relaxed);
            Ok(Prediction {
                batch,
                warnings: Vec::new(),
            })
        };
        answers.get_or(rows, run).await
    }

    #[tokio::test]
    async fn equal_rows_run_once_and_every_bit_counts() {
        let (answers, runs) = (answers(Duration::from_secs(60)), AtomicUsize::new(0));
        for values in [[0.0], [0.0], [-0.0], [f32::NAN], [f32::NAN]] {
            let given = ask(&answers, rows(&values), &runs).await.unwrap();
            assert!(given.batch.is_same(&rows(&values)));
        }
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn where_one_text_ends_counts() {
        assert_ne!(key(&texts(&["ab", "c"])), key(&texts(&["a", "bc"])));
        assert_ne!(key(&texts(&["", ""])), key(&texts(&[""])));
        assert_eq!(key(&texts(&["a", "b"])), key(&texts(&["a", "b"])));
    }

    #[tokio::test]
    async fn equal_requests_at_the_same_time_run_once_and_survive_the_runner() {
        let (answers, runs) = (answers(Duration::from_secs(60)), AtomicUsize::new(0));
        let all = futures_util::future::join_all((0..8).map(|_| ask(&answers, rows(&[1.0]), &runs))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(runs.load(Ordering::Relaxed), 1);

        let never = answers.get_or(rows(&[2.0]), async |_| std::future::pending().await);
        let waits = ask(&answers, rows(&[2.0]), &runs);
        let mut waits = std::pin::pin!(waits);
        {
            let mut never = std::pin::pin!(never);
            for _ in 0..3 {
                let turn = tokio::time::Duration::from_millis(1);
                assert!(tokio::time::timeout(turn, never.as_mut()).await.is_err());
                assert!(tokio::time::timeout(turn, waits.as_mut()).await.is_err());
            }
        }
        waits.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn errors_and_old_answers_are_not_kept() {
        let (answers, runs) = (answers(Duration::ZERO), AtomicUsize::new(0));
        for _ in 0..2 {
            let fails = async |_| Err(ServingError::new(Kind::Stage, "s", "s"));
            assert!(answers.get_or(rows(&[1.0]), fails).await.is_err());
            ask(&answers, rows(&[3.0]), &runs).await.unwrap();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let answers = Answers::new(64 << 10, Duration::from_secs(60));
        let runs = AtomicUsize::new(0);
        for i in 0..2000u16 {
            ask(&answers, rows(&[f32::from(i)]), &runs).await.unwrap();
        }
        assert!(answers.kept.weight() <= 64 << 10);
        assert!(answers.kept.len() > 10);
    }
}
