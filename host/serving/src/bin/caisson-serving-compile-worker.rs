//! The sandbox's compiling child, for this crate's tests; the `caisson` program has one built in.

use std::process::ExitCode;

fn main() -> ExitCode {
    caisson_sandbox::compile_worker_main()
}
