//! The search for one number's bucket.

use crate::{Nan, Outside};

/// Most edges of a column: bucket numbers then fit every index type exactly, `fp32` included.
const EDGES_MAX: usize = 1 << 20;

/// Checked edges and their rules.
#[derive(Debug)]
pub(crate) struct Edges {
    edges: Vec<f64>,
    right: bool,
    outside: Outside,
    nan: Nan,
}

/// Where a number belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    Index(u32),
    Missing,
    /// Nowhere; the reason completes "x …".
    Refused(&'static str),
}

impl Edges {
    /// Check the edges; the error completes "column `x`: …".
    pub(crate) fn new(edges: Vec<f64>, right: bool, outside: Outside, nan: Nan) -> Result<Self, String> {
        let least = if outside == Outside::Open { 1 } else { 2 };
        if edges.len() < least || edges.len() > EDGES_MAX {
            return Err(format!(
                "{} edges; needed are {least} to {EDGES_MAX}",
                edges.len()
            ));
        }
        let pairs = edges.iter().zip(edges.iter().skip(1));
        if let Some((a, b)) = pairs.clone().find(|(a, b)| a >= b) {
            return Err(format!("the edges must increase, and {b} follows {a}"));
        }
        Ok(Self {
            edges,
            right,
            outside,
            nan,
        })
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> usize {
        match self.outside {
            Outside::Open => self.edges.len() + 1,
            _ => self.edges.len().saturating_sub(1),
        }
    }

    /// Can a present number have no bucket?
    pub(crate) fn may_be_missing(&self, is_float: bool) -> bool {
        self.outside == Outside::Missing || (is_float && self.nan == Nan::Missing)
    }

    /// The bucket of a number.
    pub(crate) fn find(&self, x: f64) -> Bucket {
        let last = self.buckets().saturating_sub(1) as u32;
        if x.is_nan() {
            return match self.nan {
                Nan::Error => Bucket::Refused("belongs to no bucket"),
                Nan::Missing => Bucket::Missing,
                Nan::Last => Bucket::Index(last),
            };
        }
        let below = if self.right {
            self.edges.partition_point(|&edge| edge < x)
        } else {
            self.edges.partition_point(|&edge| edge <= x)
        };
        let inside = (1..self.edges.len()).contains(&below);
        match self.outside {
            Outside::Open => Bucket::Index(below as u32),
            Outside::Clip => Bucket::Index((below.saturating_sub(1) as u32).min(last)),
            _ if inside => Bucket::Index(below as u32 - 1),
            Outside::Missing => Bucket::Missing,
            Outside::Error => Bucket::Refused("lies outside the edges"),
        }
    }
}
