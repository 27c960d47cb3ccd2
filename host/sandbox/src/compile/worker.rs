//! The compiling child. It trusts nothing it reads: whatever the component does to it, it dies alone.

use std::io::{self, BufRead, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use rlimit::Resource;
use wasmparser::BinaryReaderError;
use wasmtime::Engine;
use wasmtime_wizer::Wizer;

use super::{HEADER_BYTES_MAX, Request, Response};
use crate::engine;
use crate::fair::give_way;
use crate::text::tame;

/// Stack of the compiling thread. Cranelift recurses over a function's structure in places.
const STACK_BYTES: usize = 64 << 20;
/// Bytes of an error message.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The whole of a process that compiles one component: limits itself, reads a request and the
/// component from standard input, writes the answer to standard output, ends.
///
/// A binary that uses this crate calls it, before anything else, when it is started as
/// [`CompilerCommand`](crate::CompilerCommand) says.
pub fn compile_worker_main() -> ExitCode {
    let response = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(|| run(&mut io::stdin().lock()))
        .map_err(|e| Response::Broken(e.to_string()))
        .and_then(|thread| {
            thread
                .join()
                .map_err(|_| Response::Failed("the compiler panicked".to_owned()))
        });
    let (response, code) = match response {
        Ok(Ok((plain, code))) => (Response::Compiled { plain }, code),
        Ok(Err(response)) | Err(response) => (response, Vec::new()),
    };
    match write(&response, &code) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // The host is gone or has heard enough.
    }
}

fn write(response: &Response, code: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, response)?;
    out.write_all(b"\n")?;
    out.write_all(code)?;
    out.flush()
}

fn run(input: &mut impl BufRead) -> Result<(Option<String>, Vec<u8>), Response> {
    let broken = |e: &dyn std::fmt::Display| Response::Broken(e.to_string());
    let mut line = String::new();
    input
        .by_ref()
        .take(HEADER_BYTES_MAX as u64)
        .read_line(&mut line)
        .map_err(|e| broken(&e))?;
    let request: Request = serde_json::from_str(&line).map_err(|e| broken(&e))?;
    limit(&request).map_err(|e| broken(&e))?;
    let mut wasm = Vec::new();
    input
        .take(request.component_bytes_max as u64 + 1)
        .read_to_end(&mut wasm)
        .map_err(|e| broken(&e))?;
    if wasm.len() > request.component_bytes_max {
        return Err(Response::Broken("more bytes came than were announced".to_owned()));
    }
    compile(&wasm, request.instrument)
}

/// Limits that hold for the rest of this process's life.
fn limit(request: &Request) -> io::Result<()> {
    let both = |resource: Resource, value: u64| resource.set(value, value);
    // No core dump of tenants' bytes, and no file written at all.
    both(Resource::CORE, 0)?;
    both(Resource::FSIZE, 0)?;
    // Compiling gives way to answering requests. Not to be allowed to is no reason not to compile.
    let _ = give_way();
    // SIGXCPU at the soft limit, which the host tells from the SIGKILL of a system short of memory.
    Resource::CPU.set(request.cpu_seconds, request.cpu_seconds + 1)?;
    both(Resource::AS, request.address_space_bytes)
}

fn compile(wasm: &[u8], instrument: bool) -> Result<(Option<String>, Vec<u8>), Response> {
    let message = |e: &dyn std::fmt::Display| tame(&format!("{e:#}"), MESSAGE_BYTES_MAX);
    let engine = engine::compiling().map_err(|e| Response::Broken(message(&e)))?;
    let plain = |reason: Option<String>| match engine.precompile_component(wasm) {
        Ok(code) => Ok((reason, code)),
        Err(e) if e.downcast_ref::<BinaryReaderError>().is_some() => Err(Response::Invalid(message(&e))),
        Err(e) => Err(Response::Failed(message(&e))),
    };
    if !instrument {
        return plain(None);
    }
    match instrumented(&engine, wasm) {
        Ok(code) => Ok((None, code)),
        Err(reason) => plain(Some(tame(&reason, MESSAGE_BYTES_MAX))),
    }
}

fn instrumented(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let instrumented = catch_unwind(AssertUnwindSafe(|| {
        Wizer::new().instrument_component(wasm).map(|(_, wasm)| wasm)
    }))
    .map_err(|_| "the component uses something that can't be snapshotted".to_owned())?
    .map_err(|e| format!("{e:#}"))?;
    engine
        .precompile_component(&instrumented)
        .map_err(|e| format!("{e:#}"))
}
