//! Checks one model for whoever starts it so: the worker of `caisson_inference::check`, on its own.
//! The `caisson` program brings the same worker as a hidden command.

use std::process::ExitCode;

fn main() -> ExitCode {
    caisson_inference::check_worker_main()
}
