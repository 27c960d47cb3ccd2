//! Where blobs are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::time::SystemTime;

use super::bucket::Bucket;
use super::folder::{Folder, Temporary};
use crate::{BlobInfo, Digest, StoreError};

/// Where a data folder's blobs are. It is written down in the data folder when that is made, and a
/// store isn't opened with another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BlobBackend {
    /// In the data folder.
    #[default]
    Local,
    /// In an object store, with copies of those in use in the data folder.
    Url {
        /// `s3://BUCKET` or `s3://BUCKET/PREFIX`: of one data folder alone.
        url: String,
        /// How it is reached.
        options: UrlOptions,
    },
}

impl BlobBackend {
    /// Check what can be checked without asking anybody.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobsUrl`].
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Local => Ok(()),
            Self::Url { url, options } => Bucket::open(url, options).map(|_| ()),
        }
    }

    /// As it is written down in a data folder.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Url { url, .. } => url.trim_end_matches('/').to_owned(),
        }
    }
}

/// How an object store is reached. What is not said here comes from the environment (`AWS_REGION`,
/// `AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, and the other
/// variables of Amazon's command line).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlOptions {
    /// The server, where it isn't Amazon's: `https://minio.example.org:9000`.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// May the endpoint be `http://`?
    pub allow_http: bool,
    /// The credentials.
    pub credentials: Option<Credentials>,
    /// Bytes of the copies in the data folder, beyond which the least recently used are removed.
    /// Those handed out in the last minutes stay, as somebody may be about to open them.
    pub cache_bytes: u64,
    /// Anything else that the object store's client has a name for (`virtual_hosted_style_request`,
    /// `proxy_url`).
    pub more: BTreeMap<String, String>,
}

impl Default for UrlOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            allow_http: false,
            credentials: None,
            cache_bytes: 8 * 1024 * 1024 * 1024,
            more: BTreeMap::new(),
        }
    }
}

/// The credentials of an object store. Their debug form doesn't show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A blob as a listing has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) written: SystemTime,
}

/// What keeps blobs. Nothing here checks a digest: that is done where bytes are read.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// The local folder in which blobs are written before they are kept, and where they are read.
    fn folder(&self) -> &Folder;

    /// The object store; none where blobs are in the data folder.
    fn bucket(&self) -> Option<&Bucket> {
        None
    }

    /// What is kept here are the data folder's of this id from now on.
    fn take_over(&self, id: &str) -> Result<(), StoreError>;

    /// Keep what the file holds; it is durable when this returns.
    fn keep(&self, temporary: Temporary, blob: &BlobInfo) -> Result<(), StoreError>;

    /// What a listing has of the blob of this digest; none where there is none.
    fn look(&self, digest: &Digest) -> Result<Option<Listed>, StoreError>;

    /// A blob's file in the folder, and its size; fetched where it isn't there yet. It stays there for
    /// some minutes.
    fn open(&self, digest: &Digest) -> Result<(File, u64), StoreError>;

    /// The file in the folder is damaged. Is it only a copy, and gone now?
    fn discard_copy(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Visit every blob.
    fn visit(&self, each: &mut dyn FnMut(Listed) -> Result<(), StoreError>) -> Result<(), StoreError>;

    /// Remove a blob, if it is there.
    fn remove(&self, digest: &Digest) -> Result<(), StoreError>;
}
