//! ONNX Runtime's shared library, pinned by version and hash.
//!
//! It comes out of the Python package `onnxruntime`, which pip can fetch where nothing else can be
//! reached. The wheel is one for a fixed Python version, whatever Python runs pip, so its hash is
//! known beforehand. `CAISSON_ONNXRUNTIME` names a library to use instead; nothing is fetched then.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// The host asks for C API 24 (`ort`'s feature `api-24`): 1.24 or newer.
const VERSION: &str = "1.24.4";
/// Where it is put, in the repository; the host looks here.
const LIBRARY: &str = ".caisson/onnxruntime/libonnxruntime.so";

/// A platform that Microsoft builds a wheel for.
struct Wheel {
    os: &'static str,
    arch: &'static str,
    /// pip's name of the platform.
    platform: &'static str,
    sha256: &'static str,
    /// The library's name inside `onnxruntime/capi`.
    library: &'static str,
    library_sha256: &'static str,
}

const WHEELS: [Wheel; 3] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "0d640eb9f3782689b55cfa715094474cd5662f2f137be6a6f847a594b6e9705c",
        library: "libonnxruntime.so.1.24.4",
        library_sha256: "2d518e11c7767f9fdc4413bdbeb45acf30db504ff76a82fc19d9238a3f9f6c24",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "1a5c5a544b22f90859c88617ecb30e161ee3349fcc73878854f43d77f00558b5",
        library: "libonnxruntime.so.1.24.4",
        library_sha256: "f373ae5fd4d878ed17ebea26e5480bd3d0a15e3bd6bc94b878e6c1b73998d22a",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        sha256: "cad1c2b3f455c55678ab2a8caa51fb420c25e6e3cf10f4c23653cdabedc8de78",
        library: "libonnxruntime.1.24.4.dylib",
        library_sha256: "f958c8c8f50a787f64cd13aa5f07710b97075d9869c6983dc0001d2452100eaa",
    },
];

/// The library that tests and the demo use: the one that `CAISSON_ONNXRUNTIME` names, else ours.
pub(crate) fn path(root: &Path) -> PathBuf {
    given().unwrap_or_else(|| root.join(LIBRARY))
}

fn given() -> Option<PathBuf> {
    std::env::var_os("CAISSON_ONNXRUNTIME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// See that the library is there, or fetch it; says what it found.
pub(crate) fn ensure(root: &Path, progress: &mut dyn FnMut(&str)) -> Result<String> {
    if let Some(given) = given() {
        ensure!(
            given.is_file(),
            "CAISSON_ONNXRUNTIME: there is no file {}",
            given.display()
        );
        return Ok(format!("{} (CAISSON_ONNXRUNTIME)", given.display()));
    }
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let Some(wheel) = WHEELS.iter().find(|wheel| (wheel.os, wheel.arch) == (os, arch)) else {
        bail!(
            "no build of ONNX Runtime {VERSION} is known for {os} on {arch}: get its shared library, 1.24 or newer, and set \
             CAISSON_ONNXRUNTIME to it"
        );
    };
    let library = root.join(LIBRARY);
    if !is_intact(&library, wheel.library_sha256) {
        fetch(wheel, &library, progress)?;
    }
    Ok(format!("{VERSION}, {LIBRARY}"))
}

/// Hashing 22 MB takes a few hundredths of a second, and knows a half-written or altered file, where
/// a stamp would not.
fn is_intact(path: &Path, expected: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| sha256(&bytes) == expected)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn fetch(wheel: &Wheel, library: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let folder = library.parent().context("the library has a folder")?;
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    progress(&format!(
        "pip download onnxruntime=={VERSION} ({})",
        wheel.platform
    ));
    download(wheel, &partial, progress)?;
    let file = the_wheel_in(&partial)?;
    let found = sha256(&fs::read(&file)?);
    ensure!(
        found == wheel.sha256,
        "{} has SHA-256 {found}, and {} was expected: this is not the file that was checked when the version was pinned",
        file.display(),
        wheel.sha256
    );
    unzip(&file, &partial)?;
    let unpacked = partial.join("onnxruntime/capi").join(wheel.library);
    ensure!(
        is_intact(&unpacked, wheel.library_sha256),
        "{} is not the pinned library",
        unpacked.display()
    );

    fs::create_dir_all(folder)?;
    for licence in ["LICENSE", "ThirdPartyNotices.txt"] {
        fs::rename(partial.join("onnxruntime").join(licence), folder.join(licence))?;
    }
    fs::rename(&unpacked, library)?;
    fs::write(folder.join("VERSION"), format!("{VERSION}\n"))?;
    fs::remove_dir_all(&partial)?;
    Ok(())
}

fn the_wheel_in(folder: &Path) -> Result<PathBuf> {
    fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ext| ext == "whl"))
        .context("pip said nothing and brought nothing")
}

