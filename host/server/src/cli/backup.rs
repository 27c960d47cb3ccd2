//! `caisson backup` and `caisson restore`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use caisson_store::{BackupReport, Options};
use clap::Args;
use serde_json::json;
use ureq::http::Method;

use crate::config::{ServerFlags, Settings};

use super::client::Client;
use super::download::{self, NewFile};
use super::{Remote, output};

/// Bytes read of a backup at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Write a backup of a running server: all tenants with their keys' hashes, plugins, models and
/// deployments, as they are at one moment. Exits 2 where something was damaged, and so left out.
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

pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.remote)?;
    let report = match args.out.as_os_str() == "-" {
        true => fetch(&client, io::stdout().lock())?,
        false => {
            let mut file = NewFile::at(&args.out)?;
            let report = fetch(&client, &mut file)?;
            file.keep()?;
            let bytes = std::fs::metadata(&args.out).map_or(0, |metadata| metadata.len());
            if client.json {
                let written = json!({"file": args.out, "bytes": bytes, "contents": report_body(&report)});
                output::json(&written);
            } else {
                println!("{} ({bytes} bytes)", args.out.display());
            }
            report
        }
    };
    if !client.json {
        tell_left_out(&report, "are not in the backup");
    }
    Ok(code(&report))
}

/// A backup of the server, checked while it is written.
fn fetch(client: &Client, to: impl Write) -> anyhow::Result<BackupReport> {
    let bar = download::bar(None);
    let answer = client.stream(Method::POST, "/v1/backup")?;
    let mut tee = Tee {
        from: BufReader::with_capacity(BUFFER_BYTES, bar.wrap_read(answer)),
        to: BufWriter::with_capacity(BUFFER_BYTES, to),
    };
    let report =
        caisson_store::check_backup(&mut tee).context("the backup broke off, or what it goes to did")?;
    // The padding at the end.
    io::copy(&mut tee, &mut io::sink()).context("the backup broke off")?;
    tee.to.flush().context("writing the backup")?;
    bar.finish_and_clear();
    Ok(report)
}

/// Hands on what is read of it.
struct Tee<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to
            .write_all(buffer.get(..count).unwrap_or_default())
            .inspect_err(output::end_if_closed)?;
        Ok(count)
    }
}

fn code(report: &BackupReport) -> ExitCode {
    match report.left_out_total {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

fn tell_left_out(report: &BackupReport, what: &str) {
    if report.left_out_total == 0 {
        return;
    }
    eprintln!("{} damaged or missing blobs {what}:", report.left_out_total);
    for left_out in &report.left_out {
        eprintln!("  {}: {}", left_out.digest, output::one_line(&left_out.reason));
    }
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let flags = ServerFlags::storage(args.config.clone(), args.data_dir.clone(), args.blobs.clone());
    let settings = Settings::gather(flags)?;
    let data_dir = settings.data_dir.as_path();
    let report = read(&args.from, data_dir, &settings.store())?;
    if args.json {
        output::json(&report_body(&report));
        return Ok(code(&report));
    }
    println!(
        "{}: {} records, {} blobs of {} bytes",
        data_dir.display(),
        report.records,
        report.blobs,
        report.blob_bytes
    );
    tell_left_out(&report, "are not in the backup, and so not here");
    Ok(code(&report))
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
