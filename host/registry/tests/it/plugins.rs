//! Yanks, signatures, pins and the first-party namespace.

use std::time::Duration;

use caisson_registry::signature::{PrivateKey, SignaturePolicy};
use caisson_registry::{DeploymentStore, Outcome, PluginUpload, Plugins, Provenance, TenantId, usage};
use caisson_store::Digest;
use serde_json::json;

use crate::{fixture, put, revision, tenant, upload};

#[test]
fn a_yanked_version_is_chosen_only_by_who_has_it() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    for version in ["1.0.0", "1.1.0"] {
        put(&plugins, &a, upload("clip", version), version.as_bytes()).unwrap();
    }
    let yanked = plugins
        .yank(&a, "clip", "1.1.0", "ann", "wrong rounding")
        .unwrap();
    let resolved = |reference: &str| plugins.resolve(&a, reference).map(|r| r.version.to_string());
    for reference in ["clip", "clip@^1", "clip@>=1.0.0"] {
        assert_eq!(resolved(reference).unwrap(), "1.0.0", "{reference}");
    }
    // To look at, it is there; to build on, it is not.
    for reference in ["clip@1.1.0", "clip@=1.1.0"] {
        assert_eq!(plugins.resolve(&a, reference).unwrap(), yanked);
        let error = plugins.resolve_new(&a, &reference.parse().unwrap()).unwrap_err();
        assert_eq!(error.code(), "yanked");
        let text = error.to_string();
        assert!(
            text.contains("wrong rounding") && text.contains("1.0.0"),
            "{text}"
        );
    }
    let pinned = |digest: &[u8]| plugins.pinned(&a, &"clip@1.1.0".parse().unwrap(), &Digest::of(digest));
    assert_eq!(pinned(b"1.1.0").unwrap(), yanked);
    assert_eq!(pinned(b"1.0.0").unwrap_err().code(), "pin-mismatch");
    // The first reason stands.
    let again = plugins.yank(&a, "clip", "1.1.0", "bob", "other").unwrap();
    assert_eq!(again.yanked.unwrap().why, "wrong rounding");
    plugins.yank(&a, "clip", "1.0.0", "ann", "").unwrap();
    let error = resolved("clip@^1").unwrap_err();
    assert!(error.to_string().contains("1.1.0 (yanked)"), "{error}");
    // The same bytes uploaded again don't undo it.
    let same = put(&plugins, &a, upload("clip", "1.1.0"), b"1.1.0").unwrap();
    assert!(matches!(same, Outcome::Unchanged(r) if r.yanked.is_some()));
    plugins.unyank(&a, "clip", "1.1.0").unwrap();
    assert_eq!(resolved("clip").unwrap(), "1.1.0");
    for (name, version) in [("clip", "9.0.0"), ("none", "1.0.0")] {
        let error = plugins.yank(&a, name, version, "ann", "").unwrap_err();
        assert_eq!(error.code(), "plugin-not-found");
    }
}

#[test]
fn first_party_plugins_are_everyones_and_a_tenants_are_its_own() {
    let f = fixture();
    let (plugins, a, std) = (Plugins::new(f.store.clone()), tenant("a"), TenantId::std());
    put(&plugins, &std, upload("impute", "0.1.0"), b"ours").unwrap();
    put(&plugins, &std, upload("impute", "0.1.3"), b"ours, later").unwrap();
    put(&plugins, &a, upload("impute", "0.1.9"), b"theirs").unwrap();
    let digest = |reference: &str| plugins.resolve(&a, reference).map(|r| r.digest);
    assert_eq!(digest("std/impute@^0.1").unwrap(), Digest::of(b"ours, later"));
    assert_eq!(digest("std/impute@0.1.0").unwrap(), Digest::of(b"ours"));
    assert_eq!(digest("impute@^0.1").unwrap(), Digest::of(b"theirs"));
    assert_eq!(digest("std/clip").unwrap_err().code(), "plugin-not-found");
    for bad in ["a/impute", "std/std/impute", "std/", "/impute"] {
        assert_eq!(digest(bad).unwrap_err().code(), "bad-name", "{bad}");
    }
    // Only its owner writes to it.
    assert_eq!(
        plugins
            .yank(&a, "std/impute", "0.1.0", "eve", "")
            .unwrap_err()
            .code(),
        "bad-name"
    );
    assert_eq!(plugins.list(&a).unwrap().len(), 1);
}

