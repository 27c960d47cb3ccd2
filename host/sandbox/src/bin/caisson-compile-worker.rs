//! The compiling child on its own, for this crate's tests; the `caisson` binary has one built in.

use std::process::ExitCode;

fn main() -> ExitCode {
    caisson_sandbox::compile_worker_main()
}
