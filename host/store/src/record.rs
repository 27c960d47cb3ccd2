//! Records: serde types as JSON, each with the number of its format.
//!
//! On disk a record is `{"format":1,"record":{…}}`. A later release that changes a type so that
//! this one would misread it raises [`Record::FORMAT`], and this one then refuses the record and
//! says which release to use, instead of guessing.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::metadata::{Expect, Metadata, Op};
use crate::{Page, StoreError};

/// A type that is kept in the metadata.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, for messages: `plugin`, `model version`.
    const KIND: &'static str;
    /// The newest format that this release reads, and the one that it writes.
    const FORMAT: u32;
}

/// A record and the bytes that it was read from, which a later change is conditional on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<R> {
    /// The record.
    pub record: R,
    bytes: Vec<u8>,
}

impl<R: Record> Stored<R> {
    /// The condition "still as it was read".
    pub fn unchanged(&self) -> Expect {
        Expect::Value(self.bytes.clone())
    }

    /// An operation that does nothing and holds while the record is as it was read.
    pub fn check(&self, key: &str) -> Op {
        Op::check(key, self.unchanged())
    }

    /// An operation that replaces the record if it is as it was read.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn replace(&self, key: &str, new: &R) -> Result<Op, StoreError> {
        Ok(Op::put(key, self.unchanged(), encode(new)?))
    }
}

#[derive(Serialize)]
struct Write<'a, R> {
    format: u32,
    record: &'a R,
}

#[derive(Deserialize)]
struct Read<'a> {
    format: u32,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The bytes of a record.
///
/// # Errors
///
/// [`StoreError::BadRequest`] for a type that JSON can't hold: a mistake in the code.
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Write {
        format: R::FORMAT,
        record,
    })
    .map_err(|_| StoreError::BadRequest("a record that JSON can't hold"))
}

/// The record in these bytes.
///
/// # Errors
///
/// [`StoreError::NewerRecord`], [`StoreError::BadRecord`].
pub fn decode<R: Record>(key: &[u8], bytes: &[u8]) -> Result<R, StoreError> {
    let name = || String::from_utf8_lossy(key).into_owned();
    let bad = |e: serde_json::Error| StoreError::BadRecord {
        kind: R::KIND,
        key: name(),
        detail: e.to_string(),
    };
    let read: Read<'_> = serde_json::from_slice(bytes).map_err(bad)?;
    if read.format > R::FORMAT {
        return Err(StoreError::NewerRecord {
            kind: R::KIND,
            key: name(),
            found: read.format,
            supported: R::FORMAT,
        });
    }
    serde_json::from_str(read.record.get()).map_err(bad)
}

/// An operation that writes a record where none is.
///
/// # Errors
///
/// As [`encode`].
pub fn create<R: Record>(key: &str, record: &R) -> Result<Op, StoreError> {
    Ok(Op::put(key, Expect::Absent, encode(record)?))
}

/// The record under a key.
///
/// # Errors
///
/// Those of the storage and of [`decode`].
pub fn get<R: Record>(metadata: &dyn Metadata, key: &str) -> Result<Option<Stored<R>>, StoreError> {
    let Some(bytes) = metadata.get(key.as_bytes())? else {
        return Ok(None);
    };
    let record = decode(key.as_bytes(), &bytes)?;
    Ok(Some(Stored { record, bytes }))
}

/// Records of one page of a scan, as [`Metadata::scan`] gives them.
#[derive(Debug)]
pub struct Records<R> {
    /// The records that can be read, in the order of their keys.
    pub records: Vec<R>,
    /// Those that can't, each with its key: damaged, or of a later release.
    pub unreadable: Vec<Unreadable>,
    /// Where there are more: what to give as `after` for the next page.
    pub next: Option<String>,
}

/// A record that can't be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its key.
    pub key: String,
    /// [`StoreError::BadRecord`] or [`StoreError::NewerRecord`]; it names the record, too.
    pub error: StoreError,
}

/// One page of the records whose keys start with `prefix`. One that can't be read doesn't hide the
/// others.
///
/// # Errors
///
/// Those of the storage.
pub fn scan<R: Record>(
    metadata: &dyn Metadata,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Records<R>, StoreError> {
    let Page { entries, next } = metadata.scan(prefix.as_bytes(), after.map(str::as_bytes), limit)?;
    let mut page = Records {
        records: Vec::with_capacity(entries.len()),
        unreadable: Vec::new(),
        next: next.map(|key| String::from_utf8_lossy(&key).into_owned()),
    };
    for (key, value) in &entries {
        match decode(key, value) {
            Ok(record) => page.records.push(record),
            Err(error) => page.unreadable.push(Unreadable {
                key: String::from_utf8_lossy(key).into_owned(),
                error,
            }),
        }
    }
    Ok(page)
}
