//! Finding and installing with programs that are scripts: what the real ones would do to a
//! machine, nothing of which a test may do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// A folder of scripts, and of two compilers' installations beside them.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// An active compiler without the target, rustup and Debian's tools failing, no Debian compiler.
    fn bare() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        machine.compiler("active", "1.95.0");
        for program in ["rustup", "apt-get", "apt-cache", "dpkg", "dpkg-query"] {
            machine.script(program, &format!("echo {program} is broken >&2; exit 1"));
        }
        machine.script("id", "echo 0");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn script(&self, name: &str, body: &str) -> PathBuf {
        let log = self.path("log");
        let text = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n{body}\n", log.display());
        self.file(&format!("{name}.text"), &text);
        // Written by a process of its own: a file that this process has open for writing while
        // another test forks can't be run.
        let path = self.path(name);
        let copy = "cp \"$0.text\" \"$0\" && chmod +x \"$0\"";
        let status = Command::new("sh").args(["-c", copy]).arg(&path).status();
        assert!(status.unwrap().success());
        path
    }

    /// `<name>/bin/rustc` with the sysroot `<name>`.
    fn compiler(&self, name: &str, release: &str) -> PathBuf {
        let root = self.path(name);
        let sysroot = root.display();
        self.script(
            &format!("{name}/bin/rustc"),
            &format!(
                "case \"$*\" in\n\
                 -vV) printf 'rustc\\nhost: x86_64-unknown-linux-gnu\\nrelease: {release}\\nLLVM version: 22.1.8\\n';;\n\
                 *target-libdir*) echo {sysroot}; echo {sysroot}/lib/rustlib/{TARGET}/lib;;\n\
                 *) echo {sysroot};;\nesac"
            ),
        )
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn target_installed(&self, compiler: &str) {
        self.file(&format!("{compiler}/lib/rustlib/{TARGET}/lib/libstd-1.rlib"), "");
    }

    fn source_installed(&self, compiler: &str, version: &str) {
        self.file(
            &format!("{compiler}/lib/rustlib/src/rust/library/std/Cargo.toml"),
            "",
        );
        self.file(&format!("{compiler}/lib/rustlib/src/rust/src/version"), version);
    }

    fn lld_installed(&self, compiler: &str) {
        self.file(
            &format!("{compiler}/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"),
            "",
        );
    }

    fn search(&self, route: Route) -> Search {
        Search {
            route,
            explicit: None,
            dir: self.path("unpacked"),
            programs: Programs {
                rustc: self.path("active/bin/rustc"),
                rustup: self.path("rustup"),
                debian_rustc: self.path("debian/bin/rustc"),
                apt_get: self.path("apt-get"),
                apt_cache: self.path("apt-cache"),
                dpkg: self.path("dpkg"),
                dpkg_query: self.path("dpkg-query"),
                id: self.path("id"),
            },
            rustup_limit: Duration::from_millis(500),
        }
    }

    /// What ran, as `program arguments`.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let prefix = format!("{}/", self.dir.path().display());
        text.lines()
            .map(|line| line.trim_start_matches(&prefix).to_owned())
            .collect()
    }

    /// An `apt-get install` that brings Debian's compiler with its source.
    fn apt_works(&self) {
        self.script("apt-get", &self.link_debian());
    }

    /// A command that makes Debian's compiler appear. It is made elsewhere and linked, because its
    /// answers hold its folder's name.
    fn link_debian(&self) -> String {
        self.compiler("later", "1.96.0");
        self.source_installed("later", "1.96.0\n");
        format!(
            "ln -sfn {} {}",
            self.path("later").display(),
            self.path("debian").display()
        )
    }
}

fn install(search: &Search) -> (Result<Toolchain, ToolchainError>, String) {
    let mut said = String::new();
    let result = Toolchain::install(search, &mut |line| {
        said.push_str(line);
        said.push('\n');
    });
    (result, said)
}

#[test]
fn the_active_compiler_comes_first() {
    let machine = Machine::bare();
    machine.target_installed("active");
    machine.compiler("debian", "1.96.0");
    machine.target_installed("debian");
    let found = Toolchain::find(&machine.search(Route::Auto)).unwrap();
    assert_eq!((found.release.as_str(), found.std_source), ("1.95.0", None));
    let found = Toolchain::find(&machine.search(Route::Debian)).unwrap();
    assert_eq!(found.release, "1.96.0");
}

