//! What one request asks of how it is run, beside its rows.

use std::time::Duration;

/// A request's place in its deployment's queue, and its patience.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// 1 goes before 2, and so on; 0 is the deployment's default. As Triton's `priority` parameter.
    pub priority: u32,
    /// The longest that the request may wait for its turn, at most the deployment's own limit. As
    /// Triton's `timeout` parameter, which counts microseconds.
    pub timeout: Option<Duration>,
    /// Rows of a request that was counted already, run another time. It isn't one more request.
    pub again: bool,
}
