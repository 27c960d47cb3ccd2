//! Rust for `proto/`: the server's half for the program, the client's for its tests.
//!
//! The compiler of protocol buffers is a crate, so that no `protoc` has to be on the machine.

use std::path::Path;

use prost::Message as _;

const FILES: [&str; 2] = ["grpc_service.proto", "model_config.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let out = Path::new(&out);
    let files = protox::compile(FILES, ["proto"])?;
    // What the server tells clients that ask it for its protocol.
    std::fs::write(out.join("inference.bin"), files.encode_to_vec())?;
    for (folder, server) in [("server", true), ("client", false)] {
        let folder = out.join(folder);
        std::fs::create_dir_all(&folder)?;
        tonic_prost_build::configure()
            .build_server(server)
            .build_client(!server)
            .build_transport(false)
            // Tensors are slices of the message that they came in.
            .bytes(".")
            .out_dir(folder)
            .compile_fds(files.clone())?;
    }
    Ok(())
}
