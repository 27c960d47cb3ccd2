//! Python with a package or two, for tests that hold the server against what others say.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::root;

/// Python with what a file of requirements pins; installed where it isn't yet, by one process at a time.
pub fn python(name: &str, requirements: &str) -> PathBuf {
    let requirements = root().join("tests/e2e").join(requirements);
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    caisson_test_tools::python::environment(tmp, name, &requirements).unwrap()
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
