//! A server with keys, managed through the command line alone.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

#[path = "../../host/store/tests/it/s3/server.rs"]
#[allow(dead_code, reason = "the store's tests use all of it")]
mod s3;

use crate::harness::{Server, caisson, one_column, root};

/// What a command printed, which must have succeeded.
fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command complained of, which must have failed.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

/// A server with an operator, and files to work with.
struct Setup {
    server: Server,
    operator: String,
    files: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let (server, operator) = Server::start_keyed();
        Self {
            server,
            operator: operator.key().unwrap().to_owned(),
            files: tempfile::tempdir().unwrap(),
        }
    }

    /// A server with a tenant; its admin's key.
    fn with_tenant(name: &str) -> (Self, String) {
        let setup = Self::new();
        said(&setup.operate(&["tenant", "create", name]));
        let admin = setup.key(
            &setup.operator,
            &["root", "--role", "admin", "--tenant", name, "--expires", "30d"],
        );
        (setup, admin)
    }

    fn operate(&self, args: &[&str]) -> Output {
        self.server.cli_as(&self.operator, args)
    }

    /// A new key's text: all that the command prints.
    fn key(&self, by: &str, args: &[&str]) -> String {
        let output = self.server.cli_as(by, &[&["key", "create"], args].concat());
        let key = said(&output).trim_end().to_owned();
        assert!(
            key.starts_with("csn_") && !key.contains(char::is_whitespace),
            "{key}"
        );
        contains(
            &String::from_utf8_lossy(&output.stderr),
            &["nobody can show it again"],
        );
        key
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// A deployment `clip` that lets nothing above `max` through.
    fn clip(&self, max: f64) -> String {
        let spec = one_column(
            "clip",
            json!([{"plugin": "clip", "config": {"columns": {"x": {"max": max}}}}]),
        );
        self.file(&format!("clip-{max}.json"), spec.to_string())
    }
}

fn plugin(name: &str) -> String {
    let path = root().join("target/plugins").join(format!("{name}.wasm"));
    path.to_str().unwrap().to_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&said(output)).unwrap()
}

fn clipped(server: &Server, key: &str) -> Value {
    let args = ["predict", "clip", "--row", "{\"x\": 100}", "--json"];
    json_of(&server.cli_as(key, &args))["rows"][0]["x"].clone()
}

#[test]
fn keys_open_what_their_roles_say_and_no_other_tenant() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    contains(
        &refused(&server.cli(&["plugin", "list"])),
        &["401", "CAISSON_KEY", "--key-file"],
    );
    let unknown = said(&caisson().args(["key", "generate"]).output().unwrap());
    let unknown = unknown.trim_end();
    contains(
        &refused(&server.cli_as(unknown, &["plugin", "list"])),
        &["key-unknown"],
    );
    contains(
        &said(&setup.operate(&["whoami"])),
        &["system", "operator of this server"],
    );
    let file = setup.file("key", format!("{admin}\n"));
    let args = ["whoami", "--key-file", &file];
    contains(
        &said(&server.cli_as("csn_wrong", &args)),
        &["root", "acme", "admin"],
    );

    // `--tenant` is the key's own unless given.
    let key = |role: &str| setup.key(&admin, &[role, "--role", role]);
    let (viewer, developer) = (key("viewer"), key("developer"));
    let predictor = setup.key(&admin, &["shop", "--role", "predictor", "--deployment", "clip"]);
    contains(
        &refused(&server.cli_as(&developer, &["key", "create", "x", "--role", "admin"])),
        &["403"],
    );
    let push = ["plugin", "push", &plugin("clip")];
    contains(&refused(&server.cli_as(&viewer, &push)), &["403", "viewer"]);
    contains(&said(&server.cli_as(&developer, &push)), &["clip@", "created"]);
    said(&server.cli_as(&developer, &["deploy", "-f", &setup.clip(10.0)]));
    assert_eq!(clipped(server, &predictor), json!(10.0));
    contains(
        &refused(&server.cli_as(&predictor, &["plugin", "list"])),
        &["403"],
    );

    said(&setup.operate(&["tenant", "create", "globex", "--display-name", "Globex AG"]));
    contains(
        &said(&setup.operate(&["tenant", "list"])),
        &["acme", "globex", "Globex AG"],
    );
    let other = setup.key(
        &setup.operator,
        &["root", "--role", "admin", "--tenant", "globex"],
    );
    assert!(!said(&server.cli_as(&other, &["plugin", "list"])).contains("clip"));
    for args in [
        &["deployment", "show", "clip"][..],
        &["tenant", "show", "acme"],
        &["key", "list", "--tenant", "acme"],
    ] {
        contains(&refused(&server.cli_as(&other, args)), &["404"]);
    }

    let listed = said(&server.cli_as(&admin, &["key", "list"]));
    contains(&listed, &["viewer", "developer", "shop", "clip"]);
    assert!(!listed.contains(&developer), "no secret is shown");
    let id = developer.get(4..16).unwrap();
    contains(
        &said(&server.cli_as(&admin, &["key", "revoke", id])),
        &["is revoked"],
    );
    contains(
        &refused(&server.cli_as(&developer, &["plugin", "list"])),
        &["key-revoked"],
    );
}

