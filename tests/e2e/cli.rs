//! The command line does over HTTP what its help says.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{Server, caisson, root};

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["serve"][..],
        &["plugin", "new"],
        &["plugin", "build"],
        &["plugin", "test"],
        &["plugin", "push"],
        &["plugin", "list"],
        &["plugin", "show"],
        &["model", "push"],
        &["model", "list"],
        &["model", "show"],
        &["deploy"],
        &["deployment", "list"],
        &["deployment", "show"],
        &["deployment", "delete"],
        &["predict"],
        &["drift"],
    ] {
        let help = text(&caisson().args(command).arg("--help").output().unwrap());
        assert!(
            help.contains("Example") && help.contains(&format!("caisson {}", command.join(" "))),
            "{command:?}: {help}"
        );
    }
}

#[test]
fn the_cdnow_example_through_the_command_line() {
    let server = Server::start();
    let target = root().join("target/plugins");
    for name in crate::harness::CDNOW_PLUGINS {
        let path = target.join(format!("{name}.wasm"));
        let said = text(&server.cli(&["plugin", "push", path.to_str().unwrap()]));
        assert!(
            said.contains(&format!("{name}@")) && said.contains("created"),
            "{said}"
        );
    }
    let file = |name: &str| {
        root()
            .join("examples/cdnow")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let said = text(&server.cli(&[
        "model",
        "push",
        "cdnow-repurchase",
        &file("model.onnx"),
        "--metadata",
        &file("model.json"),
        "--baseline",
        &file("baseline.csv"),
    ]));
    assert!(said.contains("version 1"), "{said}");
    let plan = text(&server.cli(&["deploy", "-f", &file("deployment.yaml"), "--dry-run"]));
    assert!(
        plan.contains("nothing was changed") && plan.contains("model cdnow-repurchase@1"),
        "{plan}"
    );
    assert_eq!(server.get("/v1/deployments/cdnow-repurchase").status, 404);
    let said = text(&server.cli(&["deploy", "-f", &file("deployment.yaml")]));
    assert!(said.contains("live at revision 1"), "{said}");
    let answer: Value = serde_json::from_str(&text(&server.cli(&[
        "predict",
        "cdnow-repurchase",
        "--file",
        &file("test_customers.csv"),
        "--json",
    ])))
    .unwrap();
    assert!(answer["rows"].as_array().unwrap().len() > 1000);
    let drift = server.cli(&["drift", "cdnow-repurchase", "--file", &file("later_months.csv")]);
    assert_eq!(drift.status.code(), Some(2), "drifted data exits 2");
    assert!(String::from_utf8_lossy(&drift.stdout).contains("FEATURE"));
    assert!(text(&server.cli(&["plugin", "list"])).contains("impute"));
    assert!(text(&server.cli(&["plugin", "show", "impute"])).contains("config, as JSON Schema"));
    assert!(text(&server.cli(&["model", "list"])).contains("cdnow-repurchase"));
    assert!(text(&server.cli(&["deployment", "show", "cdnow-repurchase"])).contains("transforms[0]"));
}

#[test]
fn errors_say_where_and_exit_1() {
    let server = Server::start();
    server.deploy(&json!({"name": "one", "input": [{"name": "x", "type": "int8"}]}));
    let output = server.cli(&["predict", "one", "--row", "{\"x\": 300}"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(
        said.contains("row 0") && said.contains("`x`") && said.contains("out-of-range"),
        "{said}"
    );
    let output = caisson()
        .args(["plugin", "list", "--server", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("http://127.0.0.1:9"));
    let output = caisson()
        .args(["serve", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-remote"));
}

#[test]
fn whoever_stops_reading_ends_the_command_quietly() {
    use std::io::Read as _;
    use std::process::Stdio;
    let mut child = caisson()
        .arg("openapi")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Some of it, so that it is being written; much more of it comes than a pipe holds.
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(141));
    assert!(
        ended.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

#[test]
fn a_misspelt_key_is_told_once_with_its_place_and_what_was_meant() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("churn.yaml");
    std::fs::write(&file, "name: churn\nmodle: x\ninput: [{name: x, type: fp32}]\n").unwrap();
    let refused = server.cli(&["deploy", "-f", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("error").count(), 1, "{said}");
    assert_eq!(said.matches("unknown field").count(), 1, "{said}");
    for part in ["churn.yaml: ", "line 2", "did you mean `model`?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let server = Server::start();
    server.deploy(&json!({"name": "churn", "input": [{"name": "x", "type": "fp32"}]}));
    for (args, expected) in [
        (&["rollback", "nosuch"][..], "there is no deployment `nosuch`"),
        (
            &["rollback", "churn", "--to", "99"],
            "there is no revision `99` of `churn`: it has revision 1 alone",
        ),
        (
            &["deployment", "diff", "nosuch"],
            "there is no deployment `nosuch`",
        ),
        (&["tenant", "create", "Bad_Name"], "`Bad_Name` is no tenant name"),
    ] {
        let refused = server.cli(args);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(expected),
            "{args:?}: {said}"
        );
        assert!(!said.contains("JSON"), "{said}");
    }
}
