//! `cargo xtask demo`: real predictions through sandboxed plugins, from nothing.
//!
//! Everything goes through the HTTP API, as any user's calls do. Each step checks what it shows; the
//! first that doesn't hold ends the demo with an error.

#![expect(
    clippy::indexing_slicing,
    reason = "what is indexed is JSON: a key that isn't there reads as null"
)]

mod drift;
mod publish;
mod quality;
mod sandbox;
mod score;

use std::path::PathBuf;

use anyhow::{Result, bail};
use caisson_plugin_build::Route;

use crate::http::Api;
use crate::server::{Folder, Keys, Server};
use crate::setup::Build;
use crate::{root, setup};

/// The deployment and the model of `examples/cdnow`.
const NAME: &str = "cdnow-repurchase";

/// Run the demo; with `keep` the server stays.
pub(crate) fn run(wasm: Option<Route>, keep: bool) -> Result<()> {
    setup::run(wasm, Some(Build::Release))?;
    heading("1", "a server with an empty data folder");
    let folder = Folder::new("demo")?;
    let server = Server::start(&Build::Release.program(), &folder, &Keys::Dev, &[])?;
    if let Err(error) = server.wait_until_ready() {
        bail!("{error:#}\n{}", folder.log());
    }
    let api = server.api();
    println!(
        "   {} (process {}, {})",
        api.url(),
        server.pid(),
        folder.path().display()
    );

    heading("2", "plugins, a model with its baseline, a deployment");
    publish::run(&api)?;
    heading("3", "scores for customers that the model never saw");
    score::run(&api)?;
    heading("4", "the sandbox");
    sandbox::run(&api)?;
    heading("5", "later months against the baseline");
    drift::run(&api)?;
    heading("6", "how to go on");
    how_to_go_on(&api, &server, &folder, keep)?;
    if keep {
        server.leave();
        folder.keep();
    }
    Ok(())
}

fn heading(number: &str, text: &str) {
    println!("\n{number}. {text}");
}

/// A file of the example.
fn example(name: &str) -> PathBuf {
    root().join("examples/cdnow").join(name)
}

fn how_to_go_on(api: &Api, server: &Server, folder: &Folder, keep: bool) -> Result<()> {
    let url = api.url();
    let metrics = api.get_text("/metrics")?;
    let requests = metrics
        .lines()
        .find(|line| line.starts_with("caisson_requests_total{"));
    anyhow::ensure!(requests.is_some(), "/metrics counts no request");
    println!(
        "   curl -s {url}/v1/deployments/{NAME}/predict -H 'Content-Type: text/csv' --data-binary @examples/cdnow/test_customers.csv\n\
         \x20  python3 examples/cdnow/score.py {url} examples/cdnow/test_customers.csv\n\
         \x20  curl -s {url}/metrics"
    );
    if keep {
        println!(
            "\nThe server goes on. Stop it with: kill {}\nIts data and log: {}",
            server.pid(),
            folder.path().display()
        );
    } else {
        println!("\nThe server stops now; `cargo xtask demo --keep` leaves it running.");
    }
    Ok(())
}
