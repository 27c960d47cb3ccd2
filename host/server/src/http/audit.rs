//! `/v1/audit` and `/v1/backup`: streams of what is kept.
//!
//! A key sees its own tenant's records; an operator's sees all, and any one tenant's.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use caisson_access::{Action, Resource};
use caisson_audit::{Filter, Outcome, Record, Report, TAIL_RECORDS_MAX};
use caisson_registry::{NAME_CHARS_MAX, NAME_PATTERN, TenantId};
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::Query;
use super::{Context, blocking, json};

/// Records of a tail, unless asked for more.
const TAIL_RECORDS: usize = 20;
/// Chunks on their way to a client that is slow to read; with [`CHUNK_BYTES`] 512 KiB.
const CHUNKS_MAX: usize = 8;
/// Streamed answers at once, of all tenants: each has a thread while it lasts.
pub(crate) const STREAMS_MAX: usize = 4;
/// How long a client may leave a chunk unread.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes gathered before they are sent.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// How many; 20 if left out.
    #[schemars(range(max = TAIL_RECORDS_MAX))]
    tail: Option<usize>,
    /// Only this tenant's.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = NAME_CHARS_MAX))]
    tenant: Option<String>,
    /// Only what this key did.
    key_id: Option<String>,
    /// Only this: `model:register`.
    action: Option<String>,
    /// Only what ended so.
    outcome: Option<Outcome>,
    /// Not before this time.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Before this time.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Only records before this number.
    before: Option<u64>,
}

impl AuditQuery {
    /// How many records a tail has.
    fn count(&self) -> Result<usize, ApiError> {
        match self.tail {
            Some(count) if count > TAIL_RECORDS_MAX => Err(ApiError::bad_request(
                "bad-query",
                format!("`tail` is at most {TAIL_RECORDS_MAX}; `/v1/audit/export` gives all records"),
            )),
            Some(count) => Ok(count),
            None => Ok(TAIL_RECORDS),
        }
    }

    /// What the caller may see of what it asks for.
    fn filter(self, caller: &Caller) -> Result<Filter, ApiError> {
        let tenant = match (&self.tenant, caller.is_operator()) {
            (None, true) => {
                caller.allow(Action::AuditRead, Resource::ANY_NAME)?;
                None
            }
            (None, false) => {
                caller.allow(Action::AuditRead, Resource::ANY_NAME)?;
                Some(caller.tenant().to_string())
            }
            (Some(name), _) => {
                let owner: TenantId = name.parse().map_err(|_| super::auth::no_tenant(name))?;
                caller.allow_on(Action::AuditRead, &owner, Resource::ANY_NAME)?;
                Some(owner.to_string())
            }
        };
        let time = |name: &str, text: Option<String>| {
            text.map(|text| {
                text.parse().map_err(|e| {
                    ApiError::bad_request("bad-query", format!("`{name}` is no RFC 3339 time: {e}"))
                })
            })
            .transpose()
        };
        Ok(Filter {
            tenant,
            key_id: self.key_id,
            action: self.action,
            outcome: self.outcome,
            from: time("from", self.from)?,
            to: time("to", self.to)?,
            before: self.before,
        })
    }
}

/// The newest records, oldest first.
pub(crate) async fn tail(
    State(context): State<Context>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Response, ApiError> {
    let count = query.count()?;
    let filter = query.filter(&caller)?;
    let log = context.app.audit.clone();
    let records = blocking(move || log.tail(count, &filter)).await??;
    Ok(json(StatusCode::OK, &Tail { records }))
}

/// The newest records, oldest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditRecords")]
pub(crate) struct Tail {
    records: Vec<Record>,
}

/// All records that the filter admits, one JSON object a line.
pub(crate) async fn export(
    State(context): State<Context>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Response, ApiError> {
    if query.tail.is_some() {
        return Err(ApiError::bad_request(
            "bad-query",
            "an export has all records; `tail` is of `/v1/audit`",
        ));
    }
    let filter = query.filter(&caller)?;
    let log = context.app.audit.clone();
    streamed(&context, "application/x-ndjson", move |output| {
        log.export(&filter, output).map(drop).map_err(io::Error::other)
    })
}

/// Is the log as it was written? For operators: it is one log of all tenants.
pub(crate) async fn verify(State(context): State<Context>, caller: Caller) -> Result<Response, ApiError> {
    match context.app.developer.is_some() {
        true => caller.allow(Action::AuditRead, Resource::ANY_NAME)?,
        false => caller.allow_server(Action::AuditRead)?,
    }
    let log = context.app.audit.clone();
    let report = blocking(move || log.verify()).await??;
    let whole = report.is_whole();
    Ok(json(StatusCode::OK, &Verified { report, whole }))
}

/// What was found in the log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditReport")]
pub(crate) struct Verified {
    #[serde(flatten)]
    report: Report,
    /// Is nothing wrong?
    whole: bool,
}

/// Everything that is stored, as one tar, while the server serves.
pub(crate) async fn backup(State(context): State<Context>) -> Result<Response, ApiError> {
    let store = context.app.store.clone();
    streamed(&context, "application/x-tar", move |output| {
        let report = store.backup_to(output).map_err(io::Error::other)?;
        tracing::info!(?report, "a backup was written");
        Ok(())
    })
}

/// An answer whose body a thread writes as fast as the client reads. An error cuts the body off, which
/// every client notices: the last chunk is missing.
fn streamed(
    context: &Context,
    media_type: &'static str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<Response, ApiError> {
    let turn = Arc::clone(&context.app.streams)
        .try_acquire_owned()
        .map_err(|_| {
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                format!("{STREAMS_MAX} exports and backups are being read now; try again when one has ended"),
            )
        })?;
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("caisson-stream".to_owned());
    let started = thread.spawn(move || {
        let _turn = turn;
        let chunks = Chunks {
            sender: sender.clone(),
            runtime,
        };
        let mut output = io::BufWriter::with_capacity(CHUNK_BYTES, chunks);
        let written = write(&mut output).and_then(|()| output.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "a streamed answer was cut off");
            let _ = sender.try_send(Err(error));
        }
    });
    started.map_err(ApiError::internal)?;
    let body = stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    let mut response = Response::new(Body::from_stream(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// Writes into the channel; an error when the client is gone, or doesn't read.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: tokio::runtime::Handle,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Ok(Bytes::copy_from_slice(bytes));
        self.runtime
            .block_on(self.sender.send_timeout(chunk, READ_TIMEOUT))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away or doesn't read"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
