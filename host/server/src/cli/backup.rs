//! `caisson backup` and `caisson restore`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use caisson_store::{BackupReport, Options};
use clap::Args;
use serde_json::json;
use ureq::http::Method;

use crate::config::{ServerFlags, Settings};

use super::client::Client;
use super::{Remote, download, output};

/// Bytes read of a backup at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Write a backup of a running server: all tenants with their keys' hashes, plugins, models and
/// deployments, as they are at one moment.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson backup --out caisson-2026-01-02.tar
  caisson backup --out - | age -r age1… > caisson.tar.age

It takes an operator's key. The file is there when it is whole, and not before. Of keys it holds what \
verifies them and not what opens anything; of models and plugins everything, so keep it as you keep those.
The audit log is no part of it: `caisson audit export`.")]
pub(crate) struct BackupArgs {
    /// A file that isn't there yet; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// Make a data folder out of a backup, for a server to be started on. No server is asked. Exits 2
/// where the backup lacks something that was damaged when it was made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson restore --from caisson-2026-01-02.tar --data-dir /var/lib/caisson
  age -d caisson.tar.age | caisson restore --from - --data-dir /var/lib/caisson
  caisson serve --data-dir /var/lib/caisson

With blobs in an object store, as the server is to be started:
  caisson restore --from caisson.tar --config /etc/caisson.toml
  caisson restore --from caisson.tar --data-dir /var/lib/caisson --blobs s3://bucket/prefix")]
pub(crate) struct RestoreArgs {
    /// The backup; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Configuration file of the server: for its data folder, and where its blobs are.
    #[arg(long, env = "CAISSON_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder to make; what is there must be empty.
    #[arg(
        long,
        env = "CAISSON_DATA_DIR",
        value_name = "DIR",
        required_unless_present = "config"
    )]
    data_dir: Option<PathBuf>,
    /// Where plugins, models and baselines go: into the data folder, or to `s3://BUCKET/PREFIX`, which
    /// belongs to the new data folder from then on.
    #[arg(long, env = "CAISSON_BLOBS", value_name = "URL")]
    blobs: Option<String>,
    /// Print what was restored as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.remote)?;
    if args.out.as_os_str() == "-" {
        return download::to_stdout(&client, Method::POST, "/v1/backup");
    }
    let bytes = download::to_file(&client, Method::POST, "/v1/backup", &args.out)?;
    if client.json {
        output::json(&json!({"file": args.out, "bytes": bytes}));
    } else {
        println!("{} ({bytes} bytes)", args.out.display());
    }
    Ok(())
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let flags = ServerFlags::storage(args.config.clone(), args.data_dir.clone(), args.blobs.clone());
    let settings = Settings::gather(flags)?;
    let data_dir = settings.data_dir.as_path();
    let report = read(&args.from, data_dir, &settings.store())?;
    let code = match report.left_out_total {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    };
    if args.json {
        output::json(&report_body(&report));
        return Ok(code);
    }
    println!(
        "{}: {} records, {} blobs of {} bytes",
        data_dir.display(),
        report.records,
        report.blobs,
        report.blob_bytes
    );
    if report.left_out_total > 0 {
        eprintln!(
            "{} blobs were damaged or missing when the backup was made, and still are:",
            report.left_out_total
        );
        for left_out in &report.left_out {
            eprintln!("  {}: {}", left_out.digest, output::one_line(&left_out.reason));
        }
    }
    Ok(code)
}

fn read(from: &Path, data_dir: &Path, options: &Options) -> anyhow::Result<BackupReport> {
    let (input, bytes): (Box<dyn Read>, _) = if from.as_os_str() == "-" {
        (Box::new(io::stdin().lock()), None)
    } else {
        let opened = File::open(from).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.with_context(|| format!("reading {}", from.display()))?;
        (Box::new(file), Some(bytes))
    };
    let bar = download::bar(bytes);
    let input = BufReader::with_capacity(BUFFER_BYTES, bar.wrap_read(input));
    let report = caisson_store::restore_from(input, data_dir, options)
        .with_context(|| format!("restoring {} into {}", from.display(), data_dir.display()))?;
    bar.finish_and_clear();
    Ok(report)
}

fn report_body(report: &BackupReport) -> serde_json::Value {
    let left_out: Vec<_> = report
        .left_out
        .iter()
        .map(|one| json!({"digest": one.digest, "reason": one.reason}))
        .collect();
    json!({
        "records": report.records,
        "blobs": report.blobs,
        "blob_bytes": report.blob_bytes,
        "left_out": left_out,
        "left_out_total": report.left_out_total,
    })
}