#[test]
fn operators_limit_suspend_and_delete_tenants() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    contains(
        &refused(&setup.operate(&["tenant", "quotas", "acme", "--set", "plugin=1"])),
        &["unknown field `plugin`", "stored_bytes"],
    );
    let quotas = [
        "tenant",
        "quotas",
        "acme",
        "--set",
        "plugins=1",
        "--set",
        "stored_bytes=1GiB",
    ];
    contains(&said(&setup.operate(&quotas)), &["plugins", "1.00 GiB"]);
    contains(&refused(&server.cli_as(&admin, &quotas)), &["403"]);
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("clip")]));
    contains(
        &refused(&server.cli_as(&admin, &["plugin", "push", &plugin("impute")])),
        &["`plugins` of 1"],
    );
    contains(
        &said(&server.cli_as(&admin, &["tenant", "usage"])),
        &["plugin versions", "1.00 GiB"],
    );
    said(&setup.operate(&["tenant", "quotas", "acme", "--unset", "plugins"]));
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("impute")]));
    // Longer than what is sent unasked: the refusal is read, and is no broken connection.
    said(&setup.operate(&["tenant", "quotas", "acme", "--set", "upload_bytes=64KiB"]));
    contains(
        &refused(&server.cli_as(&admin, &["plugin", "push", &plugin("log1p")])),
        &["413", "65536"],
    );

    contains(
        &said(&setup.operate(&["tenant", "suspend", "acme"])),
        &["suspended"],
    );
    contains(
        &refused(&server.cli_as(&admin, &["whoami"])),
        &["tenant-suspended"],
    );
    said(&setup.operate(&["tenant", "resume", "acme"]));
    said(&server.cli_as(&admin, &["whoami"]));

    said(&setup.operate(&["tenant", "create", "empty"]));
    said(&setup.operate(&["tenant", "delete", "empty"]));
    contains(
        &refused(&setup.operate(&["tenant", "create", "empty"])),
        &["never given out again"],
    );
    contains(
        &refused(&setup.operate(&["tenant", "delete", "system"])),
        &["Caisson's own"],
    );
}

#[test]
fn a_tenant_writes_its_own_policies() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("clip")]));
    let put = |text: &str| {
        let file = setup.file("freeze.cedar", text);
        server.cli_as(&admin, &["policy", "put", "freeze", &file])
    };
    let wrong = "forbid (principal, action, resource)\nwhen { resource.nam == \"clip\" };\n";
    contains(&refused(&put(wrong)), &["freeze", "line 2, column 8", "nam"]);
    contains(&refused(&put("forbid everything")), &["line 1, column"]);
    let freeze = "forbid (principal, action == Action::\"deployment:deploy\", resource)\n\
                  when { resource.name == \"clip\" };\n";
    contains(&said(&put(freeze)), &["in effect"]);
    let deploy = ["deploy", "-f", &setup.clip(10.0)];
    contains(&refused(&server.cli_as(&admin, &deploy)), &["403", "freeze"]);
    contains(
        &said(&server.cli_as(&admin, &["policy", "list"])),
        &["freeze", "acme/root"],
    );
    assert_eq!(
        said(&server.cli_as(&admin, &["policy", "show", "freeze"])),
        freeze
    );
    said(&server.cli_as(&admin, &["policy", "delete", "freeze"]));
    said(&server.cli_as(&admin, &deploy));
}

