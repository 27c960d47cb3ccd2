//! An object store, called synchronously.
//!
//! ```text
//! PREFIX/caisson-blobs.json   {"format":1,"data_folder":"…"}: whose blobs these are
//! PREFIX/sha256/<digest>      a blob each
//! PREFIX/objects/<path>       a named object each
//! ```
//!
//! Requests are bounded: large blobs go and come in parts, a part has a time limit, and what fails
//! for the moment is tried again a few times and then an error. The work is done on a small runtime
//! of its own, so that callers may be anywhere, inside another runtime too.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::HttpError;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig, WriteMultipart,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::backend::{Listed, UrlOptions};
use crate::{Digest, StoreError};

/// Bytes of a part. S3 takes 10,000 of them for one object, so 160 GB; each is in memory.
const PART_BYTES: usize = 16 * 1024 * 1024;
/// Parts of one blob under way at the same time: 64 MiB.
const PARTS_MAX: usize = 4;
/// Time for a connection. What takes longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one request, so that a part of 16 MiB needs 2 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Times that a request is tried again.
const RETRIES_MAX: usize = 3;
/// Time after which it isn't.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Threads of the runtime: they copy and encrypt.
const THREADS: usize = 2;
/// Bytes of an error's text; servers send whole documents.
const DETAIL_BYTES_MAX: usize = 300;
/// The file that says whose blobs these are.
const OWNER_FILE: &str = "caisson-blobs.json";
/// Its format.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Owner {
    format: u64,
    data_folder: String,
}