fn download(wheel: &Wheel, to: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let mut pip = pip(progress)?;
    pip.args([
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ])
    .args([
        "--implementation",
        "cp",
        "--python-version",
        "3.12",
        "--abi",
        "cp312",
    ])
    .args(["--platform", wheel.platform, "--dest"])
    .arg(to)
    .arg(format!("onnxruntime=={VERSION}"));
    let status = pip.status()?;
    ensure!(
        status.success(),
        "pip could not fetch onnxruntime {VERSION} ({status})"
    );
    Ok(())
}

/// Some way to run pip. On a bare Debian, root can install it.
fn pip(progress: &mut dyn FnMut(&str)) -> Result<Command> {
    const WAYS: [&[&str]; 4] = [
        &["python3", "-m", "pip"],
        &["python", "-m", "pip"],
        &["pip3"],
        &["pip"],
    ];
    let find = || {
        WAYS.into_iter().find_map(|way| {
            let (program, args) = way.split_first()?;
            let mut command = Command::new(program);
            command.args(args);
            let works = Command::new(program).args(args).arg("--version").output();
            works
                .is_ok_and(|output| output.status.success())
                .then_some(command)
        })
    };
    if let Some(pip) = find() {
        return Ok(pip);
    }
    progress("apt-get install python3-pip");
    let install = Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends", "python3-pip"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output();
    if install.is_ok_and(|output| output.status.success())
        && let Some(pip) = find()
    {
        return Ok(pip);
    }
    bail!(
        "pip is needed to fetch ONNX Runtime: install Python's pip (python3-pip), or set CAISSON_ONNXRUNTIME to a \
         libonnxruntime of version 1.24 or newer"
    )
}

fn unzip(file: &Path, to: &Path) -> Result<()> {
    for (program, args) in [
        ("python3", &["-m", "zipfile", "-e"][..]),
        ("python", &["-m", "zipfile", "-e"]),
        ("unzip", &["-q"]),
    ] {
        let mut command = Command::new(program);
        command.args(args).arg(file);
        if program == "unzip" {
            command.arg("-d");
        }
        command.arg(to);
        if command.output().is_ok_and(|output| output.status.success()) {
            return Ok(());
        }
    }
    bail!("neither python3 nor unzip could unpack {}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_known_bytes() {
        // The example of FIPS 180-4.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn an_altered_library_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        assert!(!is_intact(&path, &sha256(b"library")), "a missing file");
        fs::write(&path, b"library").unwrap();
        assert!(is_intact(&path, &sha256(b"library")));
        fs::write(&path, b"librarx").unwrap();
        assert!(!is_intact(&path, &sha256(b"library")));
    }

    #[test]
    fn pins_are_whole() {
        for wheel in &WHEELS {
            for hash in [wheel.sha256, wheel.library_sha256] {
                assert_eq!(hex::decode(hash).unwrap().len(), 32);
            }
            assert!(wheel.library.contains(VERSION));
        }
    }
}
