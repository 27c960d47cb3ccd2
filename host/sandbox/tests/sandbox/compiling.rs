//! Compiling in a child process: bombs, limits, and the cache of compiled code.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caisson_sandbox::{CompilerCommand, Sandbox, SandboxConfig, UploadError};

use crate::craft::Craft;
use crate::support::{Request, affine, config, floats, meter, xs};

/// One function with so much in it that compiling it takes minutes and gigabytes.
fn bomb() -> Vec<u8> {
    let mut body = String::new();
    for _ in 0..60_000 {
        body += "(local.set 0 (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.load (i32.wrap_i64 (local.get 0)))))
            (br_if 0 (i64.eqz (local.get 0)))";
    }
    Craft::new()
        .items(&format!("(func (param i64 i64) {body})"))
        .component()
}

fn limited(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig {
        cache_dir: None,
        ..config()
    };
    change(&mut config);
    Sandbox::new(config).unwrap()
}

/// The host goes on while a child struggles, and the child ends with its limit.
async fn exploding(sandbox: &Sandbox) -> String {
    let neighbour = affine().prepare().await.unwrap();
    let bomb = bomb();
    let account = meter();
    let explosion = sandbox.inspect(&bomb, &account);
    tokio::pin!(explosion);
    let started = Instant::now();
    let error = loop {
        tokio::select! {
            result = &mut explosion => break result.unwrap_err(),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                assert_eq!(floats(&neighbour.apply(&xs(&[1.0])).await.unwrap()), [3.0]);
            }
        }
    };
    assert!(started.elapsed() < Duration::from_secs(60));
    let UploadError::CompileLimit { limit } = error else {
        panic!("{error}")
    };
    limit
}

#[tokio::test]
async fn a_compile_bomb_is_stopped_by_processor_time() {
    let sandbox = limited(|c| c.upload.compile_cpu = Duration::from_secs(1));
    assert_eq!(exploding(&sandbox).await, "1s of processor time");
}

#[tokio::test]
async fn a_compile_bomb_is_stopped_by_wall_clock_time() {
    let sandbox = limited(|c| c.upload.compile_wall = Duration::from_millis(300));
    assert_eq!(exploding(&sandbox).await, "300ms of wall-clock time");
}

#[tokio::test]
async fn a_compile_bomb_is_stopped_by_memory() {
    let sandbox = limited(|c| c.upload.compile_address_space_bytes = 256 << 20);
    assert_eq!(
        exploding(&sandbox).await,
        format!("{} bytes of address space", 256 << 20)
    );
}

#[tokio::test]
async fn large_code_is_not_taken() {
    let sandbox = limited(|c| c.upload.artifact_bytes = 1000);
    let error = sandbox
        .inspect(&Craft::new().component(), &meter())
        .await
        .unwrap_err();
    assert_eq!(
        error,
        UploadError::CompileLimit {
            limit: "1000 bytes of compiled code".into()
        }
    );
}

#[tokio::test]
async fn a_compiler_that_is_none_is_the_hosts_fault() {
    for (program, expect) in [
        ("/nonexistent/compiler", "/nonexistent/compiler"),
        ("/bin/true", "no header"),
        ("/bin/false", "exit status: 1"),
    ] {
        let sandbox = limited(|c| {
            c.compiler = CompilerCommand {
                program: program.into(),
                args: Vec::new(),
            };
        });
        let error = sandbox
            .inspect(&Craft::new().component(), &meter())
            .await
            .unwrap_err();
        assert!(error.is_host_fault(), "{error}");
        assert!(error.to_string().contains(expect), "{expect} not in {error}");
    }
}

fn cached(dir: &Path, compiler: Option<&str>) -> Sandbox {
    let mut config = SandboxConfig {
        cache_dir: Some(dir.to_owned()),
        ..config()
    };
    if let Some(program) = compiler {
        config.compiler.program = program.into();
    }
    Sandbox::new(config).unwrap()
}

fn artifacts(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|x| x == "caisson-code"))
        .collect();
    files.sort();
    files
}