#[test]
fn the_audit_log_is_read_and_checked() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    let viewer = setup.key(&admin, &["viewer", "--role", "viewer"]);
    refused(&server.cli_as(&viewer, &["plugin", "push", &plugin("clip")]));
    said(&setup.operate(&["tenant", "create", "globex"]));
    setup.key(
        &setup.operator,
        &["root", "--role", "admin", "--tenant", "globex"],
    );

    let all = said(&setup.operate(&["audit", "tail", "--from", "1h"]));
    contains(&all, &["tenant:create", "globex", "key:create"]);
    let own = said(&server.cli_as(&admin, &["audit", "tail"]));
    contains(&own, &["key:create", "root (admin, "]);
    assert!(!own.contains("globex"), "{own}");
    let filtered = json_of(&setup.operate(&["audit", "tail", "--action", "key:create", "-n", "1", "--json"]));
    assert_eq!(filtered["records"].as_array().unwrap().len(), 1);
    contains(&refused(&server.cli_as(&viewer, &["audit", "tail"])), &["403"]);

    let out = setup.path("audit.jsonl");
    let export = ["audit", "export", "--tenant", "acme", "--out", &out];
    said(&setup.operate(&export));
    contains(&refused(&setup.operate(&export)), &["exists already"]);
    let lines = std::fs::read_to_string(&out).unwrap();
    assert!(lines.lines().count() >= 2);
    for line in lines.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["tenant"], "acme");
    }
    contains(
        &said(&setup.operate(&["audit", "verify"])),
        &["nothing was changed"],
    );

    let data = setup.server.stop();
    let folder = data.path().to_str().unwrap();
    let verify = || {
        caisson()
            .args(["audit", "verify", "--data-dir", folder])
            .output()
            .unwrap()
    };
    contains(&said(&verify()), &["nothing was changed"]);
    let segment = newest_segment(&data.path().join("audit"));
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("globex", "glowex", 1)).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    contains(
        &String::from_utf8_lossy(&output.stderr),
        &["doesn't have its own hash"],
    );
    let nowhere = caisson()
        .args([
            "audit",
            "verify",
            "--data-dir",
            setup.files.path().to_str().unwrap(),
        ])
        .output();
    contains(&refused(&nowhere.unwrap()), &["no audit log"]);
}

fn newest_segment(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some()).collect();
    segments.sort();
    segments.pop().unwrap()
}

#[test]
fn a_backup_makes_a_new_server() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("clip")]));
    said(&server.cli_as(&admin, &["deploy", "-f", &setup.clip(10.0)]));
    let file = setup.path("backup.tar");
    let backup = ["backup", "--out", &file];
    contains(&refused(&server.cli_as(&admin, &backup)), &["403"]);
    assert!(!Path::new(&file).exists());
    contains(&said(&setup.operate(&backup)), &["backup.tar", "bytes"]);
    contains(&refused(&setup.operate(&backup)), &["exists already"]);
    let whole = std::fs::read(&file).unwrap();
    let streamed = setup.operate(&["backup", "--out", "-"]);
    assert!(streamed.status.success() && streamed.stdout.len() == whole.len());

    let restore = |from: &str, dir: &str| {
        let args = ["restore", "--from", from, "--data-dir", dir];
        caisson().args(args).output().unwrap()
    };
    let cut = setup.file("cut.tar", whole.get(..whole.len() - 4096).unwrap());
    contains(
        &refused(&restore(&cut, &setup.path("half"))),
        &["cut.tar", "cut off"],
    );
    let restored = tempfile::tempdir().unwrap();
    let folder = restored.path().to_str().unwrap();
    contains(&said(&restore(&file, folder)), &["records", "blobs"]);
    contains(&refused(&restore(&file, folder)), &["empty"]);
    let second = Server::restart_keyed(restored);
    assert_eq!(clipped(&second, &admin), json!(10.0));
    contains(
        &said(&second.cli_as(&setup.operator, &["tenant", "list"])),
        &["acme"],
    );
}

