//! A share of all requests, without a lock and without a generator of random numbers.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Takes a share of the requests that come by.
#[derive(Debug)]
pub struct Sampler {
    /// What is taken is a number up to this.
    threshold: u64,
    /// Requests so far.
    seen: AtomicU64,
    /// What makes the sample this process's own.
    seed: u64,
}

impl Sampler {
    /// A sampler of a share, 0 to 1.
    pub fn new(share: f64) -> Self {
        Self {
            threshold: threshold(share),
            seen: AtomicU64::new(0),
            // Every `RandomState` has keys of its own.
            seed: RandomState::new().hash_one(()),
        }
    }

    /// Is the next request taken?
    pub fn takes(&self) -> bool {
        self.next().1
    }

    /// The next request's number, and whether it is taken.
    pub(crate) fn next(&self) -> (u64, bool) {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        // None of nothing, though one number is the smallest.
        let taken = self.threshold > 0 && mixed(self.seed.wrapping_add(number)) <= self.threshold;
        (number, taken)
    }

    /// A number that no other process has.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

/// The share of all 64-bit numbers that are at most this.
fn threshold(share: f64) -> u64 {
    // The product fits: casts from floats saturate.
    (share * u64::MAX as f64) as u64
}

/// A number's place among all, as SplitMix64 has it: neighbours are far apart.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_was_asked_for() {
        for share in [0.0, 0.01, 0.1, 0.5, 1.0] {
            let sampler = Sampler::new(share);
            let taken = (0..100_000).filter(|_| sampler.takes()).count();
            let found = taken as f64 / 100_000.0;
            assert!((found - share).abs() < 0.005, "{found} for {share}");
        }
        assert_eq!(threshold(1.0), u64::MAX);
    }
}