#[test]
fn debian_builds_std_with_the_active_compilers_linker() {
    let machine = Machine::bare();
    machine.compiler("debian", "1.96.0");
    machine.source_installed("debian", "1.96.0\n");
    machine.lld_installed("active");
    let found = Toolchain::find(&machine.search(Route::Auto)).unwrap();
    let source = machine.path("debian/lib/rustlib/src/rust");
    assert_eq!(found.std_source(), Some(source.as_path()));
    let lld = machine.path("active/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    assert_eq!(found.linker.as_deref(), Some(lld.as_path()));

    let mut cargo = Command::new("cargo");
    found.apply(&mut cargo);
    assert!(cargo.get_args().any(|arg| arg == "-Zbuild-std=std,panic_abort"));
    let env: Vec<_> = cargo
        .get_envs()
        .map(|(key, _)| key.to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        env,
        [
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            "RUSTC",
            "RUSTC_BOOTSTRAP"
        ]
    );
}

#[test]
fn an_unpacked_compiler_gets_its_libraries() {
    let machine = Machine::bare();
    machine.compiler("unpacked/usr", "1.96.0");
    machine.source_installed("unpacked/usr", "1.96.0");
    machine.lld_installed("unpacked/usr");
    machine.file("unpacked/usr/lib/x86_64-linux-gnu/librustc_driver-1.so", "");
    let found = Toolchain::find(&machine.search(Route::Auto)).unwrap();
    let libraries = machine.path("unpacked/usr/lib/x86_64-linux-gnu");
    assert_eq!(found.libraries.as_deref(), Some(libraries.as_path()));
}

#[test]
fn halves_of_different_versions_are_refused() {
    let machine = Machine::bare();
    machine.compiler("debian", "1.96.0");
    machine.source_installed("debian", "1.85.0\n");
    machine.lld_installed("active");
    let error = Toolchain::find(&machine.search(Route::Debian))
        .unwrap_err()
        .to_string();
    assert!(error.contains("1.85.0") && error.contains("1.96.0"), "{error}");
}

#[test]
fn nothing_found_lists_every_place() {
    let machine = Machine::bare();
    let error = Toolchain::find(&machine.search(Route::Auto))
        .unwrap_err()
        .to_string();
    for place in ["active/bin/rustc", "unpacked/usr/bin/rustc", "debian/bin/rustc"] {
        assert!(error.contains(place), "{place} is missing in: {error}");
    }
    assert!(
        error.contains("rustup target add") && error.contains("rustc-web"),
        "{error}"
    );
}

#[test]
fn an_explicit_compiler_is_the_only_one() {
    let machine = Machine::bare();
    machine.target_installed("active");
    let mut search = machine.search(Route::Auto);
    search.explicit = Some(machine.path("nowhere/rustc"));
    let error = Toolchain::find(&search).unwrap_err().to_string();
    assert!(error.contains("nowhere/rustc"), "{error}");
    assert!(install(&search).0.is_err());
    assert_eq!(machine.log(), Vec::<String>::new(), "nothing may be installed");
    search.explicit = Some(machine.path("active/bin/rustc"));
    assert_eq!(Toolchain::find(&search).unwrap().release, "1.95.0");
}

#[test]
fn rustup_installs_the_target_where_it_works() {
    let machine = Machine::bare();
    let lib = machine.path(&format!("active/lib/rustlib/{TARGET}/lib"));
    machine.script(
        "rustup",
        &format!("mkdir -p {0} && touch {0}/libstd-1.rlib", lib.display()),
    );
    let (result, _) = install(&machine.search(Route::Auto));
    assert_eq!(result.unwrap().release, "1.95.0");
    assert!(machine.log().contains(&format!("rustup target add {TARGET}")));
    assert!(
        !machine.log().iter().any(|line| line.starts_with("apt")),
        "{:?}",
        machine.log()
    );
}

#[test]
fn a_rustup_that_fails_gives_way_to_debian() {
    let machine = Machine::bare();
    machine.lld_installed("active");
    machine.apt_works();
    let (result, said) = install(&machine.search(Route::Auto));
    assert_eq!(result.unwrap().release, "1.96.0");
    assert!(
        said.contains("rustup is broken") && said.contains("going on with Debian's packages"),
        "{said}"
    );
}

#[test]
fn a_rustup_that_hangs_is_stopped_and_gives_way_to_debian() {
    let machine = Machine::bare();
    machine.script("rustup", "exec sleep 600");
    machine.lld_installed("active");
    machine.apt_works();
    let (result, said) = install(&machine.search(Route::Auto));
    assert_eq!(result.unwrap().release, "1.96.0");
    assert!(said.contains("was stopped"), "{said}");
}

#[test]
fn rustup_alone_does_not_fall_through() {
    let machine = Machine::bare();
    let (result, _) = install(&machine.search(Route::Rustup));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("rustup is broken"), "{error}");
    assert!(
        !machine.log().iter().any(|line| line.starts_with("apt")),
        "{:?}",
        machine.log()
    );
}

