//! The SDK's README, followed to the letter: every `sh` block of it, in order, in one shell.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::{Server, root};

/// The `sh` blocks of a Markdown file, joined.
fn script(markdown: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in markdown.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    out
}

#[test]
fn the_readme_takes_a_newcomer_to_a_pushed_plugin() {
    let readme = std::fs::read_to_string(root().join("sdk/rust/README.md")).unwrap();
    let script = script(&readme);
    assert!(
        script.contains("caisson plugin new") && script.contains("caisson plugin push"),
        "{script}"
    );
    // The README starts a server on the usual port; here it runs already, on a port of its own.
    let (start, rest): (Vec<&str>, Vec<&str>) =
        script.lines().partition(|line| line.contains("caisson serve"));
    assert_eq!(start.len(), 1, "the README starts a server once");
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_caisson"))
        .parent()
        .unwrap()
        .to_owned();
    let path = std::env::join_paths(
        std::iter::once(programs).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let mut shell = Command::new("bash")
        .args(["-euo", "pipefail", "-s"])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("CAISSON_SERVER", &server.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(rest.join("\n").as_bytes())
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let plugins = server.get("/v1/plugins");
    assert_eq!(
        plugins.body["plugins"].as_array().unwrap().len(),
        1,
        "{plugins:?}"
    );
}
