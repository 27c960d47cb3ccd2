//! Plugins: immutable versions, and what references mean.

use caisson_registry::{
    CONFIG_SCHEMA_BYTES_MAX, Class, HELP_BYTES_MAX, IMPORTS_MAX, Outcome, PLUGIN_BYTES_MAX,
    PLUGIN_VERSIONS_MAX, PluginUpload, RegistryError, TenantId,
};
use caisson_store::Digest;
use semver::Version;

use crate::{open, tenant};

pub(crate) fn upload(name: &str, version: &str) -> PluginUpload {
    PluginUpload {
        name: name.to_owned(),
        version: version.to_owned(),
        world: "transform".to_owned(),
        config_schema: r#"{"type": "object"}"#.to_owned(),
        help: "Fills missing values.".to_owned(),
        imports: vec!["caisson:plugin/log@0.1.0".to_owned()],
        wit_version: "0.1.0".to_owned(),
    }
}

#[test]
fn a_version_is_created_once_and_never_changes() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    let created = plugins.put(&t, upload("impute", "1.2.3"), b"component").unwrap();
    let Outcome::Created(record) = &created else {
        panic!("{created:?}");
    };
    assert_eq!(
        (record.name.as_str(), &record.version),
        ("impute", &Version::new(1, 2, 3))
    );
    assert_eq!((record.digest, record.size), (Digest::of(b"component"), 9));
    assert_eq!(record.config_schema, r#"{"type": "object"}"#);
    assert_eq!(record.imports, ["caisson:plugin/log@0.1.0"]);
    assert_eq!(plugins.bytes(&record.digest).unwrap(), b"component");
    assert_eq!(&plugins.get(&t, "impute", "1.2.3").unwrap(), record);

    let again = plugins.put(&t, upload("impute", "1.2.3"), b"component").unwrap();
    assert_eq!(again, Outcome::Unchanged(record.clone()));

    let error = plugins.put(&t, upload("impute", "1.2.3"), b"other").unwrap_err();
    assert_eq!(
        (error.code(), error.class()),
        ("plugin-conflict", Class::Conflict)
    );
    let RegistryError::PluginConflict { existing, given, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (*existing, *given),
        (Digest::of(b"component"), Digest::of(b"other"))
    );
    assert!(error.to_string().contains("raise the version"), "{error}");
    assert_eq!(&plugins.get(&t, "impute", "1.2.3").unwrap(), record);
    // The same bytes under another version are fine.
    assert!(
        plugins
            .put(&t, upload("impute", "1.2.4"), b"component")
            .unwrap()
            .is_created()
    );
}

#[test]
fn names_and_versions_that_would_leave_their_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    for name in ["../../etc/passwd", "a/b", "", "A", "a@1", &"a".repeat(65)] {
        let error = plugins.put(&t, upload(name, "1.0.0"), b"x").unwrap_err();
        assert_eq!(
            (error.code(), error.class()),
            ("invalid-name", Class::Invalid),
            "{name}"
        );
        assert_eq!(
            plugins.get(&t, name, "1.0.0").unwrap_err().code(),
            "invalid-name",
            "{name}"
        );
    }
    for version in [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0+build",
        "1.0.0/../x",
        &"1".repeat(200),
    ] {
        let error = plugins.put(&t, upload("a", version), b"x").unwrap_err();
        assert_eq!(error.code(), "invalid-version", "{version}");
        assert!(error.to_string().len() < 400, "{error}");
    }
    assert!(plugins.list(&t, None, 10).unwrap().items.is_empty());
}