/// With a cache, another process needs no compiler at all for what was compiled before, snapshots
/// included; what is damaged or forged is compiled anew.
#[tokio::test]
async fn compiled_code_is_kept_and_only_ours_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let component = Craft::new().component();
    let request = || {
        let mut request = affine();
        request.component = component.clone();
        request
    };
    let first = cached(dir.path(), None);
    let seen = first.inspect(&component, &meter()).await.unwrap();
    let stage = request().prepare_in(&first).await.unwrap();
    assert_eq!(floats(&stage.apply(&xs(&[7.0])).await.unwrap()), [7.0]);
    // The component, its snapshot, and what preparing it found.
    assert_eq!(artifacts(dir.path()).len(), 3);
    drop((stage, first));

    let second = cached(dir.path(), Some("/bin/false"));
    assert_eq!(second.inspect(&component, &meter()).await.unwrap(), seen);
    let stage = request().prepare_in(&second).await.unwrap();
    assert_eq!(floats(&stage.apply(&xs(&[7.0])).await.unwrap()), [7.0]);
    drop((stage, second));

    for file in artifacts(dir.path()) {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let third = cached(dir.path(), Some("/bin/false"));
    assert!(
        third
            .inspect(&component, &meter())
            .await
            .unwrap_err()
            .is_host_fault()
    );
    drop(third);
    let fourth = cached(dir.path(), None);
    assert_eq!(fourth.inspect(&component, &meter()).await.unwrap(), seen);
}

/// With a cache, a plugin is configured once for each config, input and limit that it can see, and each
/// time where it may see something else.
#[tokio::test]
async fn what_was_prepared_needs_no_second_configure() {
    let dir = tempfile::tempdir().unwrap();
    let configured = async |sandbox: &Sandbox, change: fn(&mut Request)| {
        let mut request = affine();
        request.config = r#"{"scale":2}"#.to_owned();
        change(&mut request);
        let stage = request.prepare_in(sandbox).await.unwrap();
        let scale = floats(&stage.apply(&xs(&[1.0])).await.unwrap())[0];
        // One for the rehearsal, one for the call, and one for `configure`.
        (stage.stats().instances == 3, scale)
    };
    let first = cached(dir.path(), None);
    assert_eq!(configured(&first, |_| {}).await, (true, 2.0));
    assert_eq!(configured(&first, |_| {}).await, (false, 2.0));
    assert_eq!(
        configured(&first, |r| r.config = r#"{"scale":3}"#.to_owned()).await,
        (true, 3.0)
    );
    assert_eq!(
        configured(&first, |r| r.limits.memory_bytes /= 2).await,
        (true, 2.0)
    );
    for _ in 0..2 {
        assert_eq!(configured(&first, |r| r.grants.clocks = true).await, (true, 2.0));
    }
    drop(first);
    // After a start, and with no compiler.
    let second = cached(dir.path(), Some("/bin/false"));
    assert_eq!(configured(&second, |_| {}).await, (false, 2.0));
    drop(second);
    // A record without its code is worth nothing.
    for file in artifacts(dir.path()) {
        if file.to_string_lossy().contains("-plain-") {
            fs::remove_file(file).unwrap();
        }
    }
    let third = cached(dir.path(), None);
    assert_eq!(configured(&third, |_| {}).await, (true, 2.0));
}

#[tokio::test]
async fn cancelling_an_inspection_kills_the_child() {
    let sandbox = limited(|c| c.upload.compilers = 1);
    let bomb = bomb();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), sandbox.inspect(&bomb, &meter()))
            .await
            .is_err()
    );
    // The one turn is free again.
    let started = Instant::now();
    sandbox
        .inspect(&Craft::new().component(), &meter())
        .await
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Two stages of one component and config share code; when both are gone, so is the code.
#[tokio::test]
async fn stages_share_code() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("compilations");
    let worker = config().compiler.program;
    let sandbox = limited(|c| {
        let script = format!("echo once >> {}; exec {}", log.display(), worker.display());
        c.compiler = CompilerCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
        };
    });
    let compilations = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    let stage = async |config: &str| {
        let mut request = affine();
        request.config = config.to_owned();
        request.prepare_in(&sandbox).await.unwrap()
    };
    let first = stage(r#"{"scale":2}"#).await;
    assert_eq!(compilations(), 2);
    let second = stage(r#"{"scale":2}"#).await;
    assert_eq!(
        compilations(),
        3,
        "the component as uploaded was used no more, its snapshot is shared"
    );
    let other = stage(r#"{"scale":3}"#).await;
    assert_eq!(floats(&other.apply(&xs(&[1.0])).await.unwrap()), [3.0]);
    let before = compilations();
    drop((first, second, other));
    let again = stage(r#"{"scale":2}"#).await;
    assert_eq!(compilations(), before + 2);
    assert_eq!(floats(&again.apply(&xs(&[1.0])).await.unwrap()), [2.0]);
}