/// A bucket, or a part of one.
#[derive(Debug)]
pub(crate) struct Bucket {
    url: String,
    pub(super) prefix: ObjectPath,
    pub(super) store: Arc<AmazonS3>,
    /// Taken by `drop` alone.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// Check what can be checked without asking the server.
    pub(crate) fn open(url: &str, options: &UrlOptions) -> Result<Self, StoreError> {
        let bad = |detail: String| StoreError::BlobsUrl {
            url: url.to_owned(),
            detail,
        };
        let (bucket, prefix) = split(url).map_err(bad)?;
        // The process's choice of cryptography, if it made none; reqwest asks for it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_allow_http(options.allow_http);
        for (key, value) in &options.more {
            let key: AmazonS3ConfigKey = key.parse().map_err(|e: object_store::Error| bad(e.to_string()))?;
            builder = builder.with_config(key, value);
        }
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if let Some(credentials) = &options.credentials {
            builder = builder
                .with_access_key_id(&credentials.access_key_id)
                .with_secret_access_key(&credentials.secret_access_key);
        }
        let store = builder
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(options.allow_http)
                    .with_connect_timeout(CONNECT_TIMEOUT)
                    .with_timeout(REQUEST_TIMEOUT),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(200),
                    max_backoff: Duration::from_secs(5),
                    base: 3.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            })
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("caisson-blobs")
            .enable_all()
            .build()
            .map_err(|e| bad(e.to_string()))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            prefix: ObjectPath::parse(prefix).map_err(|e| bad(e.to_string()))?,
            store: Arc::new(store),
            runtime: Some(runtime),
        })
    }

    /// See that the bucket is there, and that it holds this data folder's blobs or nobody's yet.
    pub(crate) fn claim(&self, id: &str) -> Result<(), StoreError> {
        let ours = match self.owner()? {
            Some(owner) => owner == id,
            // Only one of two that come at the same time.
            None => self.set_owner(id, PutMode::Create)?,
        };
        if ours {
            return Ok(());
        }
        Err(StoreError::BlobsTaken {
            url: self.url.clone(),
        })
    }

    /// From now on it holds this data folder's blobs.
    pub(crate) fn take_over(&self, id: &str) -> Result<(), StoreError> {
        self.set_owner(id, PutMode::Overwrite).map(|_| ())
    }

    /// The data folder whose blobs it holds.
    pub(crate) fn owner(&self) -> Result<Option<String>, StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.prefix.clone().join(OWNER_FILE));
        let answer = self.wait(async move { store.get(&path).await?.bytes().await })?;
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { source, .. }) if !is_no_bucket(&*source) => return Ok(None),
            Err(e) => return Err(self.error("read the owner's name in", &e)),
        };
        let owner: Owner = serde_json::from_slice(&bytes).map_err(|e| StoreError::BlobsFailed {
            url: self.url.clone(),
            action: "understand",
            detail: format!("{OWNER_FILE}: {e}"),
        })?;
        if owner.format > FORMAT {
            return Err(StoreError::NewerFormat {
                path: PathBuf::from(format!("{}/{OWNER_FILE}", self.url)),
                found: owner.format,
                supported: FORMAT,
            });
        }
        Ok(Some(owner.data_folder))
    }

    /// False where somebody else came first.
    fn set_owner(&self, id: &str, mode: PutMode) -> Result<bool, StoreError> {
        let owner = serde_json::to_vec(&Owner {
            format: FORMAT,
            data_folder: id.to_owned(),
        })
        .map_err(|_| StoreError::BadRequest("a name that JSON can't hold"))?;
        let (store, path) = (Arc::clone(&self.store), self.prefix.clone().join(OWNER_FILE));
        let put = async move {
            store
                .put_opts(&path, PutPayload::from(owner), PutOptions::from(mode))
                .await
        };
        match self.wait(put)? {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(e) => Err(self.error("write to", &e)),
        }
    }

    /// Upload a file of `size` bytes; it is durable when this returns.
    pub(crate) fn upload(&self, digest: &Digest, file: &mut File, size: u64) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.path(digest));
        let failed = |e: &object_store::Error| self.error("write to", e);
        if size <= PART_BYTES as u64 {
            let part = self.read_part(file)?;
            return self
                .wait(async move { store.put(&path, PutPayload::from(part)).await })?
                .map(|_| ())
                .map_err(|e| failed(&e));
        }
        let mut upload = self
            .wait(async move { store.put_multipart(&path).await })?
            .map(|upload| WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
            .map_err(|e| failed(&e))?;
        loop {
            let part = match self.read_part(file) {
                Ok(part) => part,
                Err(error) => {
                    // What was uploaded is no object yet; the error is what matters.
                    let _ = self.wait(upload.abort())?;
                    return Err(error);
                }
            };
            if part.is_empty() {
                break;
            }
            let write = async move {
                match upload.wait_for_capacity(PARTS_MAX).await {
                    Ok(()) => {
                        upload.put(part.into());
                        Ok(upload)
                    }
                    Err(e) => {
                        let _ = upload.abort().await;
                        Err(e)
                    }
                }
            };
            upload = self.wait(write)?.map_err(|e| failed(&e))?;
        }
        self.wait(upload.finish())?.map(|_| ()).map_err(|e| failed(&e))
    }

    fn read_part(&self, file: &mut File) -> Result<Vec<u8>, StoreError> {
        let mut part = Vec::new();
        file.take(PART_BYTES as u64)
            .read_to_end(&mut part)
            .map_err(|e| StoreError::io("read the bytes for", &PathBuf::from(&self.url), e))?;
        Ok(part)
    }

    /// Call `each` with the bytes of a blob of `size` bytes.
    pub(crate) fn download(
        &self,
        digest: &Digest,
        size: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.path(digest));
        let ranges = (0..size)
            .step_by(PART_BYTES)
            .map(move |start| start..size.min(start.saturating_add(PART_BYTES as u64)));
        let mut parts = stream::iter(ranges)
            .map(move |range| {
                let (store, path) = (Arc::clone(&store), path.clone());
                async move { store.get_range(&path, range).await }
            })
            .buffered(PARTS_MAX)
            .boxed();
        loop {
            let (part, rest) = self.wait(async move { (parts.next().await, parts) })?;
            match part {
                None => return Ok(()),
                Some(Ok(bytes)) => each(&bytes)?,
                Some(Err(e)) => return Err(self.error_of(digest, "read", &e)),
            }
            parts = rest;
        }
    }

    /// The size of a blob; none where there is none.
    pub(crate) fn look(&self, digest: &Digest) -> Result<Option<Listed>, StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.path(digest));
        match self.wait(async move { store.head(&path).await })? {
            Ok(meta) => Ok(Some(Listed {
                digest: *digest,
                size: meta.size,
                written: meta.last_modified.into(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.error("look into", &e)),
        }
    }

    /// Visit every blob. Objects whose names are no digests are left alone.
    pub(crate) fn visit(
        &self,
        each: &mut dyn FnMut(Listed) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut objects = self.store.list(Some(&self.prefix.clone().join("sha256")));
        loop {
            let (object, rest) = self.wait(async move { (objects.next().await, objects) })?;
            objects = rest;
            let object = match object {
                None => return Ok(()),
                Some(Ok(object)) => object,
                Some(Err(e)) => return Err(self.error("list", &e)),
            };
            let name = object.location.filename().unwrap_or_default();
            if let Some(digest) = Digest::from_hex(name.as_bytes()) {
                each(Listed {
                    digest,
                    size: object.size,
                    written: object.last_modified.into(),
                })?;
            }
        }
    }

    /// Remove a blob, if it is there.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.path(digest));
        match self.wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("remove from", &e)),
        }
    }

    fn path(&self, digest: &Digest) -> ObjectPath {
        self.prefix.clone().join("sha256").join(digest.hex())
    }

    /// A blob's address, for messages.
    pub(crate) fn place_of(&self, digest: &Digest) -> PathBuf {
        self.place(&format!("sha256/{}", digest.hex()))
    }

    /// An address below the prefix, for messages.
    pub(super) fn place(&self, below: &str) -> PathBuf {
        PathBuf::from(format!("{}/{below}", self.url))
    }

    /// Let the runtime do it, and wait.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::BadRequest("the store is closed");
        let (answer, answered) = sync_channel(1);
        self.runtime.as_ref().ok_or_else(closed)?.spawn(async move {
            // Nobody waits any more only where this process is ending.
            let _ = answer.send(work.await);
        });
        answered.recv().map_err(|_| closed())
    }

    fn error_of(&self, digest: &Digest, action: &'static str, error: &object_store::Error) -> StoreError {
        match error {
            object_store::Error::NotFound { source, .. } if !is_no_bucket(&**source) => {
                StoreError::BlobMissing {
                    digest: *digest,
                    path: self.place_of(digest),
                }
            }
            other => self.error(action, other),
        }
    }

    /// What an error means to the operator.
    pub(super) fn error(&self, action: &'static str, error: &object_store::Error) -> StoreError {
        let url = self.url.clone();
        let detail = short(error);
        match error {
            object_store::Error::NotFound { .. } => StoreError::BucketMissing { url },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                StoreError::BlobsDenied { url, detail }
            }
            other if is_no_bucket(other) => StoreError::BucketMissing { url },
            // Without credentials the client asks the cloud's machine for some.
            other if chain(other).any(|e| e.to_string().contains("169.254.169.254")) => {
                StoreError::BlobsDenied {
                    url,
                    detail: "there are no credentials, and this machine has none of the cloud's".to_owned(),
                }
            }
            other if chain(other).any(|e| e.is::<HttpError>()) => {
                StoreError::BlobsUnreachable { url, detail }
            }
            _ => StoreError::BlobsFailed { url, action, detail },
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Waits for nothing, so it may be dropped inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Bucket and prefix of a URL.
fn split(url: &str) -> Result<(&str, &str), String> {
    let rest = url
        .strip_prefix("s3://")
        .ok_or_else(|| "only s3:// is known".to_owned())?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(fits) {
        return Err(format!("`{}` is no bucket's name", bucket.escape_debug()));
    }
    Ok((bucket, prefix.trim_end_matches('/')))
}

/// An error and what it comes from.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| e.source())
}

/// S3 answers 404 both for a missing object and for a missing bucket.
pub(super) fn is_no_bucket(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|e| e.to_string().contains("NoSuchBucket"))
}

/// The innermost error in one line.
fn short(error: &object_store::Error) -> String {
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|c| !c.is_control());
    let cut = line.floor_char_boundary(DETAIL_BYTES_MAX);
    line.truncate(cut);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_and_others_refused() {
        assert_eq!(split("s3://bucket"), Ok(("bucket", "")));
        assert_eq!(split("s3://bucket/"), Ok(("bucket", "")));
        assert_eq!(split("s3://my-bucket.x/a/b/"), Ok(("my-bucket.x", "a/b")));
        for bad in [
            "",
            "s3://",
            "s3:///a",
            "gs://bucket",
            "/data",
            "s3://Bucket",
            "s3://a b",
        ] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
