//! From a part to its answers.
//!
//! Whose fault a failure is decides what becomes of it:
//!
//! - A row that a stage refuses, or on which it fails, is answered with an error; the others of its part
//!   are run again without it. Validators name all such rows at once; else the part is halved until the
//!   row is found.
//! - A stage that is past its deadline may have too many rows at once: the part is halved. If one row
//!   takes too long, the stream ends.
//! - A server that is busy, and a tenant that is over its rates, is waited for, within bounds: who
//!   streams can be slowed down. Each part counts as a request.
//! - Everything else ends the stream.
//!
//! Answers in a form that has no place for an error end at the first row that has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caisson_data::Batch;
use caisson_predictions::RowNumbers;
use caisson_serving::{CallOptions, Kind, Revision, ServingError, Ticket};

use super::super::Context;
use super::super::auth::Caller;
use super::super::error::ApiError;
use super::source::Part;

/// The longest that a part waits for its turn: a quota that lets no part pass for so long is no pace.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The first wait for a busy server; each next one is twice as long.
const BUSY_WAIT: Duration = Duration::from_millis(20);
/// The longest of those.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Rows one after the other on which a stage fails (not: which it refuses) before the stream ends: a
/// deployment that answers none of so many answers none, and finding that out row by row is dear.
const STAGE_FAILURES_MAX: u64 = 256;

/// The answers of a part.
#[derive(Debug)]
pub(super) struct Answers {
    /// The place in the stream of its first row.
    pub(super) first_row: u64,
    /// The rows that were answered.
    pub(super) batch: Batch,
    /// The places in the part of the others, ascending, and why.
    pub(super) errors: Vec<(usize, ApiError)>,
}

impl Answers {
    /// Rows, answered or not.
    pub(super) fn rows(&self) -> usize {
        self.batch.rows() + self.errors.len()
    }
}

/// Answers the parts of one stream.
pub(super) struct Answerer {
    pub(super) context: Context,
    pub(super) caller: Caller,
    pub(super) name: String,
    /// The revision that was live when the stream began: all of it is answered by one.
    pub(super) revision: Arc<Revision>,
    /// The stream's, where the deployment has a log.
    pub(super) ticket: Option<Ticket>,
    /// Is there a place for errors of rows?
    pub(super) row_errors: bool,
    /// Rows without an answer since the last with one, on which a stage failed.
    pub(super) stage_failures: AtomicU64,
}

impl Answerer {
    /// Answer a part.
    ///
    /// # Errors
    ///
    /// What ends the stream.
    pub(super) async fn answer(&self, part: Part) -> Result<Answers, ApiError> {
        // The first was let in with the request itself.
        if part.first_row > 0 {
            self.caller.check_still_good()?;
            self.context.live(self.caller.tenant(), &self.name)?;
            self.pace().await?;
        }
        let first_row = part.first_row;
        if !self.row_errors {
            if let Some((_, error)) = part.refused.into_iter().next() {
                return Err(error);
            }
            let batch = self
                .predict(part.batch, false, || RowNumbers::From(first_row))
                .await
                .map_err(|e| ApiError::from(e).rows_from(first_row))?;
            return Ok(Answers {
                first_row,
                batch,
                errors: Vec::new(),
            });
        }
        self.answer_row_by_row(part).await
    }

    async fn answer_row_by_row(&self, part: Part) -> Result<Answers, ApiError> {
        let first_row = part.first_row;
        let places = places_of_readable(&part);
        let mut errors = part.refused;
        let mut answered = vec![Batch::empty(Arc::clone(self.revision.output()))];
        // Rows of the batch that are still to be run, the next last.
        let mut left: Vec<Vec<usize>> = vec![(0..part.batch.rows()).collect()];
        while let Some(rows) = left.pop() {
            if rows.is_empty() {
                continue;
            }
            let batch = match rows.len() == part.batch.rows() {
                true => part.batch.clone(),
                false => part.batch.select_rows(&rows).map_err(ApiError::internal)?,
            };
            let again = rows.len() < part.batch.rows();
            let numbers = || {
                let place = |row: &usize| places.get(*row).copied().unwrap_or(*row);
                RowNumbers::At(rows.iter().map(|row| first_row + place(row) as u64).collect())
            };
            let error = match self.predict(batch, again, numbers).await {
                Ok(batch) => {
                    self.stage_failures.store(0, Ordering::Relaxed);
                    answered.push(batch);
                    continue;
                }
                Err(error) => error,
            };
            let mut refuse = |row: usize, error: ApiError| {
                let place = places.get(row).copied().unwrap_or(row);
                errors.push((place, error.in_row(first_row + place as u64)));
            };
            match blame(&error, rows.len()) {
                Blame::Stream => return Err(error.into()),
                Blame::Rows(blamed) => {
                    let mut rest = Vec::with_capacity(rows.len());
                    for (at, &row) in rows.iter().enumerate() {
                        match blamed.iter().any(|&b| b as usize == at) {
                            true => refuse(row, of_one_row(&error, at)),
                            false => rest.push(row),
                        }
                    }
                    left.push(rest);
                }
                Blame::One => {
                    if error.kind == Kind::Stage
                        && self.stage_failures.fetch_add(1, Ordering::Relaxed) >= STAGE_FAILURES_MAX
                    {
                        return Err(error.into());
                    }
                    rows.first()
                        .into_iter()
                        .for_each(|&row| refuse(row, error.clone().into()));
                }
                Blame::Some => {
                    let (front, back) = rows.split_at(rows.len() / 2);
                    left.extend([back.to_vec(), front.to_vec()]);
                }
            }
        }
        errors.sort_by_key(|(place, _)| *place);
        Ok(Answers {
            first_row,
            batch: Batch::concat(&answered).map_err(ApiError::internal)?,
            errors,
        })
    }

