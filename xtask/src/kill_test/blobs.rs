//! The blobs of a data folder: each must be what its name says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

/// Hash every blob of a data folder; how many there are.
pub(super) fn check_all(data: &Path) -> Result<usize> {
    let mut count = 0;
    let mut folders = vec![root(data)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            ensure!(
                digest(&bytes) == format!("sha256:{name}"),
                "the blob {} ({} bytes) is not what its name says",
                path.display(),
                bytes.len()
            );
            count += 1;
        }
    }
    Ok(count)
}

/// The blob with this digest must be there. That it is whole, [`check_all`] has looked.
pub(super) fn exists(data: &Path, digest: &str) -> Result<()> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let (Some(first), Some(second)) = (hex.get(..2), hex.get(2..4)) else {
        anyhow::bail!("`{digest}` is no digest");
    };
    let path = root(data).join(first).join(second).join(hex);
    ensure!(
        path.is_file(),
        "a record names the blob {digest}, and {} is not there",
        path.display()
    );
    Ok(())
}

/// A digest as the API writes it.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn root(data: &Path) -> PathBuf {
    data.join("blobs/sha256")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_is_not_what_its_name_says_is_found() {
        let data = tempfile::tempdir().unwrap();
        let name = digest(b"whole").split_off("sha256:".len());
        let folder = root(data.path()).join(&name[..2]).join(&name[2..4]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&name), b"whole").unwrap();
        assert_eq!(check_all(data.path()).unwrap(), 1);
        exists(data.path(), &digest(b"whole")).unwrap();
        assert!(exists(data.path(), &digest(b"another")).is_err());
        fs::write(folder.join(&name), b"who").unwrap();
        assert!(check_all(data.path()).unwrap_err().to_string().contains(&name));
    }
}
