//! Python with a package or two, for tests that hold the server against what others say.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::root;

/// Python with what a file of requirements pins; installed where it isn't yet, by one process at a time.
pub fn python(name: &str, requirements: &str) -> PathBuf {
    let requirements = root().join("tests/e2e").join(requirements);
    let text = fs::read(&requirements).unwrap();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(tmp).unwrap();
    let lock = File::create(tmp.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let venv = tmp.join(name);
    // What is installed, written last.
    let done = venv.join("installed.txt");
    if fs::read(&done).is_ok_and(|installed| installed == text) {
        return venv.join("bin/python");
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    run(Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements));
    fs::write(done, text).unwrap();
    venv.join("bin/python")
}

/// What a command that must succeed prints.
pub fn run(command: &mut Command) -> Vec<u8> {
    let need = "this test needs python3 with venv and pip, and a package index";
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{need}: {:?}: {e}", command.get_program()));
    assert!(
        output.status.success(),
        "{need}: {command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