#[test]
fn empty_package_lists_are_fetched() {
    let machine = Machine::bare();
    machine.lld_installed("active");
    let lists = machine.path("lists");
    machine.script(
        "apt-get",
        &format!(
            "if [ \"$1\" = update ]; then touch {0}; exit; fi\n[ -e {0} ] || exit 100\n{1}",
            lists.display(),
            machine.link_debian()
        ),
    );
    let (result, _) = install(&machine.search(Route::Debian));
    assert_eq!(result.unwrap().release, "1.96.0");
    assert!(lists.exists());
}

#[test]
fn a_missing_linker_is_installed_or_named() {
    let machine = Machine::bare();
    machine.apt_works();
    let (result, _) = install(&machine.search(Route::Debian));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("lld-22"), "{error}");
    assert!(
        machine
            .log()
            .iter()
            .any(|line| line.starts_with("apt-get install") && line.ends_with("lld-22"))
    );
}

#[test]
fn a_user_who_is_not_root_unpacks_into_a_folder() {
    let machine = Machine::bare();
    machine.lld_installed("active");
    machine.script("id", "echo 1000");
    machine.script(
        "apt-cache",
        "printf 'rustc-web\\n  Depends: gcc\\nrust-web-src\\nlibstd-rust-web-1.96\\nlibllvm22\\nlibz3-4\\nlibc6\\ngcc\\n<libc-dev>\\n'",
    );
    machine.script(
        "dpkg-query",
        "printf 'libc6 installed\\nlibllvm22 installed\\nlibz3-4 not-installed\\n'",
    );
    machine.script("apt-get", "shift; for name; do touch $name.deb; done");
    // Each package unpacks to the same tree here; the last argument is the folder.
    let usr = "$3/usr";
    let source = format!("{usr}/lib/rustlib/src/rust/library/std");
    let rustc = "#!/bin/sh\nroot=$(dirname $(dirname $0))\ncase \"$*\" in\n\
                 -vV) printf 'host: x\\nrelease: 1.96.0\\nLLVM version: 22.1.8\\n';;\n\
                 *) echo $root; echo $root/none;;\nesac";
    machine.file("rustc", rustc);
    machine.file("active/lib/rustlib/x/bin/rust-lld", "");
    machine.script(
        "dpkg",
        &format!(
            "mkdir -p {usr}/bin {source} && touch {source}/Cargo.toml && cp {} {usr}/bin/rustc && chmod +x {usr}/bin/rustc",
            machine.path("rustc").display()
        ),
    );
    let (result, _) = install(&machine.search(Route::Debian));
    assert_eq!(result.unwrap().rustc, machine.path("unpacked/usr/bin/rustc"));
    assert!(!machine.path("unpacked.partial").exists());
    let log = machine.log();
    let download: Vec<_> = log.iter().filter(|line| line.starts_with("apt-get")).collect();
    assert_eq!(
        download,
        ["apt-get download libllvm22 libstd-rust-web-1.96 libz3-4 rust-web-src rustc-web"],
        "no system package, no virtual one, and every library of its own version"
    );
}

#[test]
fn names_of_routes() {
    assert_eq!("debian".parse::<Route>().unwrap(), Route::Debian);
    assert_eq!(String::new().parse::<Route>().unwrap(), Route::Auto);
    let error = "brew".parse::<Route>().unwrap_err().to_string();
    assert!(error.contains("brew") && error.contains("debian"), "{error}");
}

impl Toolchain {
    /// A toolchain that no build gets as far as using.
    pub(crate) fn for_tests() -> Self {
        Self {
            rustc: Path::new("rustc").to_owned(),
            release: String::new(),
            std_source: None,
            linker: None,
            libraries: None,
        }
    }
}
