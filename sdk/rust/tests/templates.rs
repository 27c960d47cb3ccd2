//! The templates of `caisson plugin new`: their code compiles here as it is, and their own tests run
//! as part of these.

#[path = "../template/drift-check/src/lib.rs"]
mod drift_check;
#[path = "../template/predictor/src/lib.rs"]
mod predictor;
#[path = "../template/transform/src/lib.rs"]
mod transform;
#[path = "../template/validator/src/lib.rs"]
mod validator;

/// What `caisson plugin new` fills in, and nothing else, is left open in a template.
#[test]
fn manifests_have_the_two_placeholders() {
    for manifest in [
        include_str!("../template/drift-check/Cargo.toml.tmpl"),
        include_str!("../template/predictor/Cargo.toml.tmpl"),
        include_str!("../template/transform/Cargo.toml.tmpl"),
        include_str!("../template/validator/Cargo.toml.tmpl"),
    ] {
        assert_eq!(manifest.matches("{{name}}").count(), 1);
        assert_eq!(manifest.matches("{{sdk}}").count(), 1);
        assert_eq!(manifest.matches("{{").count(), 2);
    }
}
