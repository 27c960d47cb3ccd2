//! First look at an upload, before any of it is compiled: header, structure, size, imports, exports.
//!
//! Everything here is one pass over section headers and names, so that a component that can't be
//! accepted is refused in milliseconds, with a message that says what to do. Whether the bytes are
//! valid WebAssembly is the compiling child's to say.

use semver::Version;
use serde::{Deserialize, Serialize};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use crate::error::{RefusedImport, UploadError};
use crate::limits::UploadLimits;
use crate::manifest::{WIT_VERSION, World};
use crate::text::tame;

/// Imports and exports at the root of a component. A plugin has about 10, CPython's about 30.
const ITEMS_MAX: usize = 256;
/// Bytes of a name in an error message.
const NAME_SHOWN_BYTES_MAX: usize = 128;
/// Bytes of the header that tells module from component.
const HEADER_BYTES: usize = 8;

/// What the first look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) world: World,
    /// Imports at the root, as the component names them.
    pub(crate) imports: Vec<String>,
    /// Version of `caisson:plugin` that the component was built for; `None` if it names none.
    pub(crate) wit_version: Option<String>,
    /// Bytes of function bodies.
    pub(crate) code_bytes: u64,
    /// Functions in core modules.
    pub(crate) functions: u64,
    pub(crate) needs: Needs,
}

/// What the imports ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Needs {
    /// `wasi:nn`.
    pub(crate) models: bool,
    /// WASI 0.2.
    pub(crate) wasi: bool,
}

/// Look at a component.
pub(crate) fn outline(bytes: &[u8], limits: &UploadLimits) -> Result<Outline, UploadError> {
    if bytes.len() > limits.component_bytes {
        return Err(UploadError::TooLarge {
            bytes: bytes.len(),
            limit: limits.component_bytes,
        });
    }
    header(bytes)?;
    let found = walk(bytes, limits)?;
    let world = world(&found.exports)?;
    let (needs, wit_version) = imports(&found.imports, world)?;
    Ok(Outline {
        world,
        imports: found.imports,
        wit_version,
        code_bytes: found.code_bytes,
        functions: found.functions,
        needs,
    })
}

fn header(bytes: &[u8]) -> Result<(), UploadError> {
    let not = |found| Err(UploadError::NotWasm { found });
    match bytes {
        [] => not("it is empty"),
        [b'\0', b'a', b's', b'm', rest @ ..] if rest.len() < HEADER_BYTES - 4 => {
            Err(UploadError::Truncated(format!("it has {} bytes", bytes.len())))
        }
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => Err(UploadError::CoreModule),
        [b'\0', b'a', b's', b'm', ..] => Ok(()),
        [b'P', b'K', 3, 4, ..] => not("it is a zip archive; upload the .wasm file inside"),
        [0x1f, 0x8b, ..] => not("it is compressed with gzip; upload the .wasm file itself"),
        [0x7f, b'E', b'L', b'F', ..] => not("it is native code"),
        _ if looks_like_wat(bytes) => {
            not("it is WebAssembly text; turn it into binary with `wasm-tools parse`")
        }
        _ => not("it does not begin with the bytes of WebAssembly"),
    }
}

fn looks_like_wat(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"(component") || start.starts_with(b"(module") || start.starts_with(b";;")
}

#[derive(Default)]
struct Found {
    imports: Vec<String>,
    exports: Vec<String>,
    functions: u64,
    code_bytes: u64,
    types: u64,
    core_modules: u64,
}

