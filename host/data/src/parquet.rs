//! Parquet, by way of [Arrow](crate::arrow): the same types, nulls and names of columns.
//!
//! [`to_arrow_stream`] reads what others wrote. The library believes much of what a file says of itself
//! (sizes of its footer, its row groups and its pages), so whoever reads files of strangers runs it in a
//! process with limits of its own. [`StreamWriter`] writes files whose parts can be sent as they are
//! made.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatchReader as _;
use arrow_ipc::writer::StreamWriter as IpcWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use crate::arrow::{EncodeError, arrow_schema, record_batch};
use crate::batch::Batch;
use crate::schema::Schema;

/// Rows of a record batch that is read: enough that what a batch costs is spread over many.
const BATCH_ROWS_MAX: u64 = 8192;
/// Bytes of a record batch that is read, by what the file says of its rows.
const BATCH_BYTES: u64 = 4 << 20;
/// Memory that a row group may take while it is written. Readers like large ones, and this is held for
/// each answer.
const ROW_GROUP_BYTES: usize = 8 << 20;
/// Rows of a row group that is written.
const ROW_GROUP_ROWS_MAX: usize = 128 << 10;

/// A file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Parquet file, or one that uses what isn't known here.
    #[error("no readable Parquet file: {0}")]
    Read(ParquetError),
    /// Its rows can't be Arrow's.
    #[error("the file's rows can't be read: {0}")]
    Rows(#[from] ArrowError),
    /// The rows can't be written.
    #[error("the rows can't be written as Parquet: {0}")]
    Write(ParquetError),
    /// A batch that Arrow can't hold.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Read a file and write its rows as an Arrow stream. Dictionary columns, such as pandas' categories,
/// become columns of their values.
///
/// # Errors
///
/// [`Error::Read`], [`Error::Rows`].
pub fn to_arrow_stream(file: File, out: impl Write) -> Result<(), Error> {
    let options = ArrowReaderOptions::new();
    let mut metadata = ArrowReaderMetadata::load(&file, options.clone()).map_err(Error::Read)?;
    if let Some(schema) = without_dictionaries(metadata.schema()) {
        let options = options.with_schema(Arc::new(schema));
        let file = Arc::clone(metadata.metadata());
        metadata = ArrowReaderMetadata::try_new(file, options).map_err(Error::Read)?;
    }
    let rows = batch_rows(metadata.metadata());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_batch_size(rows)
        .build()
        .map_err(Error::Read)?;
    let mut writer = IpcWriter::try_new(out, &reader.schema())?;
    for record_batch in reader {
        writer.write(&record_batch?)?;
    }
    writer.into_inner()?.flush().map_err(|e| Error::Rows(e.into()))
}

/// Rows of a batch, so that it has about [`BATCH_BYTES`].
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let sum = |of: fn(&parquet::file::metadata::RowGroupMetaData) -> i64| {
        let groups = metadata.row_groups().iter();
        groups
            .map(|group| u64::try_from(of(group)).unwrap_or(0))
            .fold(0, u64::saturating_add)
    };
    let (rows, bytes) = (
        sum(|group| group.num_rows()),
        sum(|group| group.total_byte_size()),
    );
    let row_bytes = bytes / rows.max(1);
    usize::try_from((BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_ROWS_MAX)).unwrap_or(1)
}

/// The same schema with values in the place of dictionaries; `None` where there are none.
fn without_dictionaries(schema: &ArrowSchema) -> Option<ArrowSchema> {
    let mut found = false;
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Dictionary(_, values) => {
                found = true;
                field.as_ref().clone().with_data_type(values.as_ref().clone())
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    found.then(|| ArrowSchema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Writes a file of many batches; its bytes can be sent as they are made, and it holds one row group.
pub struct StreamWriter {
    writer: ArrowWriter<Made>,
    made: Made,
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("parquet::StreamWriter")
    }
}

impl StreamWriter {
    /// A writer of batches of this schema.
    ///
    /// # Errors
    ///
    /// A schema that Parquet or Arrow can't hold.
    pub fn new(schema: &Arc<Schema>) -> Result<Self, Error> {
        let made = Made::default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
            .build();
        let writer = ArrowWriter::try_new(made.clone(), arrow_schema(schema)?, Some(properties));
        Ok(Self {
            writer: writer.map_err(Error::Write)?,
            made,
        })
    }

    /// Add a batch; what is to be sent now, often nothing.
    ///
    /// # Errors
    ///
    /// A batch of another schema.
    pub fn write(&mut self, batch: &Batch) -> Result<Vec<u8>, Error> {
        self.writer.write(&record_batch(batch)?).map_err(Error::Write)?;
        if self.writer.memory_size() > ROW_GROUP_BYTES {
            self.writer.flush().map_err(Error::Write)?;
        }
        Ok(self.made.take())
    }

    /// What is to be sent last.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.writer.close().map_err(Error::Write)?;
        Ok(self.made.take())
    }
}

/// Bytes that the writer made and nobody took.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<u8>>>);

impl Made {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
