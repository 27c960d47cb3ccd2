//! Virtual environments with pinned packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The interpreter of a virtual environment of this name, below `folder`, that has what the requirements
/// say and what that needs. Made where it isn't there yet or has other requirements, by one process at a
/// time.
///
/// # Errors
///
/// There is no Python with `venv` and `pip`, or no package index.
pub fn environment(folder: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    install(folder, name, requirements, &[])
}

/// The same with exactly what the requirements list: for lists that name all, or whose packages disagree
/// about their versions.
///
/// # Errors
///
/// As [`environment`].
pub fn environment_as_listed(folder: &Path, name: &str, requirements: &Path) -> Result<PathBuf> {
    install(folder, name, requirements, &["--no-deps"])
}

fn install(folder: &Path, name: &str, requirements: &Path, flags: &[&str]) -> Result<PathBuf> {
    let wanted = fs::read(requirements).with_context(|| requirements.display().to_string())?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let lock = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| lock.display().to_string())?;
    // Held until this returns.
    lock.lock()?;
    let environment = folder.join(name);
    let python = environment.join("bin/python");
    // What is installed, written last: an installation that was cut short is done again.
    let installed = environment.join("installed.txt");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) && was_made_here(&environment) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python)
        .args(pip)
        .args(flags)
        .arg("--requirement")
        .arg(requirements))?;
    fs::write(&installed, &wanted)?;
    Ok(python)
}

/// The programs of an environment name the folder that it was made in: one that was moved with a checkout is
/// made again. (Python before 3.11 doesn't say where that was.)
fn was_made_here(environment: &Path) -> bool {
    let said = fs::read_to_string(environment.join("pyvenv.cfg")).unwrap_or_default();
    let made = said.lines().find_map(|line| line.strip_prefix("command = "));
    made.is_none_or(|command| command.ends_with(&environment.display().to_string()))
}

fn run(command: &mut Command) -> Result<()> {
    const NEED: &str = "python3 with venv and pip, and a package index, are needed";
    let output = command
        .output()
        .with_context(|| format!("{NEED}: {}", command.get_program().display()))?;
    if !output.status.success() {
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        bail!("{NEED}: {command:?}: {said}{complained}");
    }
    Ok(())
}