fn walk(bytes: &[u8], limits: &UploadLimits) -> Result<Found, UploadError> {
    let parsing = |e: wasmparser::BinaryReaderError| {
        let at = format!("{} at byte {} of {}", e.message(), e.offset(), bytes.len());
        if e.message().contains("unexpected end") {
            UploadError::Truncated(at)
        } else {
            UploadError::Invalid(at)
        }
    };
    let most = |what, found: u64, limit: usize| match limit as u64 {
        limit if found > limit => Err(UploadError::TooComplex { what, found, limit }),
        _ => Ok(()),
    };
    let mut found = Found::default();
    // Components and modules that the parser is inside of; the first is the upload itself.
    let mut open = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(parsing)? {
            Payload::Version { encoding, .. } => {
                open += 1;
                if encoding == Encoding::Module {
                    found.core_modules += 1;
                    most("core modules", found.core_modules, limits.core_modules)?;
                }
                most("levels of nesting", open as u64, limits.nesting)?;
            }
            Payload::End(_) => open = open.saturating_sub(1),
            Payload::FunctionSection(section) => {
                found.functions += u64::from(section.count());
                most("functions", found.functions, limits.functions)?;
            }
            Payload::CodeSectionStart { size, .. } => {
                found.code_bytes += u64::from(size);
                most("bytes of code", found.code_bytes, limits.code_bytes)?;
            }
            Payload::TypeSection(section) => found.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => found.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => found.types += u64::from(section.count()),
            Payload::ComponentImportSection(section) if open == 1 => {
                for item in section {
                    let item = item.map_err(parsing)?;
                    // A type's name for what another import brings; nothing to link.
                    if item.ty.kind() != ComponentExternalKind::Type {
                        found.imports.push(item.name.name.to_owned());
                        most("imports", found.imports.len() as u64, ITEMS_MAX)?;
                    }
                }
            }
            Payload::ComponentExportSection(section) if open == 1 => {
                for item in section {
                    found.exports.push(item.map_err(parsing)?.name.name.to_owned());
                    most("exports", found.exports.len() as u64, ITEMS_MAX)?;
                }
            }
            _ => {}
        }
        most("type definitions", found.types, limits.types)?;
    }
    if open > 0 {
        return Err(UploadError::Truncated("it ends inside a section".to_owned()));
    }
    Ok(found)
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|n| format!("`{}`", tame(n, NAME_SHOWN_BYTES_MAX)))
        .collect();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.join(", ")
}

/// The world whose functions are all exported.
fn world(exports: &[String]) -> Result<World, UploadError> {
    let needed = |world: World| {
        ["describe", "configure"]
            .into_iter()
            .chain(world.functions().iter().copied())
    };
    let missing = |world: World| {
        needed(world)
            .filter(|f| !exports.iter().any(|e| e == f))
            .collect::<Vec<_>>()
    };
    if let Some(world) = World::ALL.into_iter().find(|&w| missing(w).is_empty()) {
        return Ok(world);
    }
    let nearest = World::ALL
        .into_iter()
        .filter(|w| w.functions().iter().any(|f| exports.iter().any(|e| e == f)))
        .min_by_key(|&w| missing(w).len());
    Err(UploadError::NoWorld {
        missing: match nearest {
            Some(world) => format!("to be a {world} it lacks {}", quoted(missing(world))),
            None => "a plugin exports `describe`, `configure` and its world's functions".to_owned(),
        },
        exports: quoted(exports.iter().map(String::as_str)),
    })
}

/// The interfaces of WASI 0.2 that the host offers, inert.
const WASI: [(&str, &[&str]); 6] = [
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["wall-clock", "monotonic-clock"]),
    ("wasi:filesystem", &["types", "preopens"]),
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:sockets",
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];
const WASI_VERSION: Version = Version::new(0, 2, 6);
const WASI_NN: [&str; 4] = ["tensor", "graph", "inference", "errors"];
const WASI_NN_VERSION: &str = "0.2.0-rc-2024-10-28";

/// Compare imports with what the world may have.
fn imports(names: &[String], world: World) -> Result<(Needs, Option<String>), UploadError> {
    let offered = Version::parse(WIT_VERSION).map_err(|e| UploadError::Host(e.to_string()))?;
    let mut needs = Needs::default();
    let mut wit_version = None;
    let mut refused = Vec::new();
    for name in names {
        let mut refuse = |reason: &str| {
            refused.push(RefusedImport {
                name: tame(name, NAME_SHOWN_BYTES_MAX),
                reason: reason.to_owned(),
            });
        };
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (name.as_str(), None),
        };
        let Some((package, interface)) = path.split_once('/') else {
            refuse("a plugin may import interfaces only, and the host offers none of this name");
            continue;
        };
        match package {
            "caisson:plugin" => {
                let parsed = version.and_then(|v| Version::parse(v).ok());
                let Some(built) = parsed.filter(|v| same_line(v, &offered)) else {
                    return Err(UploadError::WitVersion {
                        found: tame(version.unwrap_or("?"), NAME_SHOWN_BYTES_MAX),
                        offered: WIT_VERSION,
                    });
                };
                wit_version = Some(built.to_string());
                if !matches!(interface, "types" | "log") {
                    refuse(&format!("caisson:plugin@{WIT_VERSION} has no such interface"));
                }
            }
            "wasi:nn" if version != Some(WASI_NN_VERSION) || !WASI_NN.contains(&interface) => {
                refuse(&format!("the host offers wasi:nn@{WASI_NN_VERSION}"));
            }
            "wasi:nn" if world != World::Predictor => {
                refuse(&format!("only a predictor may use models, and this is a {world}"));
            }
            "wasi:nn" => needs.models = true,
            "wasi:http" => refuse("no grant gives a plugin the network"),
            _ => match WASI.iter().find(|(p, _)| *p == package) {
                None => refuse("the host offers no such package, and no grant gives it"),
                Some((_, interfaces)) if !interfaces.contains(&interface) => {
                    refuse("the host offers no such interface of WASI 0.2, and no grant gives it");
                }
                Some(_)
                    if !version
                        .and_then(|v| Version::parse(v).ok())
                        .is_some_and(|v| same_line(&v, &WASI_VERSION)) =>
                {
                    refuse("the host offers WASI 0.2");
                }
                Some(_) => needs.wasi = true,
            },
        }
    }
    if refused.is_empty() {
        Ok((needs, wit_version))
    } else {
        Err(UploadError::Imports(refused))
    }
}

