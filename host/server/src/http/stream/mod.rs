//! Streams of rows: any number of them in, as many answers out, in constant memory.
//!
//! ```text
//! body ─ chunks ─ source ─ parts ─ answerer ─ answers ─ sink ─ bytes ─ body
//! ```
//!
//! [`PARTS_AT_ONCE`] parts are being answered and [`CHUNKS_MAX`] chunks of answers wait to be sent; when
//! they do, nothing more is read, so a client that doesn't read its answers stops being read, and one
//! that never reads again is cut off after [`READ_TIMEOUT`]. A client has to read while it writes.
//!
//! Until the first part is answered an error is an ordinary one, with its status. From then on the status
//! is sent: lines of JSON end with one more line that says why, with the number of rows that were
//! `answered` in the place of a `row`; the other forms have no place for an error, and end as a body that
//! breaks off, which no client takes for a whole one.
//!
//! Clients that take trailers (`TE: trailers`) get the numbers of rows and of errors after the last byte.

mod answer;
mod chunks;
mod form;
mod parquet;
mod sink;
mod source;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{self, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use caisson_data::{Batch, Schema};
use caisson_serving::{OpenStream, Revision, Streams, Ticket, Trail};
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use tokio::sync::mpsc;

use super::auth::Caller;
use super::error::ApiError;
use super::plugins::upload_limit;
use super::{Context, body, sized};
use answer::{Answerer, Answers};
use chunks::Chunks;
pub(crate) use form::Form;
pub(crate) use parquet::worker_main as parquet_worker_main;
use sink::Sink;
use source::Schemas;
pub(super) use source::Source;

/// Parts that are answered at the same time: one runs while another is decoded or waits for a model.
const PARTS_AT_ONCE: usize = 2;
/// Chunks of answers on their way to a client; each is a part's.
const CHUNKS_MAX: usize = 2;
/// How long a client may leave answers unread.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The revision that answers.
const REVISION: HeaderName = HeaderName::from_static("caisson-revision");
/// The trailers.
const ROWS: HeaderName = HeaderName::from_static("caisson-rows");
const ERRORS: HeaderName = HeaderName::from_static("caisson-errors");

/// A batch that was answered as a whole, in this form.
///
/// # Errors
///
/// 500 for a schema that the form can't hold.
pub(crate) fn whole(form: Form, revision: &Revision, batch: Batch) -> Result<Response, ApiError> {
    let mut sink = Sink::new(form, revision.output(), revision.number())?;
    let mut bytes = sink.write(&Answers {
        first_row: 0,
        batch,
        errors: Vec::new(),
    })?;
    bytes.extend(sink.finish()?);
    Ok(response(form, revision, Body::from(bytes)))
}

/// The rows of a body, in parts; `output` is what is made of each.
///
/// # Errors
///
/// A Parquet file that is too large, or breaks off; a form that isn't streamed.
pub(super) async fn source(
    context: &Context,
    caller: &Caller,
    form: Form,
    (input, output): (&Arc<Schema>, &Arc<Schema>),
    headers: &HeaderMap,
    request: Body,
) -> Result<Source, ApiError> {
    let schemas = Schemas { input, output };
    Ok(match form {
        Form::Ndjson => Source::ndjson(Chunks::Body(request), schemas),
        Form::Csv => Source::csv(Chunks::Body(request), schemas),
        Form::Arrow => Source::arrow(Chunks::Body(request), schemas),
        Form::Parquet => {
            let limit = upload_limit(caller.principal().tenant(), parquet::FILE_BYTES_MAX);
            body::check_announced(headers, limit)?;
            let file = parquet::spool(request, &context.app.uploads, limit).await?;
            let reading = parquet::Reading::start(&context.app.parquet_worker, file)?;
            Source::arrow(Chunks::File(Box::new(reading)), schemas)
        }
        Form::Json => return Err(ApiError::internal("rows JSON isn't streamed")),
    })
}

/// Answer a stream.
///
/// # Errors
///
/// Whatever is wrong before the first part is answered.
pub(crate) async fn respond(
    context: Context,
    caller: Caller,
    name: String,
    (revision, ticket): (Arc<Revision>, Option<Ticket>),
    (from, to): (Form, Form),
    headers: &HeaderMap,
    request: Body,
) -> Result<Response, ApiError> {
    let sink = Sink::new(to, revision.output(), revision.number())?;
    let schemas = (revision.input(), revision.output());
    let source = source(&context, &caller, from, schemas, headers, request).await?;
    let open = revision.vitals().open_stream();
    let answerer = Answerer {
        context,
        caller,
        name,
        revision: Arc::clone(&revision),
        ticket,
        row_errors: to == Form::Ndjson,
        stage_failures: AtomicU64::new(0),
    };
    let (sender, mut receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(Trail::carry(drive(source, answerer, sink, to, open, sender)));
    let first = match receiver.recv().await {
        Some(Message::Refused(error)) => return Err(error),
        Some(first) => Some(first),
        None => return Err(ApiError::internal("a stream ended without a word")),
    };
    let mut response = response(to, &revision, Body::new(Streamed { first, receiver }));
    let trailers = HeaderValue::from_static("caisson-rows, caisson-errors");
    response.headers_mut().insert(header::TRAILER, trailers);
    Ok(response)
}

/// All rows of a body, as one batch of a schema: for what looks at them together.
///
/// # Errors
///
/// The first row that can't be read; 413 past the limits, whichever is met first.
pub(crate) async fn gather(
    context: &Context,
    caller: &Caller,
    from: Form,
    headers: &HeaderMap,
    request: Body,
    schema: &Arc<Schema>,
    (rows_max, bytes_max): (usize, usize),
) -> Result<Batch, ApiError> {
    let mut source = source(context, caller, from, (schema, schema), headers, request).await?;
    let (mut parts, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while let Some(part) = source.next().await? {
        if let Some((_, error)) = part.refused.into_iter().next() {
            return Err(error);
        }
        rows += part.batch.rows();
        bytes += part.batch.byte_len();
        if rows > rows_max || bytes > bytes_max {
            return Err(ApiError::too_large(format!(
                "the rows are more than the {rows_max}, or the {bytes_max} bytes, that this route looks at together: send a sample of them"
            )));
        }
        parts.push(part.batch);
    }
    if parts.is_empty() {
        parts.push(Batch::empty(Arc::clone(schema)));
    }
    let joined = sized(context, caller.tenant(), bytes, move || Batch::concat(&parts)).await;
    joined.map_err(ApiError::internal)
}

fn response(form: Form, revision: &Revision, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(REVISION, HeaderValue::from(revision.number()));
    response
}

/// What is on its way to the client.
enum Message {
    Chunk(Vec<u8>),
    End(Totals),
    /// Nothing was sent yet.
    Refused(ApiError),
    /// Something was, and no more can be.
    Broken,
    /// The end was given to the client.
    Ended,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    rows: u64,
    errors: u64,
}

/// Read, answer and send until the end, an error, or a client that is gone.
async fn drive(
    source: Source,
    answerer: Answerer,
    sink: Sink,
    form: Form,
    open: OpenStream,
    sender: mpsc::Sender<Message>,
) {
    let work = run(source, &answerer, sink, form, open.counts(), &sender);
    tokio::select! {
        () = sender.closed() => tracing::debug!("the client of a stream is gone"),
        result = work => if let Err(Unread) = result {
            tracing::info!(
                deployment = %answerer.name,
                seconds = READ_TIMEOUT.as_secs(),
                "a stream was ended: its client didn't read its answers"
            );
        },
    }
}

/// The client is gone, or doesn't read.
struct Unread;

async fn run(
    source: Source,
    answerer: &Answerer,
    mut sink: Sink,
    form: Form,
    counts: &Streams,
    sender: &mpsc::Sender<Message>,
) -> Result<(), Unread> {
    let send = async |message| {
        let sent = sender.send_timeout(message, READ_TIMEOUT).await;
        sent.map_err(|_| Unread)
    };
    let parts = stream::unfold(Some(source), |source| async {
        let mut source = source?;
        match source.next().await {
            Ok(Some(part)) => Some((Ok(part), Some(source))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let answers = parts
        .map(|part| async {
            match part {
                Ok(part) => answerer.answer(part).await,
                Err(error) => Err(error),
            }
        })
        .buffered(PARTS_AT_ONCE);
    let mut answers = std::pin::pin!(answers);
    let mut totals = Totals::default();
    let mut sent = false;
    let error = loop {
        let written = match answers.next().await {
            None => match sink.finish() {
                Ok(bytes) => {
                    if !bytes.is_empty() {
                        send(Message::Chunk(bytes)).await?;
                    }
                    return send(Message::End(totals)).await;
                }
                Err(error) => break error,
            },
            Some(Err(error)) => break error,
            Some(Ok(answers)) => sink.write(&answers).map(|bytes| (answers, bytes)),
        };
        let (answers, bytes) = match written {
            Ok(written) => written,
            Err(error) => break error,
        };
        totals.rows = answers.first_row + answers.rows() as u64;
        totals.errors += answers.errors.len() as u64;
        counts.answered(answers.batch.rows(), answers.errors.len());
        if !bytes.is_empty() {
            sent = true;
            send(Message::Chunk(bytes)).await?;
        }
    };
    if !sent {
        return send(Message::Refused(error)).await;
    }
    tracing::debug!(deployment = %answerer.name, code = error.code(), message = error.message(), "a stream ended early");
    if form != Form::Ndjson {
        return send(Message::Broken).await;
    }
    let mut line = error.after_rows(totals.rows).to_json();
    line.push(b'\n');
    send(Message::Chunk(line)).await?;
    send(Message::End(totals)).await
}

/// The body of an answer.
struct Streamed {
    first: Option<Message>,
    receiver: mpsc::Receiver<Message>,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let message = match self.first.take() {
            Some(first) => Some(first),
            None => task::ready!(self.receiver.poll_recv(cx)),
        };
        Poll::Ready(match message {
            Some(Message::Chunk(bytes)) => Some(Ok(Frame::data(bytes.into()))),
            Some(Message::End(totals)) => {
                self.receiver.close();
                self.first = Some(Message::Ended);
                let mut trailers = HeaderMap::new();
                trailers.insert(ROWS, HeaderValue::from(totals.rows));
                trailers.insert(ERRORS, HeaderValue::from(totals.errors));
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Message::Ended) => None,
            // Without its last chunk no client takes the body for whole.
            Some(Message::Refused(_) | Message::Broken) | None => {
                Some(Err(axum::Error::new("the stream ended early")))
            }
        })
    }
}