#[test]
fn a_backup_is_restored_into_an_object_store() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("clip")]));
    said(&server.cli_as(&admin, &["deploy", "-f", &setup.clip(10.0)]));
    let file = setup.path("backup.tar");
    said(&setup.operate(&["backup", "--out", &file]));
    let s3 = s3::Server::start();
    let config = setup.file(
        "caisson.toml",
        format!(
            "[storage.s3]\nendpoint = \"{}\"\nregion = \"us-east-1\"\nallow_http = true\n",
            s3.endpoint()
        ),
    );
    let credentials = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let restored = tempfile::tempdir().unwrap();
    let folder = restored.path().to_str().unwrap();
    let restore = |blobs: &str| {
        let args = [
            "restore",
            "--from",
            &file,
            "--config",
            &config,
            "--data-dir",
            folder,
            "--blobs",
            blobs,
        ];
        caisson().args(args).envs(credentials).output().unwrap()
    };
    contains(
        &refused(&restore("ftp://nowhere")),
        &["storage.blobs", "ftp://nowhere"],
    );
    let blobs = format!("s3://{}/restored", s3::BUCKET);
    contains(&said(&restore(&blobs)), &["records", "blobs"]);
    let (status, listed) = s3.request("GET", &format!("{}?list-type=2&prefix=restored", s3::BUCKET), b"");
    let listed = String::from_utf8(listed).unwrap();
    assert!(status == 200 && listed.contains("restored/sha256/"), "{listed}");
    assert!(!restored.path().join("blobs").exists());
    // The server finds them there, and nowhere else.
    let flags = ["--config", config.as_str(), "--blobs", blobs.as_str()];
    let second = Server::spawn_with(restored, &flags, &credentials);
    assert_eq!(clipped(&second, &admin), json!(10.0));
}

#[test]
fn two_keys_of_one_person_do_not_approve() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    let key = |name: &str, owner: &[&str]| setup.key(&admin, &[&[name, "--role", "admin"], owner].concat());
    let (ann, bob) = (["--owner", "ann@example.org"], ["--owner", "bob@example.org"]);
    let (laptop, phone, other) = (key("laptop", &ann), key("phone", &ann), key("other", &bob));
    let model = root().join("examples/cdnow/model.onnx");
    said(&server.cli_as(&laptop, &["model", "push", "churn", model.to_str().unwrap()]));
    said(&server.cli_as(&laptop, &["model", "request", "churn", "1", "--why", "better"]));
    let approve = ["model", "approve", "churn", "1", "--why", "reviewed"];
    contains(
        &refused(&server.cli_as(&phone, &approve)),
        &["ann@example.org asked", "four-eyes"],
    );
    contains(&said(&server.cli_as(&other, &approve)), &["approved"]);
    let stages = server.cli_as(&admin, &["model", "stage", "churn", "1", "--json"]);
    assert_eq!(json_of(&stages)["history"][1]["owner"], "bob@example.org");
    contains(
        &said(&server.cli_as(&admin, &["key", "list"])),
        &["OWNER", "ann@example.org", "bob@example.org"],
    );
    // Where owners are wanted, keys without one are neither made nor enough.
    said(&server.cli_as(&admin, &["tenant", "settings", "--require-key-owners", "true"]));
    contains(
        &refused(&server.cli_as(&admin, &["key", "create", "ci", "--role", "developer"])),
        &["--owner"],
    );
    said(&server.cli_as(&laptop, &["model", "archive", "churn", "1", "--why", "again"]));
    said(&server.cli_as(&laptop, &["model", "request", "churn", "1", "--why", "better"]));
    contains(&refused(&server.cli_as(&admin, &approve)), &["no-owner", "root"]);
    said(&server.cli_as(&other, &approve));
}

