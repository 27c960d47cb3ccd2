//! Compiled code on disk.
//!
//! One file an artifact, named by the digest of its input and by wasmtime's compatibility hash, so
//! that another version or another setting never meets it. Each file begins with an HMAC-SHA256
//! over its name and contents, under a key that is made on first use and kept beside it (mode
//! 0600): a file that was cut, forged, renamed or copied from elsewhere is a miss. The folder is
//! bounded; the least recently used go first. No failure here fails a caller: it costs a compile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::compile::Artifact;
use crate::deserialize::Trusted;
use crate::error::SandboxError;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
const KEY_FILE: &str = "artifact.key";
const SUFFIX: &str = "caisson-code";

/// Bytes of the reason that precedes the code.
const REASON_BYTES_MAX: usize = 4 << 10;

/// Compiled code and what is known of it.
pub(crate) struct Cached {
    pub(crate) code: Trusted,
    pub(crate) plain: Option<String>,
}

impl From<Artifact> for Cached {
    fn from(artifact: Artifact) -> Self {
        Self {
            code: Trusted::from_child(artifact.code),
            plain: artifact.plain,
        }
    }
}

pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    bytes_max: u64,
    compatibility: String,
    /// One eviction at a time.
    evicting: Mutex<()>,
}

impl Cache {
    /// Open or make the folder and its key.
    pub(crate) fn open(dir: &Path, bytes_max: u64, compatibility: String) -> Result<Self, SandboxError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| SandboxError::Cache { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(at(dir))?;
        let key_path = dir.join(KEY_FILE);
        let key = load_or_make_key(dir, &key_path).map_err(at(&key_path))?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
            bytes_max,
            compatibility,
            evicting: Mutex::new(()),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        // Half of the hash tells engines apart well enough, and keeps names within 255 bytes.
        let engine = self.compatibility.get(..32).unwrap_or(&self.compatibility);
        self.dir.join(format!("{name}-{engine}.{SUFFIX}"))
    }

    fn mac(&self, name: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(self.compatibility.as_bytes());
        mac.update(&[0]);
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(body);
        Some(mac)
    }

    /// The artifact of this name, if an authentic one is there.
    pub(crate) fn get(&self, name: &str) -> Option<Cached> {
        let mut file = File::open(self.path(name)).ok()?;
        let mut tag = [0; MAC_BYTES];
        file.read_exact(&mut tag).ok()?;
        let mut body = Vec::new();
        file.read_to_end(&mut body).ok()?;
        if self.mac(name, &body)?.verify_slice(&tag).is_err() {
            tracing::warn!(
                artifact = name,
                "a compiled artifact is damaged or forged; compiling anew"
            );
            return None;
        }
        // For eviction. A read-only folder still serves.
        let _ = file.set_modified(SystemTime::now());
        let (length, rest) = body.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let reason = std::str::from_utf8(rest.get(..length)?).ok()?;
        let plain = (!reason.is_empty()).then(|| reason.to_owned());
        body.drain(..2 + length);
        Some(Cached {
            code: Trusted::from_cache(body),
            plain,
        })
    }

    /// Keep an artifact. A failure is logged; it costs the next run a compile.
    pub(crate) fn put(&self, name: &str, cached: &Cached) {
        if let Err(error) = self.write(name, cached) {
            tracing::warn!(artifact = name, %error, "a compiled artifact could not be kept");
        }
        self.evict();
    }

    fn write(&self, name: &str, cached: &Cached) -> io::Result<()> {
        let reason = cached.plain.as_deref().unwrap_or_default();
        let reason = crate::text::tame(reason, REASON_BYTES_MAX);
        let length = u16::try_from(reason.len()).map_err(io::Error::other)?;
        let code = cached.code.bytes();
        let mut body = Vec::with_capacity(2 + reason.len() + code.len());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(reason.as_bytes());
        body.extend_from_slice(code);
        let mac = self.mac(name, &body).ok_or_else(|| io::Error::other("no key"))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&mac.finalize().into_bytes())?;
        file.write_all(&body)?;
        file.persist(self.path(name)).map_err(|e| e.error)?;
        Ok(())
    }

    /// Remove the least recently used until the rest fits.
    fn evict(&self) {
        let Ok(_one) = self.evicting.lock() else { return };
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == SUFFIX))
            .filter_map(|e| {
                let meta = e.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), e.path()))
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort_unstable();
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }
}