/// Do two versions belong to one compatible line, as semantic versioning has it?
fn same_line(a: &Version, b: &Version) -> bool {
    if a.major != b.major || a.pre != b.pre {
        return false;
    }
    a.major > 0 || a.minor == b.minor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn headers_are_told_apart() {
        let look = |bytes: &[u8]| outline(bytes, &UploadLimits::default()).unwrap_err();
        assert_eq!(look(b"").code(), "not-wasm");
        assert_eq!(look(b"\0as").code(), "not-wasm");
        assert_eq!(look(b"\0asm\x0d\0").code(), "component-truncated");
        assert_eq!(look(b"\0asm\x01\0\0\0"), UploadError::CoreModule);
        assert!(look(b"  (component)").to_string().contains("wasm-tools parse"));
        assert!(look(b"PK\x03\x04....").to_string().contains("zip"));
        assert!(look(b"hello, world").to_string().contains("does not begin"));
        assert_eq!(look(b"\0asm\x0d\0\x01\0").code(), "no-plugin-world");
        let small = UploadLimits {
            component_bytes: 7,
            ..UploadLimits::default()
        };
        assert_eq!(
            outline(b"\0asm\x0d\0\x01\0", &small).unwrap_err(),
            UploadError::TooLarge { bytes: 8, limit: 7 }
        );
    }

    #[test]
    fn worlds_are_found_by_their_exports() {
        assert_eq!(
            world(&owned(&["describe", "configure", "apply"])),
            Ok(World::Transform)
        );
        assert_eq!(
            world(&owned(&["check", "fit", "configure", "describe"])),
            Ok(World::DriftCheck)
        );
        let error = world(&owned(&["describe", "configure", "fit"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("to be a drift-check it lacks `check`"), "{error}");
        let error = world(&owned(&["wasi:http/incoming-handler@0.2.0"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exports `wasi:http/incoming-handler@0.2.0`"),
            "{error}"
        );
    }

    #[test]
    fn imports_are_granted_or_refused_one_by_one() {
        let contract = "caisson:plugin/types@0.1.7";
        let (needs, version) =
            imports(&owned(&[contract, "caisson:plugin/log@0.1.0"]), World::Transform).unwrap();
        assert_eq!((needs, version.as_deref()), (Needs::default(), Some("0.1.0")));
        let (needs, _) = imports(
            &owned(&["wasi:io/streams@0.2.0", "wasi:cli/stdout@0.2.9"]),
            World::Transform,
        )
        .unwrap();
        assert_eq!(
            needs,
            Needs {
                models: false,
                wasi: true
            }
        );
        let nn = "wasi:nn/graph@0.2.0-rc-2024-10-28";
        assert!(imports(&owned(&[nn]), World::Predictor).unwrap().0.models);

        let error = imports(&owned(&["caisson:plugin/types@0.2.0"]), World::Transform).unwrap_err();
        assert_eq!(
            error,
            UploadError::WitVersion {
                found: "0.2.0".into(),
                offered: "0.1.0"
            }
        );
        assert!(error.to_string().contains("Rebuild"));

        let names = owned(&[
            nn,
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:io/streams@0.3.0",
            "acme:db/sql",
            "f",
            "caisson:plugin/gpu@0.1.0",
        ]);
        let error = imports(&names, World::Transform).unwrap_err().to_string();
        for part in [
            "`wasi:nn/graph@0.2.0-rc-2024-10-28` (only a predictor may use models, and this is a transform)",
            "`wasi:http/outgoing-handler@0.2.0` (no grant gives a plugin the network)",
            "`wasi:io/streams@0.3.0` (the host offers WASI 0.2)",
            "`acme:db/sql` (the host offers no such package",
            "`f` (a plugin may import interfaces only",
            "`caisson:plugin/gpu@0.1.0` (caisson:plugin@0.1.0 has no such interface)",
        ] {
            assert!(error.contains(part), "{part} not in {error}");
        }
    }
}
