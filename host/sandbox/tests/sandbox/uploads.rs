//! Uploads that are refused, each with a message that says what to do.

use std::time::{Duration, Instant};

use caisson_sandbox::{Cause, Sandbox, SandboxConfig, UploadError, UploadLimits};

use crate::craft::{Craft, raw};
use crate::support::{affine, config, floats, guest, meter, sandbox, xs};

async fn refused(component: &[u8]) -> UploadError {
    sandbox().inspect(component, &meter()).await.unwrap_err()
}

#[tokio::test]
async fn a_crafted_component_is_a_plugin() {
    let seen = sandbox()
        .inspect(&Craft::new().component(), &meter())
        .await
        .unwrap();
    assert_eq!(seen.manifest.name, "crafted");
}

#[tokio::test]
async fn a_name_with_a_path_is_refused() {
    let error = refused(&guest("hostile-name")).await;
    assert_eq!(error.code(), "manifest-invalid");
    assert!(
        error.to_string().contains(r#"the name "../x" is not allowed"#),
        "{error}"
    );
    let error = refused(&Craft::new().name("a\nb").component()).await;
    assert!(error.to_string().contains(r"a\\nb"), "{error}");
}

#[tokio::test]
async fn a_core_module_and_text_are_told() {
    let module = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&module).await, UploadError::CoreModule);
    assert_eq!(refused(b"(component)").await.code(), "not-wasm");
}

/// Cut anywhere, a component is refused, and never accepted by halves. What comes after its last
/// export are comments, without which it is whole.
#[tokio::test]
async fn a_truncated_component_is_refused_wherever_it_was_cut() {
    let whole = Craft::new().component();
    let (mut cut_off, mut accepted) = (0, 0);
    for end in 0..whole.len() {
        match sandbox().inspect(&whole[..end], &meter()).await {
            Err(UploadError::Truncated(_)) => cut_off += 1,
            Err(UploadError::NotWasm { .. } | UploadError::NoWorld { .. } | UploadError::Invalid(_)) => {}
            Err(other) => panic!("cut at {end}: {other}"),
            Ok(seen) => {
                assert_eq!(seen.manifest.name, "crafted");
                accepted += 1;
            }
        }
    }
    assert!(cut_off > whole.len() / 2, "{cut_off} of {}", whole.len());
    assert!(accepted <= 2, "{accepted}");
}

/// One bit changed anywhere: accepted or refused, and nothing else.
#[tokio::test]
async fn a_damaged_component_harms_nothing() {
    let whole = Craft::new().component();
    let neighbour = affine().prepare().await.unwrap();
    // A prime step, so that all kinds of places are hit in a few seconds.
    for at in (8..whole.len()).step_by(37) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x11;
        if let Err(error) = sandbox().inspect(&damaged, &meter()).await {
            assert!(!error.is_host_fault(), "byte {at}: {error}");
        }
    }
    assert_eq!(floats(&neighbour.apply(&xs(&[1.0])).await.unwrap()), [3.0]);
}