/// The key's file appears whole or not at all, and never changes: two hosts that start at once on
/// one folder agree on it.
fn load_or_make_key(dir: &Path, path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if !path.exists() {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new().make_in(dir, |p| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(p)
        })?;
        file.write_all(&key)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => {}
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.error),
        }
    }
    let bytes = fs::read(path)?;
    <[u8; KEY_BYTES]>::try_from(bytes).map_err(|bytes| {
        io::Error::other(format!(
            "the key has {} bytes instead of {KEY_BYTES}: remove the file, and the artifacts are compiled anew",
            bytes.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(code: &[u8], plain: Option<&str>) -> Cached {
        Cached {
            code: Trusted::from_child(code.to_vec()),
            plain: plain.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_put_comes_back_and_only_for_its_name_key_and_engine() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 20, "e".repeat(64)).unwrap();
        cache.put("a", &cached(b"code", Some("why")));
        let found = cache.get("a").unwrap();
        assert_eq!(found.code.bytes(), b"code");
        assert_eq!(found.plain.as_deref(), Some("why"));
        assert!(cache.get("b").is_none());
        // Renamed.
        fs::copy(cache.path("a"), cache.path("b")).unwrap();
        assert!(cache.get("b").is_none());
        // Another process, the same key.
        let again = Cache::open(dir.path(), 1 << 20, "e".repeat(64)).unwrap();
        assert!(again.get("a").is_some());
        // Another engine.
        let other = Cache::open(dir.path(), 1 << 20, "f".repeat(64)).unwrap();
        assert!(other.get("a").is_none());
        fs::copy(cache.path("a"), other.path("a")).unwrap();
        assert!(other.get("a").is_none());
        // Another key.
        fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let forged = Cache::open(dir.path(), 1 << 20, "e".repeat(64)).unwrap();
        assert!(forged.get("a").is_none());
    }

    #[test]
    fn a_changed_or_cut_file_is_a_miss() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 20, "e".repeat(64)).unwrap();
        cache.put("a", &cached(b"code", None));
        let whole = fs::read(cache.path("a")).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(cache.path("a"), &bytes).unwrap();
            assert!(cache.get("a").is_none(), "byte {at}");
            fs::write(cache.path("a"), &whole[..at]).unwrap();
            assert!(cache.get("a").is_none(), "cut at {at}");
        }
        fs::write(cache.path("a"), &whole).unwrap();
        assert!(cache.get("a").is_some());
    }

    #[test]
    fn the_key_is_for_its_owner_alone_and_a_broken_one_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Cache::open(dir.path(), 0, String::new()).unwrap();
        let key = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&key).unwrap();
        fs::write(&key, b"short").unwrap();
        let error = Cache::open(dir.path(), 0, String::new()).err().unwrap();
        assert!(error.to_string().contains("5 bytes instead of 32"), "{error}");
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 2 * (34 + 100), "e".repeat(64)).unwrap();
        let old = SystemTime::now() - std::time::Duration::from_secs(60);
        for name in ["a", "b"] {
            cache.put(name, &cached(&[7; 100], None));
            File::open(cache.path(name)).unwrap().set_modified(old).unwrap();
        }
        assert!(cache.get("a").is_some()); // Used just now.
        cache.put("c", &cached(&[7; 100], None));
        assert!(cache.get("a").is_some());
        assert!(cache.get("b").is_none());
        assert!(cache.get("c").is_some());
    }
}
