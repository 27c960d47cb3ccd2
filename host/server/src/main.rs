//! The `caisson` program: the server, and the command line that talks to one.

mod alerting;
mod app;
mod cli;
mod config;
mod grpc;
mod http;
mod insight;
mod observe;
mod performance;

use std::process::ExitCode;

use clap::Parser as _;

/// Chosen by measurement (`benches/README.md`): as fast as the system's, and a server that swaps models and
/// plugins for long stays as small as it was.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
