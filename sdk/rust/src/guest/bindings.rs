//! Bindings generated from `wit/`: types and log once, then each world over them.
//!
//! `wit/` is the one at the top of the repository, found relative to this crate, which therefore is
//! used as a path or git dependency.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "generated"
)]

mod base {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package caisson:plugin-sdk;

            world base {
                import caisson:plugin/types@0.1.0;
                import caisson:plugin/log@0.1.0;
            }
        ",
        world: "caisson:plugin-sdk/base",
        generate_all,
        generate_unused_types: true,
    });
}

pub use base::caisson::plugin::{log, types};

pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "caisson:plugin/transform",
        with: {
            "caisson:plugin/types@0.1.0": super::types,
            "caisson:plugin/log@0.1.0": super::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_transform",
    });
}

pub mod validator {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "caisson:plugin/validator",
        with: {
            "caisson:plugin/types@0.1.0": super::types,
            "caisson:plugin/log@0.1.0": super::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_validator",
    });
}

pub mod drift_check {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "caisson:plugin/drift-check",
        with: {
            "caisson:plugin/types@0.1.0": super::types,
            "caisson:plugin/log@0.1.0": super::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_drift_check",
    });
}

pub mod predictor {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "caisson:plugin/predictor",
        with: {
            "caisson:plugin/types@0.1.0": super::types,
            "caisson:plugin/log@0.1.0": super::log,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_predictor",
    });
}