#[test]
fn every_part_of_an_upload_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    let json_of = |bytes: u64| format!("\"{}\"", "x".repeat(usize::try_from(bytes).unwrap() - 2));
    let largest = PluginUpload {
        config_schema: json_of(CONFIG_SCHEMA_BYTES_MAX),
        help: "x".repeat(usize::try_from(HELP_BYTES_MAX).unwrap()),
        imports: vec!["x".repeat(100); IMPORTS_MAX],
        ..upload("largest", "1.0.0")
    };
    assert!(plugins.put(&t, largest.clone(), b"x").unwrap().is_created());

    let code = |change: &dyn Fn(&mut PluginUpload)| {
        let mut upload = PluginUpload {
            version: "2.0.0".to_owned(),
            ..largest.clone()
        };
        change(&mut upload);
        plugins.put(&t, upload, b"x").unwrap_err().code()
    };
    assert_eq!(
        code(&|u| u.config_schema = json_of(CONFIG_SCHEMA_BYTES_MAX + 1)),
        "too-large"
    );
    assert_eq!(code(&|u| u.help.push('x')), "too-large");
    assert_eq!(code(&|u| u.imports.push(String::new())), "too-many");
    assert_eq!(code(&|u| u.imports[0] = "x".repeat(257)), "too-large");
    assert_eq!(code(&|u| u.config_schema = "{".to_owned()), "invalid-upload");
    assert_eq!(code(&|u| u.world = "../x".to_owned()), "invalid-name");
    // Each part in bounds, and the whole too large for a record: escapes make it longer.
    assert_eq!(code(&|u| u.help = "\0".repeat(16 * 1024)), "too-large");

    let too_large = vec![0; usize::try_from(PLUGIN_BYTES_MAX).unwrap() + 1];
    let error = plugins.put(&t, upload("a", "1.0.0"), &too_large).unwrap_err();
    assert_eq!((error.code(), error.class()), ("too-large", Class::TooLarge));
}

#[test]
fn the_number_of_versions_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    for n in 0..PLUGIN_VERSIONS_MAX {
        plugins.put(&t, upload("a", &format!("0.0.{n}")), b"x").unwrap();
    }
    let error = plugins.put(&t, upload("a", "1.0.0"), b"x").unwrap_err();
    assert_eq!(error.code(), "too-many");
    assert!(plugins.put(&t, upload("a", "0.0.0"), b"x").is_ok());
    assert!(plugins.put(&t, upload("b", "1.0.0"), b"x").is_ok());
}

#[test]
fn references_mean_the_highest_version_that_matches() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    for version in ["1.2.0", "1.10.0", "1.9.9", "2.0.0-rc.2", "2.0.0-rc.10", "0.3.1"] {
        plugins
            .put(&t, upload("impute", version), version.as_bytes())
            .unwrap();
    }
    plugins.put(&t, upload("only-pre", "0.1.0-alpha"), b"x").unwrap();
    for (reference, version) in [
        ("impute", "1.10.0"),
        ("impute@*", "1.10.0"),
        ("impute@^1.2", "1.10.0"),
        ("impute@1", "1.10.0"),
        ("impute@1.9", "1.10.0"),
        ("impute@~1.9", "1.9.9"),
        ("impute@1.2.0", "1.2.0"),
        ("impute@=1.2.0", "1.2.0"),
        ("impute@ 1.2.0 ", "1.2.0"),
        ("impute@>=0.3, <1", "0.3.1"),
        ("impute@2.0.0-rc.2", "2.0.0-rc.2"),
        ("impute@^2.0.0-rc.1", "2.0.0-rc.10"),
        ("only-pre@0.1.0-alpha", "0.1.0-alpha"),
    ] {
        let record = plugins
            .resolve(&t, reference)
            .unwrap_or_else(|e| panic!("{reference}: {e}"));
        assert_eq!(record.version.to_string(), version, "{reference}");
    }
    for (reference, code, says) in [
        (
            "impute@^3",
            "version-not-found",
            "there are 2.0.0-rc.10, 2.0.0-rc.2, 1.10.0, 1.9.9, 1.2.0, 0.3.1",
        ),
        ("impute@1.2.3", "version-not-found", "has no version 1.2.3"),
        (
            "only-pre",
            "version-not-found",
            "ask for a pre-release by its exact version",
        ),
        ("input", "plugin-not-found", "push it first"),
        ("impute@", "invalid-version", "1 to 128 bytes"),
        (
            "impute@newest",
            "invalid-version",
            "use `1.2.3`, `^1.2` or `>=1, <3`",
        ),
        ("impute@1@2", "invalid-version", "use `1.2.3`"),
        ("../impute", "invalid-name", "a letter first"),
    ] {
        let error = plugins.resolve(&t, reference).unwrap_err();
        assert_eq!(error.code(), code, "{reference}: {error}");
        assert!(error.to_string().contains(says), "{reference}: {error}");
    }
}

