//! Which server a command talks to, and with which key.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

/// Where the key is when no file is named.
const KEY_ENV: &str = "CAISSON_KEY";
/// Bytes read of a key file: a key has 60, and a file this long holds something else.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// Which server, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// The server's address.
    #[arg(
        long,
        env = "CAISSON_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// A file that holds the key to use, in place of the one in the environment variable CAISSON_KEY.
    ///
    /// No flag takes the key itself: the arguments of a process are seen by everyone on the machine
    /// (`ps`), and shells write them into their history.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Remote {
    /// The value of the `Authorization` header; none without a key.
    pub(crate) fn authorization(&self) -> anyhow::Result<Option<String>> {
        let key = match &self.key_file {
            Some(path) => Some(read_key(path)?),
            None => match std::env::var(KEY_ENV) {
                Ok(text) => Some(text),
                Err(std::env::VarError::NotPresent) => None,
                Err(std::env::VarError::NotUnicode(_)) => bail!("{KEY_ENV} holds no key: it is no text"),
            },
        };
        let Some(key) = key.as_deref().map(str::trim).filter(|key| !key.is_empty()) else {
            return Ok(None);
        };
        // The key itself stays out of the message.
        if !key.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the key has spaces or other characters that no key has; give the key alone, `csn_…`");
        }
        Ok(Some(format!("Bearer {key}")))
    }
}

fn read_key(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
        .with_context(|| format!("reading the key file {}", path.display()))?;
    if text.trim().is_empty() {
        bail!("the key file {} is empty", path.display());
    }
    Ok(text)
}

/// Whose things a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct OfTenant {
    /// The tenant; the key's own if absent.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> anyhow::Result<Option<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, text).unwrap();
        Remote {
            server: String::new(),
            key_file: Some(path),
            json: false,
        }
        .authorization()
    }

    #[test]
    fn a_key_file_holds_a_key_and_line_ends_do_not_matter() {
        assert_eq!(with_file("csn_a_b\n").unwrap().as_deref(), Some("Bearer csn_a_b"));
        assert!(with_file(" \n").unwrap_err().to_string().contains("is empty"));
        let two = with_file("csn_a_b\ncsn_c_d\n").unwrap_err().to_string();
        assert!(two.contains("the key alone") && !two.contains("csn_a"), "{two}");
    }
}
