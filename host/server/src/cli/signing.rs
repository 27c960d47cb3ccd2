//! Keys and signatures of plugins: `caisson plugin keygen` and `caisson plugin sign`.
//!
//! What is signed names the plugin and its version, and those are in the component. So it is asked
//! here as a server asks: compiled in a child process, and run in the sandbox for that one question.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caisson_registry::Digest;
use caisson_registry::signature::{PluginSignature, PrivateKey};
use caisson_sandbox::{CompilerCommand, Meter, Sandbox, SandboxConfig};
use clap::Args;
use serde_json::json;

use super::{client, output};

/// Make a key that signs plugins.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  caisson plugin keygen release.pem
  caisson tenant settings --signing-key release=release.pem.pub

The private key is an Ed25519 key as `openssl genpkey -algorithm ed25519` writes it. Keep it where \
plugins are released, and nowhere else.")]
pub(crate) struct KeygenArgs {
    /// The file to write the private key to; the public key is written beside it, with `.pub`.
    file: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Sign a component, and print the signature. No server is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  caisson plugin sign target/plugins/impute.wasm --key release.pem
  caisson plugin push impute.wasm --signature \"$(caisson plugin sign impute.wasm --key release.pem)\"")]
pub(crate) struct SignArgs {
    /// The component.
    file: PathBuf,
    /// The private key's file, as `caisson plugin keygen` writes it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print what was signed and the signature as JSON.
    #[arg(long)]
    json: bool,
}

/// A signature and what it is of.
pub(crate) struct Signed {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) signature: PluginSignature,
}

/// Make a pair of keys and write both.
pub(crate) fn keygen(args: &KeygenArgs) -> anyhow::Result<()> {
    let public_file = PathBuf::from(format!("{}.pub", args.file.display()));
    let key = PrivateKey::generate()?;
    // The private key first: a public key alone would be taken for one whose private key is lost.
    write_new(&args.file, &key.to_pem()?, PRIVATE_MODE)?;
    write_new(&public_file, &key.public().to_pem()?, PUBLIC_MODE)?;
    let public = BASE64.encode(key.public().to_bytes());
    if args.json {
        output::json(&json!({
            "private_key_file": args.file,
            "public_key_file": public_file,
            "public_key": public,
        }));
    } else {
        println!("{}: the private key; whoever has it signs", args.file.display());
        println!("{}: the public key, {public}", public_file.display());
        println!(
            "next:  caisson tenant settings --signing-key NAME={}",
            public_file.display()
        );
    }
    Ok(())
}

/// Sign and print.
pub(crate) fn run(args: &SignArgs) -> anyhow::Result<()> {
    let signed = sign(&client::read_file(&args.file)?, &args.key)?;
    if args.json {
        output::json(&json!({
            "name": signed.name,
            "version": signed.version,
            "digest": signed.digest,
            "signature": signed.signature,
        }));
    } else {
        eprintln!("{}@{}, {}", signed.name, signed.version, signed.digest);
        println!("{}", signed.signature);
    }
    Ok(())
}

/// Sign a component with the key in a file.
///
/// # Errors
///
/// The file holds no key; this is no component that a server would take.
pub(crate) fn sign(component: &[u8], key_file: &Path) -> anyhow::Result<Signed> {
    let key = PrivateKey::from_pem(&client::read_text(key_file)?)
        .with_context(|| format!("the key file {}", key_file.display()))?;
    let (name, version) = name_and_version(component)?;
    let digest = Digest::of(component);
    let signature = key.sign(&name, &version, &digest);
    Ok(Signed {
        name,
        version,
        digest,
        signature,
    })
}

/// What a component says of itself.
fn name_and_version(component: &[u8]) -> anyhow::Result<(String, String)> {
    let compiler =
        CompilerCommand::current_exe(["compile-worker"]).context("finding this program's own file")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting a runtime")?;
    let manifest = runtime.block_on(async {
        let sandbox = Sandbox::new(SandboxConfig {
            // One question is asked, once.
            instances: 1,
            warm_instances: 0,
            ..SandboxConfig::new(compiler)
        })?;
        let inspection = sandbox.inspect(component, &Arc::new(Meter::default())).await;
        anyhow::Ok(inspection.context("the component can't be used")?.manifest)
    })?;
    Ok((manifest.name, manifest.version.to_string()))
}

/// Of the private key: its owner alone reads it.
const PRIVATE_MODE: u32 = 0o600;
/// Of the public key.
const PUBLIC_MODE: u32 = 0o644;

/// Write a file that isn't there yet: a key that is overwritten is lost.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match file {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("writing {}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists already; choose another name", path.display())
        }
        Err(e) => Err(e).with_context(|| format!("writing {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use caisson_registry::signature::PublicKey;

    use super::*;

    #[test]
    fn a_pair_of_keys_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let args = KeygenArgs {
            file: dir.path().join("k.pem"),
            json: false,
        };
        keygen(&args).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let private = PrivateKey::from_pem(&read("k.pem")).unwrap();
        assert_eq!(PublicKey::from_pem(&read("k.pem.pub")).unwrap(), private.public());
        let mode = std::fs::metadata(&args.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE_MODE);
        assert!(keygen(&args).unwrap_err().to_string().contains("exists already"));
        assert_eq!(
            PrivateKey::from_pem(&read("k.pem")).unwrap().public(),
            private.public()
        );
    }
}