#[tokio::test]
async fn imports_that_nobody_offers_are_listed() {
    let sql = "package acme:db { interface sql { query: func(); } }";
    let craft = Craft::new()
        .import("import acme:db/sql;", sql)
        .items(r#"(import "acme:db/sql" "query" (func))"#);
    let error = refused(&craft.component()).await;
    assert_eq!(error.code(), "import-refused");
    assert!(
        error
            .to_string()
            .contains("`acme:db/sql` (the host offers no such package"),
        "{error}"
    );
    // The same when it is deployed.
    let mut request = affine();
    request.component = craft.component();
    assert_eq!(
        request.prepare().await.unwrap_err().cause.code(),
        "import-refused"
    );
}

#[tokio::test]
async fn another_version_of_the_contract_is_told() {
    let newer = Craft::new().wit_version("0.2.0").component();
    assert_eq!(
        refused(&newer).await,
        UploadError::WitVersion {
            found: "0.2.0".into(),
            offered: "0.1.0"
        }
    );
    // A patch of the same line fits.
    let patch = Craft::new().wit_version("0.1.9").component();
    let seen = sandbox().inspect(&patch, &meter()).await.unwrap();
    assert_eq!(seen.wit_version.as_deref(), Some("0.1.9"));
    let mut request = affine();
    request.component = patch;
    request.config = "{}".into();
    let stage = request.prepare().await.unwrap();
    assert_eq!(floats(&stage.apply(&xs(&[5.0])).await.unwrap()), [5.0]);
}

#[tokio::test]
async fn functions_of_the_right_name_and_the_wrong_type_are_told() {
    let error = refused(&raw("")).await;
    assert_eq!(error.code(), "contract", "{error}");
}

#[tokio::test]
async fn describe_runs_under_limits() {
    let mut slow = config();
    slow.limits.setup_cpu = Duration::from_millis(50);
    let sandbox = Sandbox::new(slow).unwrap();
    let spin = Craft::new().describe("(loop $l (br $l))").component();
    let error = sandbox.inspect(&spin, &meter()).await.unwrap_err();
    assert_eq!(
        error,
        UploadError::Describe(Box::new(Cause::CpuTime(Duration::from_millis(50))))
    );
    let trap = Craft::new().describe("unreachable").component();
    assert_eq!(
        sandbox.inspect(&trap, &meter()).await.unwrap_err().code(),
        "describe-failed"
    );
    // A name that isn't UTF-8, a name of two gigabytes.
    for describe in [
        "(i32.store8 (i32.const 1024) (i32.const 0xff))",
        "(i32.store (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (i32.const 0x7fffffff)) (return (i32.const 64))",
    ] {
        let component = Craft::new().describe(describe).component();
        assert_eq!(
            sandbox.inspect(&component, &meter()).await.unwrap_err().code(),
            "describe-failed"
        );
    }
}

fn limited(change: impl FnOnce(&mut UploadLimits)) -> Sandbox {
    let mut config = SandboxConfig {
        cache_dir: None,
        ..config()
    };
    change(&mut config.upload);
    Sandbox::new(config).unwrap()
}

#[tokio::test]
async fn size_functions_types_modules_and_nesting_are_bounded() {
    let component = Craft::new().component();
    let size = component.len();
    for (sandbox, what) in [
        (
            limited(|l| l.component_bytes = size - 1),
            format!("{size} bytes; at most {}", size - 1),
        ),
        (limited(|l| l.functions = 3), "4 functions; at most 3".into()),
        (limited(|l| l.code_bytes = 10), "bytes of code; at most 10".into()),
        (limited(|l| l.types = 3), "type definitions; at most 3".into()),
        (
            limited(|l| l.core_modules = 0),
            "1 core modules; at most 0".into(),
        ),
        (
            limited(|l| l.nesting = 1),
            "2 levels of nesting; at most 1".into(),
        ),
    ] {
        let error = sandbox
            .inspect(&component, &meter())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&what), "{what} not in {error}");
    }
    // 200 MB of zeros with a good header: told in no time.
    let started = Instant::now();
    let mut huge = component;
    huge.resize(200_000_000, 0);
    assert_eq!(refused(&huge).await.code(), "component-too-large");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn nesting_and_recursion_of_types_are_bounded() {
    let deep = format!("{}{}", "(component ".repeat(50), ")".repeat(50));
    let error = refused(&raw(&deep)).await;
    assert!(
        error.to_string().contains("levels of nesting; at most 8"),
        "{error}"
    );

    let mut lists = String::from("(type $t0 string)\n");
    for i in 0..20_000 {
        lists += &format!("(type $t{} (list $t{i}))\n", i + 1);
    }
    let error = refused(&raw(&lists)).await;
    assert!(!error.is_host_fault(), "{error}");

    // Every tuple holds the one before it a hundred times.
    let mut wide = String::from("(type $t0 u8)\n");
    for i in 0..20 {
        wide += &format!("(type $t{} (tuple {}))\n", i + 1, format!("$t{i} ").repeat(100));
    }
    let started = Instant::now();
    let error = refused(&raw(&wide)).await;
    assert!(!error.is_host_fault(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}
