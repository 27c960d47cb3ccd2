//! Real builds with this machine's WebAssembly toolchain (`cargo xtask setup` puts one in place).

#![expect(clippy::unwrap_used, reason = "what the tests share fails by panicking, too")]

use std::fs;
use std::path::{Path, PathBuf};

use caisson_plugin_build::{BuildError, BuildOptions, Built, Search, Toolchain, build_component};

/// A copy of `tests/plugin`, changed as a test likes, in a folder of its own.
fn plugin(name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(to.join("src")).unwrap();
    for file in ["Cargo.toml", "src/lib.rs"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    // The versions of this repository, which are here already: nothing to download.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    fs::copy(lock, to.join("Cargo.lock")).unwrap();
    to
}

fn build(dir: &Path) -> Result<Built, BuildError> {
    let toolchain = Toolchain::find(&Search::from_env().unwrap()).unwrap();
    let options = BuildOptions {
        profile: String::from("guest"),
        target_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests")),
    };
    build_component(&toolchain, dir, &options, &mut |line| eprintln!("{line}"))
}

fn replace(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} holds no `{from}`");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_crate_becomes_a_component() {
    let dir = plugin("becomes-a-component");
    let built = build(&dir).unwrap();
    assert_eq!(built.package, "tiny-plugin");
    assert_eq!(built.bytes, fs::read(&built.path).unwrap());
    assert_eq!(built.size, built.bytes.len());
    // A component's preamble: magic, then version 13 of layer 1.
    assert_eq!(&built.bytes[..8], b"\0asm\x0d\0\x01\0");
    let text = String::from_utf8_lossy(&built.bytes);
    assert!(text.contains("double"), "the world's export is missing");
    let home = std::env::home_dir().unwrap();
    assert!(
        !text.contains(home.to_str().unwrap()),
        "the component tells the builder's home folder"
    );

    let again = build(&dir).unwrap();
    assert!(
        !again.changed,
        "a build of the same source wrote another component"
    );
}

#[test]
fn a_compiler_error_reads_as_the_compiler_wrote_it() {
    let dir = plugin("compiler-error");
    replace(&dir, "Cargo.toml", "tiny-plugin", "tiny-broken");
    replace(&dir, "src/lib.rs", "[n, n]", "[n, m]");
    let error = build(&dir).unwrap_err();
    assert!(matches!(error, BuildError::Cargo { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("cannot find value `m` in this scope") && text.contains("src/lib.rs:"),
        "{text}"
    );
}

#[test]
fn a_crate_without_a_world_is_no_plugin() {
    let dir = plugin("no-world");
    replace(&dir, "Cargo.toml", "tiny-plugin", "tiny-no-world");
    fs::write(
        dir.join("src/lib.rs"),
        "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
    )
    .unwrap();
    let error = build(&dir).unwrap_err();
    assert!(matches!(error, BuildError::Encode { .. }), "{error}");
    assert!(error.to_string().contains("tiny-no-world"), "{error}");
}

#[test]
fn a_library_that_is_no_cdylib_is_told_what_to_write() {
    let dir = plugin("no-cdylib");
    replace(&dir, "Cargo.toml", "[\"cdylib\"]", "[\"rlib\"]");
    let error = build(&dir).unwrap_err();
    assert!(matches!(error, BuildError::NotCdylib(_)), "{error}");
}

#[test]
fn a_manifest_that_cargo_refuses_is_explained() {
    let dir = plugin("bad-manifest");
    replace(&dir, "Cargo.toml", "[lib]", "[lib");
    let error = build(&dir).unwrap_err();
    assert!(matches!(error, BuildError::Run(_)), "{error}");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
}