#[test]
fn lists_are_paged_and_versions_sorted() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (plugins, t) = (registry.plugins(), TenantId::default());
    for name in ["c", "a", "b-1", "b"] {
        plugins.put(&t, upload(name, "1.0.0"), b"x").unwrap();
    }
    plugins.put(&t, upload("a", "1.0.0-rc.1"), b"x").unwrap();
    plugins.put(&t, upload("a", "1.10.0"), b"x").unwrap();
    plugins.put(&t, upload("a", "1.9.0"), b"x").unwrap();
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = plugins.list(&t, after.as_deref(), 3).unwrap();
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().map(|p| p.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "b-1", "c"]);
    let versions = plugins.versions(&t, "a").unwrap().versions;
    let versions: Vec<String> = versions.iter().map(|v| v.version.to_string()).collect();
    assert_eq!(versions, ["1.10.0", "1.9.0", "1.0.0", "1.0.0-rc.1"]);
}

#[test]
fn tenants_see_nothing_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let plugins = registry.plugins();
    let (a, ab) = (tenant("a"), tenant("a-b"));
    plugins.put(&a, upload("impute", "1.0.0"), b"of a").unwrap();
    plugins.put(&ab, upload("impute", "1.0.0"), b"of a-b").unwrap();
    assert_eq!(plugins.resolve(&a, "impute").unwrap().digest, Digest::of(b"of a"));
    assert_eq!(
        plugins.resolve(&ab, "impute").unwrap().digest,
        Digest::of(b"of a-b")
    );
    assert_eq!(plugins.list(&a, None, 10).unwrap().items.len(), 1);
    let nobody = tenant("b");
    assert_eq!(
        plugins.resolve(&nobody, "impute").unwrap_err().code(),
        "plugin-not-found"
    );
    assert!(plugins.list(&nobody, None, 10).unwrap().items.is_empty());
}

#[test]
fn of_concurrent_uploads_of_a_version_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let t = TenantId::default();
    for round in 0..10 {
        let version = format!("1.0.{round}");
        let put = |bytes: &[u8]| registry.plugins().put(&t, upload("racy", &version), bytes);
        let results: Vec<_> = std::thread::scope(|scope| {
            let put = &put;
            // Two threads bring the same bytes.
            let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || put(&[n / 2]))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let created = results
            .iter()
            .filter(|r| r.as_ref().is_ok_and(Outcome::is_created))
            .count();
        let unchanged = results
            .iter()
            .filter(|r| r.as_ref().is_ok_and(|o| !o.is_created()))
            .count();
        assert_eq!((created, unchanged), (1, 1), "{results:?}");
        let conflicts = results
            .iter()
            .filter_map(|r| r.as_ref().err())
            .map(RegistryError::code);
        assert_eq!(conflicts.collect::<Vec<_>>(), ["plugin-conflict"; 4]);
    }
    // Different versions at the same time are all kept.
    std::thread::scope(|scope| {
        for n in 0..8 {
            let registry = &registry;
            let t = &t;
            scope.spawn(move || {
                for m in 0..5 {
                    let version = format!("2.{n}.{m}");
                    let put = registry.plugins().put(t, upload("racy", &version), b"x").unwrap();
                    assert!(put.is_created());
                }
            });
        }
    });
    assert_eq!(
        registry.plugins().versions(&t, "racy").unwrap().versions.len(),
        50
    );
}
