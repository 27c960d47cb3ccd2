//! Files of a log, read back.
//!
//! A file is read as a whole, which is at most what one flush wrote, and decoded in parts: of the columns
//! that are asked for, and no others. A file that is removed while a reader goes through the list is left
//! out.

use arrow_array::RecordBatch;
use bytes::Bytes;
use caisson_store::{Objects, Store};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::LogError;
use crate::place::{Area, Hour, LOG, hour_of};

/// Bytes of a file. A flush writes 64 MiB of rows at most, and text of one row may be long.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its path among the objects of the store.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// The hour in which its rows came.
    pub hour: Hour,
}

/// The files of a deployment in an area, the oldest first.
///
/// # Errors
///
/// Those of the store.
pub fn files(
    objects: &Objects,
    area: Area,
    tenant: &str,
    deployment: &str,
) -> Result<Vec<LogFile>, caisson_store::StoreError> {
    let mut files = Vec::new();
    objects.visit(&area.of_deployment(tenant, deployment), |object| {
        if let Some(hour) = hour_of(&object.path) {
            files.push(LogFile {
                path: object.path,
                size: object.size,
                hour,
            });
        }
        Ok(())
    })?;
    // Within an hour the names have the time in front.
    files.sort_by(|a, b| (a.hour, &a.path).cmp(&(b.hour, &b.path)));
    Ok(files)
}

/// Reads the logs of a store.
#[derive(Debug, Clone)]
pub struct LogReader(Objects);

impl LogReader {
    /// A reader of this store's logs.
    pub fn new(store: &Store) -> Self {
        Self(store.objects())
    }

    /// The files of a deployment's log, the oldest first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn files(&self, tenant: &str, deployment: &str) -> Result<Vec<LogFile>, LogError> {
        Ok(files(&self.0, LOG, tenant, deployment)?)
    }

    /// The rows of a file, see [`read_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn rows(&self, path: &str, columns: Option<&[&str]>) -> Result<Option<FileRows>, LogError> {
        read_file(&self.0, path, columns)
    }
}

/// The rows of a Parquet file, `columns` of them (all if absent), in the file's order of columns. A column
/// that the file hasn't is left out. `None` where the file is gone.
///
/// # Errors
///
/// The store; a file that isn't Parquet.
pub fn read_file(
    objects: &Objects,
    path: &str,
    columns: Option<&[&str]>,
) -> Result<Option<FileRows>, LogError> {
    let Some(bytes) = objects.get(path, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let failed = |error: parquet::errors::ParquetError| LogError::Decode {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(failed)?;
    let rows = builder.metadata().file_metadata().num_rows();
    let mask = match columns {
        None => ProjectionMask::all(),
        Some(names) => {
            let schema = builder.schema();
            let wanted = (0..).zip(schema.fields());
            let wanted = wanted.filter(|(_, field)| names.contains(&field.name().as_str()));
            ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index))
        }
    };
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)?;
    Ok(Some(FileRows {
        path: path.to_owned(),
        rows: u64::try_from(rows).unwrap_or(0),
        reader,
    }))
}

/// The rows of one file.
#[derive(Debug)]
pub struct FileRows {
    path: String,
    rows: u64,
    reader: ParquetRecordBatchReader,
}

impl FileRows {
    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|error| LogError::Decode {
            path: self.path.clone(),
            why: error.to_string(),
        }))
    }
}

/// How files are written.
pub fn writer_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build()
}
