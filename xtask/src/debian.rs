//! Debian's packages, unpacked into a folder of ours instead of installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Download the packages and unpack them below `into`.
///
/// # Errors
///
/// There is no `apt-get`, or it doesn't know them.
pub(crate) fn unpack(packages: &[&str], into: &Path) -> Result<String> {
    fs::create_dir_all(into)?;
    let run = |command: &mut Command| -> Result<()> {
        let output = command
            .current_dir(into)
            .output()
            .with_context(|| format!("{command:?}"))?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    };
    run(Command::new("apt-get").arg("download").args(packages))?;
    for entry in fs::read_dir(into)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(into))?;
        }
    }
    Ok(into.display().to_string())
}
