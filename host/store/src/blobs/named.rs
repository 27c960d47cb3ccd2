//! Objects by name in the object store, beside the blobs. They are small enough to be held in memory.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload};

use super::bucket::{Bucket, is_no_bucket};
use crate::{ObjectInfo, StoreError};

/// The part of the prefix that they have.
const FOLDER: &str = "objects";

impl Bucket {
    pub(crate) fn put_named(&self, path: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.named(path));
        self.wait(async move { store.put(&path, PutPayload::from(bytes)).await })?
            .map(|_| ())
            .map_err(|e| self.error("write to", &e))
    }

    /// None where there is no such object.
    pub(crate) fn get_named(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.named(path));
        let got = self.wait(async move {
            let answer = store.get(&path).await?;
            match answer.meta.size {
                size if size > max_bytes => Ok(Err(size)),
                _ => Ok(Ok(answer.bytes().await?)),
            }
        })?;
        match got {
            Ok(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(Err(size)) => Err(StoreError::TooLarge {
                what: "the object",
                size,
                max: max_bytes,
            }),
            Err(object_store::Error::NotFound { source, .. }) if !is_no_bucket(&*source) => Ok(None),
            Err(e) => Err(self.error("read", &e)),
        }
    }

    pub(crate) fn remove_named(&self, path: &str) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), self.named(path));
        match self.wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("remove from", &e)),
        }
    }

    /// Visit the objects below a folder.
    pub(crate) fn visit_named(
        &self,
        folder: &str,
        each: &mut dyn FnMut(ObjectInfo) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let root = self.named("");
        let mut objects = self.store.list(Some(&self.named(folder)));
        loop {
            let (object, rest) = self.wait(async move { (objects.next().await, objects) })?;
            objects = rest;
            let object = match object {
                None => return Ok(()),
                Some(Ok(object)) => object,
                Some(Err(e)) => return Err(self.error("list", &e)),
            };
            let below = object.location.as_ref().strip_prefix(root.as_ref());
            if let Some(path) = below.and_then(|path| path.strip_prefix('/')) {
                each(ObjectInfo {
                    path: path.to_owned(),
                    size: object.size,
                    written: object.last_modified.into(),
                })?;
            }
        }
    }

    /// Where the objects are, for people.
    pub(crate) fn named_place(&self) -> PathBuf {
        self.place(FOLDER)
    }

    /// The path was checked: its characters are those that need no escape.
    fn named(&self, path: &str) -> ObjectPath {
        path.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone().join(FOLDER), |at, part| at.join(part))
    }
}
