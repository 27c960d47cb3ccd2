//! `caisson plugin new`: a folder that builds, tests and pushes.
//!
//! The templates live beside the SDK, so that they are tested with it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::plugin::World;

/// Characters in a plugin's name, as the contract has it.
const NAME_MAX: usize = 64;

struct Template {
    manifest: &'static str,
    source: &'static str,
    readme: &'static str,
}

macro_rules! template {
    ($world:literal) => {
        Template {
            manifest: include_str!(concat!(
                "../../../../sdk/rust/template/",
                $world,
                "/Cargo.toml.tmpl"
            )),
            source: include_str!(concat!("../../../../sdk/rust/template/", $world, "/src/lib.rs")),
            readme: include_str!(concat!("../../../../sdk/rust/template/", $world, "/README.md")),
        }
    };
}

const fn template(world: World) -> Template {
    match world {
        World::Transform => template!("transform"),
        World::Validator => template!("validator"),
        World::DriftCheck => template!("drift-check"),
        World::Predictor => template!("predictor"),
    }
}

/// Make the folder.
pub(crate) fn run(
    world: World,
    name: &str,
    path: Option<PathBuf>,
    sdk: Option<PathBuf>,
) -> anyhow::Result<()> {
    check_name(name)?;
    let folder = path.unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        bail!(
            "{} exists already; choose another name or give --path",
            folder.display()
        );
    }
    let sdk = find_sdk(sdk)?;
    let template = template(world);
    // As a TOML string: a path may hold quotes and backslashes.
    let sdk = format!("{{ path = {} }}", serde_json::to_string(&sdk.to_string_lossy())?);
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{sdk}}", &sdk);
    std::fs::create_dir_all(folder.join("src")).with_context(|| format!("making {}", folder.display()))?;
    for (file, text) in [
        ("Cargo.toml", template.manifest),
        ("src/lib.rs", template.source),
        ("README.md", template.readme),
        (".gitignore", "/target\n"),
    ] {
        let path = folder.join(file);
        std::fs::write(&path, fill(text)).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("made {}", folder.display());
    println!(
        "next:  cd {}  &&  caisson plugin test  &&  caisson plugin push",
        folder.display()
    );
    Ok(())
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let shape = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-');
    if !shape || name.len() > NAME_MAX {
        bail!(
            "`{}` is no plugin name: 1 to {NAME_MAX} lower-case letters, digits and inner hyphens, a letter first",
            name.escape_debug()
        );
    }
    Ok(())
}

/// The SDK crate's folder: as given, or that of the checkout this program was built from.
fn find_sdk(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/rust");
    let folder = given.unwrap_or(built_from);
    let folder = folder.canonicalize().with_context(|| {
        format!(
            "the SDK is not at {}; say where it is with --sdk",
            folder.display()
        )
    })?;
    if !folder.join("Cargo.toml").is_file() {
        bail!(
            "{} holds no crate; --sdk takes the folder of `caisson-plugin`",
            folder.display()
        );
    }
    Ok(folder)
}
