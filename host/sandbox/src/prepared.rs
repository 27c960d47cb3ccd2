//! What preparing a stage found, kept beside compiled code: the same plugin with the same config, input
//! and limits needs no second `configure`, in this process or after a start.
//!
//! Only what can't come out differently is kept: a plugin that may read a clock or random numbers, or
//! ask a model, is configured each time. A record is no more than a hint of where the snapshot's code
//! is; without that code, the stage is prepared anew.

use std::sync::Arc;

use caisson_data::Schema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::code::{Code, Codes};
use crate::error::UploadError;
use crate::limits::Limits;
use crate::request::StageRequest;
use crate::upload::Needs;

/// A change of what a record holds, or of what `configure` can see, makes a new number.
const FORMAT: u32 = 1;

/// Under what a preparation is kept.
pub(crate) struct Key(String);

/// What is kept of one.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The name of the snapshot's code.
    code: String,
    needs: Needs,
    output: Schema,
}

/// A preparation that was found.
pub(crate) struct Prepared {
    pub(crate) code: Arc<Code>,
    pub(crate) needs: Needs,
    pub(crate) output: Schema,
}

impl Key {
    /// The key of a request; none where its `configure` may come out differently each time.
    pub(crate) fn of(request: &StageRequest<'_>) -> Option<Self> {
        let StageRequest {
            // Of the component nothing but its bytes, of the others nothing but what it can see.
            label: _,
            meter: _,
            isolation: _,
            component,
            world,
            config,
            input,
            limits,
            grants,
            graphs,
        } = request;
        if grants.clocks || grants.random || graphs.is_some() {
            return None;
        }
        let described = serde_json::to_vec(&(FORMAT, world, config, &**input, Bounds::of(limits))).ok()?;
        let mut sha = Sha256::new();
        sha.update(Sha256::digest(component));
        sha.update(&described);
        Some(Self(format!("{}-prepared", hex::encode(sha.finalize()))))
    }
}

/// The limits that `configure` can run into. Not those of time, which say how long this host waits.
#[derive(Serialize)]
struct Bounds {
    memory_bytes: usize,
    table_elements: usize,
}

impl Bounds {
    fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
        }
    }
}

impl Codes {
    /// What was kept under this key, with its code.
    pub(crate) async fn prepared(&self, key: &Key) -> Result<Option<Prepared>, UploadError> {
        let Some(record) = self.record(&key.0).await? else {
            return Ok(None);
        };
        let Ok(Record { code, needs, output }) = serde_json::from_slice(&record) else {
            return Ok(None);
        };
        let found = self.find(&code).await?;
        Ok(found.map(|code| Prepared { code, needs, output }))
    }

    /// Keep a preparation.
    pub(crate) async fn keep_prepared(
        &self,
        key: Key,
        code: String,
        needs: Needs,
        output: &Schema,
    ) -> Result<(), UploadError> {
        // Models are no part of the key.
        if needs.models {
            return Ok(());
        }
        let output = output.clone();
        match serde_json::to_vec(&Record { code, needs, output }) {
            Ok(record) => self.keep_record(key.0, record).await,
            Err(error) => Err(UploadError::Host(format!(
                "a schema has no form in JSON: {error}"
            ))),
        }
    }
}
