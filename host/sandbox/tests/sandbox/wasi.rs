//! The inert WASI 0.2: a component that imports it runs, and finds nothing there.

use caisson_sandbox::{Grants, StageKind};

use crate::craft::Craft;
use crate::logs::Captured;
use crate::support::{Request, affine, floats, meter, sandbox, xs};

/// The parts of WASI 0.2 that these tests import, as WASI has them.
const WASI: &str = r#"
package wasi:clocks@0.2.0 {
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}
package wasi:random@0.2.0 {
    interface random {
        get-random-bytes: func(len: u64) -> list<u8>;
        get-random-u64: func() -> u64;
    }
}
package wasi:io@0.2.0 {
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}
package wasi:cli@0.2.0 {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface exit { exit: func(status: result); }
    interface stdout {
        use wasi:io/streams@0.2.0.{output-stream};
        get-stdout: func() -> output-stream;
    }
}
package wasi:filesystem@0.2.0 {
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }
}
"#;

/// Where the first value of the first block lies.
const FIRST: &str = "(i32.load offset=4 (local.get $blocks))";

fn request(craft: &Craft) -> Request {
    let mut request = affine();
    request.component = craft.component();
    request.config = "{}".into();
    request
}

#[tokio::test]
async fn there_is_no_environment_no_argument_and_no_folder() {
    let craft = Craft::new()
        .import(
            "import wasi:cli/environment@0.2.0; import wasi:filesystem/preopens@0.2.0;",
            WASI,
        )
        .items(
            r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))
            (import "wasi:cli/environment@0.2.0" "get-arguments" (func $args (param i32)))
            (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $dirs (param i32)))"#,
        )
        .apply(&format!(
            "(call $env (i32.const 256)) (call $args (i32.const 264)) (call $dirs (i32.const 272))
            (f32.store {FIRST} (f32.convert_i32_u (i32.add (i32.load (i32.const 260))
                (i32.add (i32.load (i32.const 268)) (i32.load (i32.const 276))))))"
        ));
    assert!(
        sandbox()
            .inspect(&craft.component(), &meter())
            .await
            .unwrap()
            .needs_wasi
    );
    let stage = request(&craft).prepare().await.unwrap();
    assert_eq!(*stage.kind(), StageKind::Preinitialised);
    assert_eq!(floats(&stage.apply(&xs(&[9.0])).await.unwrap()), [0.0]);
}

#[tokio::test]
async fn clocks_stand_and_randomness_repeats_unless_granted() {
    let craft = Craft::new()
        .import(
            "import wasi:clocks/wall-clock@0.2.0; import wasi:random/random@0.2.0;",
            WASI,
        )
        .items(
            r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
            (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#,
        )
        .apply(&format!(
            "(call $now (i32.const 256))
            (f32.store {FIRST} (f32.convert_i64_u (i64.load (i32.const 256))))
            (f32.store offset=4 {FIRST} (f32.convert_i64_u (i64.shr_u (call $random) (i64.const 40))))"
        ));
    let inert = request(&craft).prepare().await.unwrap();
    let first = floats(&inert.apply(&xs(&[9.0, 9.0])).await.unwrap());
    assert_eq!(first[0], 0.0);
    assert_eq!(floats(&inert.apply(&xs(&[9.0, 9.0])).await.unwrap()), first);

    let mut granted = request(&craft);
    granted.grants = Grants {
        clocks: true,
        random: true,
    };
    let granted = granted.prepare().await.unwrap();
    let one = floats(&granted.apply(&xs(&[9.0, 9.0])).await.unwrap());
    let two = floats(&granted.apply(&xs(&[9.0, 9.0])).await.unwrap());
    assert!(one[0] > 1.6e9 && one[1] != two[1], "{one:?} {two:?}");
}

#[tokio::test]
async fn what_is_printed_is_logged_and_an_open_stream_keeps_the_stage_warm() {
    let log = Captured::start();
    let craft = Craft::new()
        .import("import wasi:cli/stdout@0.2.0;", WASI)
        .items(
            r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
            (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
            (global $stream (mut i32) (i32.const 0))
            (data (i32.const 3072) "one\n\1b[31mtwo\nthree")"#,
        )
        .configure("(global.set $stream (call $stdout))")
        .apply("(call $write (global.get $stream) (i32.const 3072) (i32.const 18) (i32.const 256))");
    let mut request = request(&craft);
    request.stage = "printing".into();
    let stage = request.prepare().await.unwrap();
    let StageKind::Warm { reason } = stage.kind() else {
        panic!("snapshotted")
    };
    assert!(reason.contains("holds host resources"), "{reason}");
    for _ in 0..2 {
        stage.apply(&xs(&[9.0])).await.unwrap();
    }
    let lines = log.lines("printing");
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines[0].contains("one") && lines[1].contains(r"\u{1b}[31mtwo"),
        "{lines:?}"
    );
    // The end of one write and the beginning of the next are one line.
    assert!(lines[2].contains("threeone"), "{lines:?}");
}

#[tokio::test]
async fn exit_ends_the_call_and_not_the_host() {
    let craft = Craft::new()
        .import("import wasi:cli/exit@0.2.0;", WASI)
        .items(r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#)
        .apply("(call $exit (i32.const 1))");
    let stage = request(&craft).prepare().await.unwrap();
    let error = stage.apply(&xs(&[9.0])).await.unwrap_err();
    assert!(error.to_string().contains("it exited with status 1"), "{error}");
}

#[tokio::test]
async fn random_bytes_are_bounded() {
    let craft = Craft::new()
        .import("import wasi:random/random@0.2.0;", WASI)
        .items(r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#)
        .apply("(call $random (i64.const 0x7fffffffffff) (i32.const 256))");
    let stage = request(&craft).prepare().await.unwrap();
    assert_eq!(stage.apply(&xs(&[9.0])).await.unwrap_err().cause.code(), "trap");
}