    /// Predict, and wait where the server is busy. `again`: these rows ran before; `numbers` says for the log
    /// which rows these are.
    async fn predict(
        &self,
        batch: Batch,
        again: bool,
        numbers: impl Fn() -> RowNumbers,
    ) -> Result<Batch, ServingError> {
        let rows = batch.rows();
        let ticket = self.ticket.as_ref().map(|ticket| ticket.part(numbers()));
        let until = Instant::now() + WAIT_MAX;
        let mut wait = BUSY_WAIT;
        let mut options = CallOptions {
            again,
            ..CallOptions::default()
        };
        loop {
            let call = self.revision.predict_as(ticket.clone(), batch.clone(), options);
            match call.await {
                Ok(prediction) if prediction.batch.rows() == rows => return Ok(prediction.batch),
                Ok(prediction) => {
                    return Err(ServingError::new(
                        Kind::Stage,
                        "row-count",
                        format!("{rows} rows were answered with {}", prediction.batch.rows()),
                    ));
                }
                Err(error) if error.kind == Kind::Busy && Instant::now() + wait < until => {
                    tokio::time::sleep(wait).await;
                    options.again = true;
                    wait = (wait * 2).min(BUSY_WAIT_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Wait until the tenant's rates let one more part in.
    async fn pace(&self) -> Result<(), ApiError> {
        let tenant = self.caller.principal().tenant();
        let until = Instant::now() + WAIT_MAX;
        loop {
            let now = Instant::now();
            match tenant.pace(now) {
                Ok(()) => return Ok(()),
                Err(over) => match over.retry_after {
                    Some(wait) if now + wait < until => tokio::time::sleep(wait).await,
                    _ => return Err(over.into()),
                },
            }
        }
    }
}

/// The places in a part of the rows in its batch.
fn places_of_readable(part: &Part) -> Vec<usize> {
    let mut refused = part.refused.iter().map(|(at, _)| *at).peekable();
    (0..part.rows())
        .filter(|place| refused.next_if_eq(place).is_none())
        .collect()
}

/// What a failure says of the rows that were run together.
#[derive(Debug, PartialEq, Eq)]
enum Blame {
    /// These are at fault.
    Rows(Vec<u32>),
    /// The only one is.
    One,
    /// One or more of them are.
    Some,
    /// None of them is, and no other would be answered.
    Stream,
}

fn blame(error: &ServingError, rows: usize) -> Blame {
    match error.kind {
        Kind::Invalid | Kind::Unprocessable | Kind::Stage | Kind::TooLarge => {}
        // Fewer rows take less time.
        Kind::Deadline if rows > 1 => {}
        _ => return Blame::Stream,
    }
    let named = error.violations.iter().filter_map(|violation| violation.row);
    let named: Vec<u32> = named.filter(|&row| (row as usize) < rows).collect();
    match (named.is_empty(), rows) {
        (false, _) => Blame::Rows(named),
        (true, 1) => Blame::One,
        (true, _) => Blame::Some,
    }
}

/// A refusal of many rows as that of one of them.
fn of_one_row(error: &ServingError, row: usize) -> ApiError {
    let mut violations = error.violations.clone();
    violations.retain(|violation| violation.row.is_some_and(|own| own as usize == row));
    let message = violations.first().map_or(&error.message, |first| &first.message);
    let mut own = ServingError::new(error.kind, error.code, message.clone());
    if let Some(stage) = &error.stage {
        own = own.in_stage(stage.clone());
    }
    let column = violations.first().and_then(|first| first.column.clone());
    own.at(None, column).with_violations(violations).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_blame() {
        let error = |kind| ServingError::new(kind, "code", "message");
        assert_eq!(blame(&error(Kind::Stage), 1), Blame::One);
        assert_eq!(blame(&error(Kind::Stage), 2), Blame::Some);
        assert_eq!(blame(&error(Kind::Unprocessable), 2), Blame::Some);
        assert_eq!(blame(&error(Kind::Deadline), 2), Blame::Some);
        for kind in [
            Kind::Deadline,
            Kind::Quota,
            Kind::Busy,
            Kind::Internal,
            Kind::NotFound,
        ] {
            assert_eq!(blame(&error(kind), 1), Blame::Stream, "{kind:?}");
        }
    }
}
