//! Models.

use caisson_registry::{Deletion, ModelRecord, NAME_CHARS_MAX, TransitionRecord};
use caisson_serving::AliasMoved;
use serde_json::{Value, json};

use super::super::extract::Why;
use super::super::model_life::{Aliases, SetAlias, StageBody, Step, Update};
use super::super::models::{Details, ModelBody, ModelList};
use super::common::name;
use super::operation::{Operation, delete, get, patch, post, put};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let form = form(s);
    vec![
        get("/v1/models", "listModels", "The latest version of every model").ok::<ModelList>(s, "The models."),
        get("/v1/models/{name}", "listModelVersions", "Every version of one model")
            .ok::<ModelList>(s, "The versions.")
            .fails(&[404]),
        post("/v1/models/{name}", "pushModel", "Register a version")
            .about("The file is loaded once, in a process of its own under limits. A file that is there already, with the same baseline and metadata, is `unchanged`.")
            .takes_as("multipart/form-data", form)
            .answers::<ModelBody>(s, 201, "A new version.")
            .ok::<ModelBody>(s, "It was there already.")
            .fails(&[409, 507]),
        get("/v1/models/{name}/{version}", "showModel", "One version")
            .path("version", version())
            .ok::<ModelBody>(s, "With its signature and metadata.")
            .fails(&[404]),
        patch("/v1/models/{name}/{version}", "describeModel", "Change description and tags")
            .takes::<Update>(s, json!({ "description": "Trained on 2024.", "tags": { "team": "growth" } }))
            .ok::<ModelRecord>(s, "The version as it is now.")
            .fails(&[404, 409]),
        delete("/v1/models/{name}/{version}", "deleteModel", "Delete a version")
            .about("Only one that no alias and no live deployment uses. Its number is never given out again.")
            .query::<Why>(s)
            .ok::<Deletion>(s, "It is gone.")
            .fails(&[404, 409, 413]),
        get("/v1/models/{name}/aliases", "listAliases", "Where each alias points, and how it came there")
            .ok::<Aliases>(s, "The aliases.")
            .fails(&[404]),
        put("/v1/models/{name}/aliases/{alias}", "setAlias", "Point an alias at a version")
            .about("The version is loaded and run once before. With `expect` the alias moves only if it points there.")
            .path("alias", alias())
            .takes::<SetAlias>(s, json!({ "version": 1 }))
            .ok::<AliasMoved>(s, "It points there.")
            .fails(&[404, 409, 422, 503, 504]),
        delete("/v1/models/{name}/aliases/{alias}", "removeAlias", "Remove an alias")
            .path("alias", alias())
            .query::<super::super::model_life::Expect>(s)
            .ok::<AliasMoved>(s, "It is gone.")
            .fails(&[404, 409]),
        get("/v1/models/{name}/{version}/stage", "showModelStage", "How far a version is approved, and by whom")
            .ok::<StageBody>(s, "The stage and its history.")
            .fails(&[404]),
        post("/v1/models/{name}/{version}/stage", "moveModelStage", "Take a version to another stage")
            .about("`draft → pending → approved → archived`. Who asked for an approval doesn't give it.")
            .takes::<Step>(s, json!({ "to": "pending", "why": "better on the holdout" }))
            .ok::<TransitionRecord>(s, "The step that was taken.")
            .fails(&[404, 409]),
    ]
}

/// An alias is no number, and `latest` is none.
fn alias() -> Value {
    let mut schema = name("The alias.", NAME_CHARS_MAX);
    super::operation::set(&mut schema, "not", Some(json!({ "const": "latest" })));
    schema
}

fn version() -> Value {
    json!({
        "type": "string", "maxLength": NAME_CHARS_MAX,
        "pattern": "^([1-9][0-9]{0,18}|[a-z]([a-z0-9-]*[a-z0-9])?)$",
        "description": "A number, an alias, or `latest`.", "example": "latest",
    })
}

/// The form is read part by part and never as a whole, so there is no type of it.
fn form(s: &mut Schemas) -> Value {
    let details = s.read::<Details>();
    json!({
        "schema": {
            "type": "object",
            "required": ["model"],
            "additionalProperties": false,
            "properties": {
                "model": { "type": "string", "format": "binary", "description": "The ONNX file." },
                "metadata": { "type": "object", "description": "What the uploader says of it." },
                "details": details,
                "baseline": {
                    "type": "string", "format": "binary",
                    "description": "Reference rows, which monitors are fitted on, as CSV.",
                },
            },
        },
        "encoding": {
            "model": { "contentType": "application/octet-stream" },
            "metadata": { "contentType": "application/json" },
            "details": { "contentType": "application/json" },
            "baseline": { "contentType": "text/csv" },
        },
    })
}
