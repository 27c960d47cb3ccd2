//! How much a caller may make us hold.

use super::error::{DecodeError, code, refuse};

/// Limits of one decode. Each codec checks them before it allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of the encoded body. Default 64 MiB: 100 RGB images of 448 × 448 as `uint8`.
    pub bytes_max: usize,
    /// Rows. Default 65,536: past that a batch job is the right form, and one request would hold
    /// the model longer than any other may wait.
    pub rows_max: usize,
    /// Bytes of the decoded batch. A wide schema with nullable columns makes many bytes of few, so
    /// this is a limit of its own. Default 128 MiB: one row of the largest field.
    pub batch_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            rows_max: 65_536,
            batch_bytes_max: 128 << 20,
        }
    }
}

impl DecodeLimits {
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), DecodeError> {
        if body.len() > self.bytes_max {
            return refuse(
                code::TOO_LARGE,
                format!(
                    "{} bytes where at most {} are allowed",
                    body.len(),
                    self.bytes_max
                ),
            );
        }
        Ok(())
    }

    /// May a batch have this many rows of this many bytes?
    pub(crate) fn check_rows(&self, rows: usize, row_bytes: usize) -> Result<(), DecodeError> {
        if rows > self.rows_max {
            return refuse(
                code::TOO_MANY_ROWS,
                format!("more than the {} rows that are allowed", self.rows_max),
            );
        }
        if rows.saturating_mul(row_bytes) > self.batch_bytes_max {
            return refuse(
                code::TOO_LARGE,
                format!(
                    "{rows} rows of {row_bytes} bytes where a batch may have {} bytes",
                    self.batch_bytes_max
                ),
            );
        }
        Ok(())
    }

    /// The most rows of this many bytes.
    pub(crate) fn rows_that_fit(&self, row_bytes: usize) -> usize {
        self.rows_max.min(self.batch_bytes_max / row_bytes.max(1))
    }
}