#[test]
fn plugins_are_yanked_in_std_and_deleted_where_nothing_uses_them() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    let std = ["--namespace", "std"];
    said(&setup.operate(&[&["plugin", "push", &plugin("clip")][..], &std].concat()));
    let spec = one_column(
        "clip",
        json!([{"plugin": "std/clip", "config": {"columns": {"x": {"max": 10.0}}}}]),
    );
    let by_std = setup.file("std.json", spec.to_string());
    said(&server.cli_as(&admin, &["deploy", "-f", &by_std]));
    let yank = ["plugin", "yank", "clip", "0.1.0", "--why", "wrong"];
    let yank_std = [&yank[..], &std].concat();
    contains(&refused(&server.cli_as(&admin, &yank_std)), &["404"]);
    contains(&said(&setup.operate(&yank_std)), &["is yanked"]);
    assert_eq!(clipped(server, &admin), json!(10.0));
    let anew = setup.file("anew.json", spec.to_string().replace("\"clip\"", "\"anew\""));
    contains(
        &refused(&server.cli_as(&admin, &["deploy", "-f", &anew])),
        &["clip"],
    );
    let unyank = ["plugin", "unyank", "clip", "0.1.0", "--namespace", "std"];
    said(&setup.operate(&unyank));
    said(&server.cli_as(&admin, &["deploy", "-f", &anew]));

    // The tenant's own of the same name.
    said(&server.cli_as(&admin, &["plugin", "push", &plugin("clip")]));
    said(&server.cli_as(&admin, &["deploy", "-f", &setup.clip(5.0)]));
    said(&server.cli_as(&admin, &["deploy", "-f", &setup.clip(7.0)]));
    let delete = ["plugin", "delete", "clip", "0.1.0", "--why", "old"];
    contains(&refused(&server.cli_as(&admin, &delete)), &["409 not-yanked"]);
    said(&server.cli_as(&admin, &yank));
    contains(
        &refused(&server.cli_as(&admin, &delete)),
        &[
            "409 in-use",
            "deployment clip revision 2 (to go back to)",
            "deployment clip revision 3 (live)",
        ],
    );
    said(&server.cli_as(&admin, &["deployment", "delete", "clip"]));
    contains(&said(&server.cli_as(&admin, &delete)), &["clip@0.1.0 is deleted"]);
    contains(&refused(&server.cli_as(&admin, &delete)), &["404"]);
    contains(
        &refused(&server.cli_as(&admin, &["rollback", "clip", "--to", "3"])),
        &["clip@0.1.0"],
    );
}

#[test]
fn deployments_have_a_history_and_a_way_back() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    let run = |args: &[&str]| said(&server.cli_as(&admin, args));
    let signing = setup.path("release.pem");
    let keygen = caisson().args(["plugin", "keygen", &signing]).output().unwrap();
    contains(&said(&keygen), &["release.pem.pub"]);
    let public = format!("release={signing}.pub");
    run(&[
        "tenant",
        "settings",
        "--signing-key",
        &public,
        "--require-signed-plugins",
        "true",
    ]);
    let push = ["plugin", "push", &plugin("clip")];
    contains(
        &refused(&server.cli_as(&admin, &push)),
        &["not signed", "release"],
    );
    let wrong = setup.path("other.pem");
    said(&caisson().args(["plugin", "keygen", &wrong]).output().unwrap());
    contains(
        &refused(&server.cli_as(&admin, &["plugin", "push", &plugin("clip"), "--sign-key", &wrong])),
        &["none of the keys"],
    );
    run(&["plugin", "push", &plugin("clip"), "--sign-key", &signing]);
    let sign = ["plugin", "sign", &plugin("impute"), "--key", &signing];
    let signature = said(&caisson().args(sign).output().unwrap());
    run(&[
        "plugin",
        "push",
        &plugin("impute"),
        "--signature",
        signature.trim(),
    ]);
    contains(
        &run(&["plugin", "show", "impute"]),
        &["\"signed_by\":\"release\""],
    );

    run(&["deploy", "-f", &setup.clip(10.0), "-m", "first"]);
    run(&["deploy", "-f", &setup.clip(20.0), "-m", "wider, after May"]);
    assert_eq!(clipped(server, &admin), json!(20.0));
    let history = run(&["deployment", "history", "clip"]);
    contains(&history, &["first", "wider, after May", "live", "root ("]);
    contains(
        &run(&["deployment", "diff", "clip"]),
        &["revision 1 to 2", "/max", "- 10", "+ 20"],
    );
    contains(
        &run(&["rollback", "clip", "-m", "too wide"]),
        &["live at revision 3"],
    );
    assert_eq!(clipped(server, &admin), json!(10.0));
    contains(
        &run(&["deployment", "history", "clip", "-n", "1"]),
        &["rollback to 1", "too wide"],
    );
    contains(&run(&["rollback", "clip", "--to", "2"]), &["live at revision 4"]);
    contains(
        &run(&["deployment", "diff", "clip", "--from", "2", "--to", "4"]),
        &["no difference"],
    );

    let version = json_of(&server.cli_as(&admin, &["plugin", "show", "clip", "--json"]))["version"].clone();
    let version = version.as_str().unwrap();
    run(&["plugin", "yank", "clip", version, "--why", "wrong at the edges"]);
    contains(&run(&["plugin", "list"]), &["yanked"]);
    assert_eq!(clipped(server, &admin), json!(20.0), "what runs goes on");
    let deploy = ["deploy", "-f", &setup.clip(30.0)];
    refused(&server.cli_as(&admin, &deploy));
    run(&["plugin", "unyank", "clip", version]);
    run(&deploy);
    assert_eq!(clipped(server, &admin), json!(30.0));
}

