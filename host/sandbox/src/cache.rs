//! Compiled code on disk, and what preparing a stage found.
//!
//! One file each, named by the digest of its input and by wasmtime's compatibility hash, so that
//! another version or another setting never meets it. Each file ends with an HMAC-SHA256 over its
//! name and contents, under a key that is made on first use and kept beside it (mode 0600): a file
//! that was cut, forged, renamed or copied from elsewhere is a miss. Code stands at the start of its
//! file, so that it can be mapped; the empty pages of a snapshot's memory are holes. A file never
//! changes once it has its name: who writes into one, or cuts it, while a server runs takes the
//! server's code from under it. The folder is bounded; the least recently used go first. No failure
//! here fails a caller: it costs a compile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::compile::Artifact;
use crate::error::SandboxError;
use crate::raw::Trusted;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
const KEY_FILE: &str = "artifact.key";
const SUFFIX: &str = "caisson-code";
/// The form of the files. An older one's is another name, and goes when it is the oldest.
const FORMAT: &str = "2";

/// Bytes of the note that follows the contents: why code has no snapshot accessors.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// Bytes of a record: an output schema, mostly.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// What is left out of a file where it is empty, and out of its HMAC with it: a page.
const BLOCK_BYTES: usize = 4096;
/// Blocks that are read at once.
const READ_BLOCKS: usize = 64;

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
        self.dir.join(format!("{name}-{engine}-{FORMAT}.{SUFFIX}"))
    }

    /// Over all that says which file it is and what it holds, but blocks.
    fn mac(&self, name: &str, contents_bytes: u64, note: &[u8]) -> io::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(io::Error::other)?;
        for part in [
            FORMAT.as_bytes(),
            self.compatibility.as_bytes(),
            name.as_bytes(),
            note,
        ] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.update(&contents_bytes.to_le_bytes());
        Ok(mac)
    }

    /// The artifact of this name, if an authentic one is there.
    pub(crate) fn get(&self, name: &str) -> Option<Cached> {
        let file = File::open(self.path(name)).ok()?;
        let (_, note) = self.authentic(name, &file)?;
        let plain = (!note.is_empty()).then_some(note);
        Some(Cached {
            code: Trusted::from_cache(file),
            plain,
        })
    }

    /// The record of this name, if an authentic one is there.
    pub(crate) fn get_record(&self, name: &str) -> Option<Vec<u8>> {
        let file = File::open(self.path(name)).ok()?;
        let (length, _) = self.authentic(name, &file)?;
        if length > RECORD_BYTES_MAX {
            return None;
        }
        let mut record = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut record, 0).ok()?;
        Some(record)
    }

    /// The length of a file's contents and its note, where its HMAC is right.
    fn authentic(&self, name: &str, file: &File) -> Option<(u64, String)> {
        match self.verify(name, file) {
            Ok(Some(found)) => {
                // For eviction. A read-only folder still serves.
                let _ = file.set_modified(SystemTime::now());
                Some(found)
            }
            Ok(None) => {
                tracing::warn!(
                    artifact = name,
                    "a compiled artifact is damaged or forged; compiling anew"
                );
                None
            }
            Err(error) => {
                tracing::warn!(artifact = name, %error, "a compiled artifact can't be read; compiling anew");
                None
            }
        }
    }

    fn verify(&self, name: &str, file: &File) -> io::Result<Option<(u64, String)>> {
        let length = file.metadata()?.len();
        let Some(end) = length.checked_sub((2 + MAC_BYTES) as u64) else {
            return Ok(None);
        };
        let mut trailer = [0; 2 + MAC_BYTES];
        file.read_exact_at(&mut trailer, end)?;
        let (note_bytes, tag) = trailer.split_at(2);
        let note_bytes = note_bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u16::from(byte));
        let Some(contents) = end.checked_sub(note_bytes.into()) else {
            return Ok(None);
        };
        let mut note = vec![0; note_bytes.into()];
        file.read_exact_at(&mut note, contents)?;
        let mut mac = self.mac(name, contents, &note)?;
        let mut buffer = vec![0; READ_BLOCKS * BLOCK_BYTES];
        let mut at = 0;
        while at < contents {
            let wanted = usize::try_from(contents - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let Some(piece) = buffer.get_mut(..wanted) else {
                break;
            };
            file.read_exact_at(piece, at)?;
            for_each_block(piece, at, |at, block| mac_block(&mut mac, at, block));
            at += wanted as u64;
        }
        let authentic = mac.verify_slice(tag).is_ok();
        Ok(String::from_utf8(note)
            .ok()
            .filter(|_| authentic)
            .map(|note| (contents, note)))
    }

    /// Keep an artifact. A failure is logged; it costs the next run a compile.
    pub(crate) fn put(&self, name: &str, artifact: &Artifact) {
        let note = artifact.plain.as_deref().unwrap_or_default();
        self.keep(name, &artifact.code, &crate::text::tame(note, NOTE_BYTES_MAX));
    }

    /// Keep a record, in the same way.
    pub(crate) fn put_record(&self, name: &str, record: &[u8]) {
        if record.len() as u64 <= RECORD_BYTES_MAX {
            self.keep(name, record, "");
        }
    }

    fn keep(&self, name: &str, contents: &[u8], note: &str) {
        if let Err(error) = self.write(name, contents, note) {
            tracing::warn!(artifact = name, %error, "a compiled artifact could not be kept");
        }
        self.evict();
    }

    fn write(&self, name: &str, contents: &[u8], note: &str) -> io::Result<()> {
        let mut mac = self.mac(name, contents.len() as u64, note.as_bytes())?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        let mut written = Ok(());
        for_each_block(contents, 0, |at, block| {
            mac_block(&mut mac, at, block);
            if written.is_ok() {
                written = file.as_file().write_all_at(block, at);
            }
        });
        written?;
        let mut trailer = note.as_bytes().to_vec();
        trailer.extend_from_slice(&u16::try_from(note.len()).map_err(io::Error::other)?.to_le_bytes());
        trailer.extend_from_slice(&mac.finalize().into_bytes());
        file.as_file_mut().write_all_at(&trailer, contents.len() as u64)?;
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
                // What it takes of the disk, holes not counted.
                Some((meta.modified().ok()?, meta.blocks() * 512, e.path()))
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

/// Give the blocks of `bytes`, which begin at `at`, that aren't empty.
fn for_each_block(bytes: &[u8], at: u64, mut give: impl FnMut(u64, &[u8])) {
    static EMPTY: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    for (block, at) in bytes.chunks(BLOCK_BYTES).zip((at..).step_by(BLOCK_BYTES)) {
        if EMPTY.get(..block.len()) != Some(block) {
            give(at, block);
        }
    }
}

fn mac_block(mac: &mut Hmac<Sha256>, at: u64, block: &[u8]) {
    mac.update(&at.to_le_bytes());
    mac.update(block);
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

    fn artifact(code: &[u8], plain: Option<&str>) -> Artifact {
        Artifact {
            code: code.to_vec(),
            plain: plain.map(str::to_owned),
        }
    }

    fn code(cached: &Cached) -> Vec<u8> {
        let Trusted::Kept(file) = &cached.code else {
            panic!("not from a file")
        };
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let note = cached.plain.as_ref().map_or(0, String::len);
        bytes.truncate(bytes.len() - note - 2 - MAC_BYTES);
        bytes
    }

    #[test]
    fn what_is_put_comes_back_and_only_for_its_name_key_and_engine() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 20, "e".repeat(64)).unwrap();
        cache.put("a", &artifact(b"code", Some("why")));
        let found = cache.get("a").unwrap();
        assert_eq!(code(&found), b"code");
        assert_eq!(found.plain.as_deref(), Some("why"));
        assert!(cache.get("b").is_none());
        cache.put_record("r", b"record");
        assert_eq!(cache.get_record("r").unwrap(), b"record");
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
        cache.put("a", &artifact(b"code", None));
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
    fn empty_pages_are_holes_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), 1 << 30, "e".repeat(64)).unwrap();
        let mut sparse = vec![0; (300 * BLOCK_BYTES) + 17];
        sparse[5] = 1;
        sparse[200 * BLOCK_BYTES + 1] = 2;
        cache.put("a", &artifact(&sparse, Some("why")));
        assert_eq!(code(&cache.get("a").unwrap()), sparse);
        let meta = fs::metadata(cache.path("a")).unwrap();
        assert!(
            meta.blocks() * 512 < 16 * BLOCK_BYTES as u64,
            "{} blocks",
            meta.blocks()
        );
        // What is in a hole counts, and so does where a block stands.
        for (at, byte) in [(100 * BLOCK_BYTES, 1), (5, 0), (200 * BLOCK_BYTES + 1, 0)] {
            let file = OpenOptions::new().write(true).open(cache.path("a")).unwrap();
            file.write_all_at(&[byte], at as u64).unwrap();
            assert!(cache.get("a").is_none(), "byte {at}");
            file.write_all_at(&[sparse[at]], at as u64).unwrap();
            assert!(cache.get("a").is_some());
        }
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
        let cache = Cache::open(dir.path(), 2 * BLOCK_BYTES as u64, "e".repeat(64)).unwrap();
        let old = SystemTime::now() - std::time::Duration::from_secs(60);
        for name in ["a", "b"] {
            cache.put(name, &artifact(&[7; 100], None));
            File::open(cache.path(name)).unwrap().set_modified(old).unwrap();
        }
        assert!(cache.get("a").is_some()); // Used just now.
        cache.put("c", &artifact(&[7; 100], None));
        assert!(cache.get("a").is_some());
        assert!(cache.get("b").is_none());
        assert!(cache.get("c").is_some());
    }
}
