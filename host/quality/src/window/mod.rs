//! Windows over a stream of rows: tumbling or sliding, by count or by event time, of all rows and of
//! each segment.
//!
//! Rows are gathered in **panes**, the greatest pieces that every window is made of (`gcd(size, step)`
//! long); a window that closes is the merge of its panes. So a row is taken in once, however many
//! windows it is in, and memory is bounded by panes × segments × accumulator.
//!
//! By event time the **watermark** is the newest event's time less the lateness that is allowed. A
//! window closes when the watermark reaches its end, once. A row whose windows are all closed is late:
//! it is counted and left out. A row that is late for some of its windows is in the others. A window
//! without a row is not reported.

mod engine;
mod spec;

pub use engine::{Counts, Segment, Window, Windows};
pub use spec::{Clock, PANES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX, SpecError, WindowSpec};