#[test]
fn models_are_described_approved_and_named() {
    let (setup, admin) = Setup::with_tenant("acme");
    let server = &setup.server;
    let developer = setup.key(&admin, &["dev", "--role", "developer"]);
    let approver = setup.key(&admin, &["boss", "--role", "approver"]);
    let run = |args: &[&str]| said(&server.cli_as(&developer, args));
    let model = root().join("examples/cdnow/model.onnx");
    let model = model.to_str().unwrap();
    let lineage = setup.file("lineage.json", "{\"source\": {\"run_id\": \"nightly-412\"}}");
    let pushed = run(&[
        "model",
        "push",
        "churn",
        model,
        "--description",
        "Gradient boosting.\nTwelve months.",
        "--tag",
        "team=growth",
        "--metric",
        "auc=0.81",
        "--training-data-digest",
        "md5:0123",
        "--lineage",
        &lineage,
    ]);
    contains(&pushed, &["version 1", "created", "<- X: fp32[-1,9]"]);
    contains(
        &run(&["model", "show", "churn"]),
        &[
            "Twelve months.",
            "\"team\": \"growth\"",
            "\"auc\": 0.81",
            "nightly-412",
            "md5:0123",
            "draft",
        ],
    );
    run(&["model", "tag", "churn", "1", "region=eu", "--remove", "team"]);
    run(&["model", "describe", "churn", "1", "Better now."]);
    let shown = run(&["model", "show", "churn"]);
    contains(&shown, &["Better now.", "\"region\": \"eu\""]);
    assert!(!shown.contains("growth"), "{shown}");

    said(&server.cli_as(&admin, &["tenant", "settings", "--protect-alias", "champion"]));
    let champion = ["model", "alias", "set", "churn", "champion", "1"];
    contains(&refused(&server.cli_as(&developer, &champion)), &["403"]);
    contains(&refused(&server.cli_as(&approver, &champion)), &["not-approved"]);
    run(&["model", "request", "churn", "1", "--why", "AUC is up"]);
    let approve = ["model", "approve", "churn", "1", "--why", "reviewed"];
    contains(&refused(&server.cli_as(&developer, &approve)), &["403"]);
    let reject = ["model", "reject", "churn", "1", "--why", "no fairness report"];
    contains(
        &said(&server.cli_as(&approver, &reject)),
        &["is draft, was pending"],
    );
    run(&["model", "request", "churn", "1", "--why", "report is attached"]);
    contains(
        &said(&server.cli_as(&approver, &approve)),
        &["is approved, was pending"],
    );
    said(&server.cli_as(&approver, &champion));
    contains(
        &run(&["model", "stage", "churn", "1"]),
        &["is approved", "no fairness report", "reviewed", "boss ("],
    );

    run(&["model", "push", "churn", model, "--metric", "auc=0.83"]);
    run(&[
        "model",
        "alias",
        "set",
        "churn",
        "challenger",
        "2",
        "--expect",
        "none",
    ]);
    contains(
        &refused(&server.cli_as(
            &developer,
            &[
                "model",
                "alias",
                "set",
                "churn",
                "challenger",
                "1",
                "--expect",
                "none",
            ],
        )),
        &["challenger", "version 2"],
    );
    contains(
        &run(&["model", "alias", "list", "churn"]),
        &["champion", "challenger", "boss ("],
    );
    let delete = ["model", "delete", "churn", "2", "--why", "never used"];
    contains(
        &refused(&server.cli_as(&developer, &delete)),
        &["alias challenger"],
    );
    run(&["model", "alias", "remove", "churn", "challenger", "--expect", "2"]);
    let deleted = server.cli_as(&admin, &delete);
    contains(&said(&deleted), &["version 2 is deleted"]);
    contains(
        &said(&server.cli_as(&admin, &["model", "archive", "churn", "1", "--why", "old"])),
        &["archived"],
    );
}
