//! An alias moves to a model that runs here.

use caisson_serving::{FirstRun, Kind};
use serde_json::json;

use crate::support::{System, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_loaded_and_run_before_an_alias_moves_to_it() {
    let system = System::new();
    let a = tenant("a");
    system.model(&a, "m", "several_inputs", None);
    system.model(&a, "m", "dynamic", None);
    system.model(&a, "m", "unknown_operator", None);
    system.model(&a, "m", "strings", None);
    let set = |to, expect| system.serving.set_alias(&a, "m", "champion", to, expect, "ann");
    let champion = || {
        system
            .parts
            .models
            .aliases(&a, "m")
            .unwrap()
            .get("champion")
            .copied()
    };

    let moved = set(Some(1), None).await.unwrap();
    assert!(
        matches!(moved.first_run, Some(FirstRun::Ran { milliseconds }) if milliseconds > 0.0),
        "{moved:?}"
    );
    let json = serde_json::to_value(&moved).unwrap();
    assert_eq!((&json["to"], &json["by"]), (&json!(1), &json!("ann")));
    assert!(json["first_run"]["ran"]["milliseconds"].is_number());
    // Where the model doesn't say what one row is, loading must do.
    let moved = set(Some(2), Some(1)).await.unwrap();
    assert!(
        matches!(&moved.first_run, Some(FirstRun::NotRun { why }) if why.contains("x: fp32[?, ?]")),
        "{moved:?}"
    );
    let refused = set(Some(3), Some(2)).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.code),
        (Kind::Unprocessable, "model-failed")
    );
    assert_eq!(refused.stage.as_deref(), Some("model m@3"));
    assert_eq!(champion(), Some(2));
    // One that moved meanwhile stays where it is.
    let refused = set(Some(1), Some(1)).await.unwrap_err();
    assert_eq!((refused.kind, refused.code), (Kind::Conflict, "alias-moved"));
    let refused = set(Some(9), Some(2)).await.unwrap_err();
    assert_eq!(refused.code, "model-not-found");
    assert!(matches!(
        set(Some(4), Some(2)).await.unwrap().first_run,
        Some(FirstRun::Ran { .. })
    ));
    assert!(set(None, Some(4)).await.unwrap().first_run.is_none());
    assert_eq!(champion(), None);
}