#[test]
fn a_signature_is_checked_and_kept() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    let (key, stranger) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let policy =
        |required| SignaturePolicy::new(required, [("release".to_owned(), key.public())].into()).unwrap();
    let signed = |by: &PrivateKey| PluginUpload {
        signature: Some(by.sign("clip", "1.0.0", &Digest::of(b"x"))),
        provenance: Provenance {
            uploaded_by: Some("ann".to_owned()),
            uploaded_from: Some("203.0.113.7".to_owned()),
        },
        ..upload("clip", "1.0.0")
    };
    let code = |upload, bytes: &[u8], required| {
        plugins
            .put(&a, upload, bytes, &policy(required))
            .map_err(|e| e.code())
    };
    assert_eq!(
        code(upload("clip", "1.0.0"), b"x", true),
        Err("signature-required")
    );
    assert_eq!(code(signed(&stranger), b"x", false), Err("signature-unknown"));
    assert_eq!(code(signed(&key), b"y", false), Err("signature-unknown"));
    assert!(plugins.list(&a).unwrap().is_empty());

    // Unsigned where that is allowed, and signed later.
    let unsigned = code(upload("clip", "1.0.0"), b"x", false).unwrap().into_record();
    assert_eq!(unsigned.signature, None);
    let later = code(signed(&key), b"x", true).unwrap();
    assert!(matches!(&later, Outcome::Unchanged(r) if r.signature.as_ref().unwrap().signed_by == "release"));
    assert_eq!(plugins.resolve(&a, "clip").unwrap(), later.into_record());

    let other = PluginUpload {
        version: "1.0.1".to_owned(),
        signature: Some(key.sign("clip", "1.0.1", &Digest::of(b"x"))),
        ..signed(&key)
    };
    let record = code(other, b"x", true).unwrap().into_record();
    assert_eq!(record.provenance.uploaded_from.as_deref(), Some("203.0.113.7"));
    let long = PluginUpload {
        provenance: Provenance {
            uploaded_by: Some("x".repeat(300)),
            uploaded_from: None,
        },
        ..upload("clip", "1.0.2")
    };
    assert_eq!(code(long, b"x", false), Err("too-many"));
}

#[test]
fn the_largest_manifest_can_still_be_yanked() {
    let f = fixture();
    let (plugins, a) = (Plugins::new(f.store.clone()), tenant("a"));
    let quotes = |n: usize| "\"".repeat(n);
    // The longest help that is taken.
    let mut help = 60 * 1024;
    while put(
        &plugins,
        &a,
        PluginUpload {
            help: quotes(help),
            ..upload("clip", "1.0.0")
        },
        b"x",
    )
    .is_err()
    {
        help -= 64;
    }
    plugins
        .yank(&a, "clip", "1.0.0", &quotes(256), &quotes(2048))
        .unwrap();
}

#[test]
fn a_yanked_version_that_nothing_uses_is_deleted_and_its_name_stays_taken() {
    let f = fixture();
    let (plugins, a, b) = (Plugins::new(f.store.clone()), tenant("a"), tenant("b"));
    let deployments = DeploymentStore::new(f.store.clone());
    let (shared, own) = (&b"of both"[..], &b"of one"[..]);
    put(&plugins, &a, upload("clip", "1.0.0"), shared).unwrap();
    put(&plugins, &a, upload("clip", "1.1.0"), own).unwrap();
    put(&plugins, &b, upload("clip", "1.0.0"), shared).unwrap();
    put(&plugins, &a, upload("clip", "0.9.0"), b"never deployed").unwrap();
    plugins.yank(&a, "clip", "0.9.0", "ann", "").unwrap();
    let delete = |version| plugins.delete(&a, "clip", version, "ann", "old");
    assert_eq!(delete("1.0.0").unwrap_err().code(), "not-yanked");
    for version in ["1.0.0", "1.1.0"] {
        plugins.yank(&a, "clip", version, "ann", "").unwrap();
    }
    // A deployment that is live keeps what it is built on, and what it can go back to.
    for (version, bytes) in [("1.0.0", shared), ("1.1.0", own)] {
        let mut new = revision(json!({ "v": version }));
        new.pins
            .plugins
            .insert(format!("clip@{version}"), Digest::of(bytes));
        deployments.append(&a, "pricing", new).unwrap();
    }
    for (version, user) in [
        ("1.0.0", "deployment pricing revision 1 (to go back to)"),
        ("1.1.0", "deployment pricing revision 2 (live)"),
    ] {
        let error = delete(version).unwrap_err();
        assert_eq!(error.code(), "in-use");
        assert!(error.to_string().contains(user), "{error}");
    }
    deployments.delete(&a, "pricing").unwrap();
    let before = usage(&f.store, &a).unwrap();
    let deletion = delete("1.0.0").unwrap();
    assert_eq!(
        (deletion.sha256, deletion.why.as_str()),
        (Digest::of(shared).hex(), "old")
    );
    let after = usage(&f.store, &a).unwrap();
    assert_eq!((after.plugins, after.plugin_versions), (1, 2));
    assert_eq!(after.stored_bytes, before.stored_bytes - shared.len() as u64);
    assert_eq!(delete("1.0.0").unwrap_err().code(), "plugin-not-found");
    delete("1.1.0").unwrap();
    delete("0.9.0").unwrap();
    assert_eq!(usage(&f.store, &a).unwrap().plugins, 0);
    // What another tenant has stays, and what is in a history; what nobody names goes.
    f.store.sweep_orphans(Duration::ZERO).unwrap();
    let is_there = |bytes: &[u8]| f.store.blobs().contains(&Digest::of(bytes)).unwrap();
    assert!(is_there(shared) && is_there(own) && !is_there(b"never deployed"));
    // Going back to what is gone is an error; the version is nobody else's.
    let mut back = revision(json!({ "v": "1.1.0" }));
    back.pins.plugins.insert("clip@1.1.0".to_owned(), Digest::of(own));
    let error = deployments.append(&a, "pricing", back).unwrap_err();
    assert_eq!(error.code(), "plugin-not-found");
    let error = put(&plugins, &a, upload("clip", "1.1.0"), b"other").unwrap_err();
    assert_eq!(error.code(), "plugin-conflict");
    assert!(error.to_string().contains("was deleted"), "{error}");
    for _ in 0..2 {
        put(&plugins, &a, upload("clip", "1.1.0"), own).unwrap();
        plugins.yank(&a, "clip", "1.1.0", "ann", "").unwrap();
        delete("1.1.0").unwrap();
    }
}
