//! What serves: configuration, statistics and repository of the Open Inference Protocol's extensions.

use serde_json::json;

use super::super::oip::config::ModelConfig;
use super::super::oip::repository::{RepositoryModel, RepositoryQuery, RepositoryRequest};
use super::super::oip::statistics::StatisticsAnswer;
use super::operation::{Operation, get, post};
use super::schemas::Schemas;

pub(super) fn operations(s: &mut Schemas) -> Vec<Operation> {
    let mut all = vec![
        get(
            "/v2/models/stats",
            "allStatistics",
            "What every deployment has done",
        )
        .ok::<StatisticsAnswer>(s, "Since each live revision began to serve."),
    ];
    for (path, id) in [
        ("/v2/models/{name}/config", "modelConfig"),
        (
            "/v2/models/{name}/versions/{version}/config",
            "modelVersionConfig",
        ),
    ] {
        let operation = get(path, id, "A deployment's configuration, in Triton's form");
        all.push(
            operation
                .ok::<ModelConfig<'_>>(s, "Its tensors and its batching.")
                .fails(&[404, 503]),
        );
    }
    for (path, id) in [
        ("/v2/models/{name}/stats", "modelStatistics"),
        (
            "/v2/models/{name}/versions/{version}/stats",
            "modelVersionStatistics",
        ),
    ] {
        let operation = get(path, id, "What a deployment has done, in Triton's form");
        all.push(
            operation
                .ok::<StatisticsAnswer>(s, "Since its live revision began to serve.")
                .fails(&[404, 503]),
        );
    }
    all.extend([
        post("/v2/repository/index", "repositoryIndex", "Every deployment, and whether it serves")
            .may_take::<RepositoryQuery>(s, json!({ "ready": true }))
            .ok::<Vec<RepositoryModel>>(s, "The deployments, by name."),
        post(
            "/v2/repository/models/{name}/load",
            "loadModel",
            "Prepare the live revision again, and serve it",
        )
        .may_take::<RepositoryRequest>(s, json!({}))
        .ok::<RepositoryModel>(s, "It serves.")
        .fails(&[404, 409, 422, 503, 504]),
        post("/v2/repository/models/{name}/unload", "unloadModel", "Take a deployment out of service")
            .about("Until it is loaded, applied or rolled back, or the server starts again. Nothing that is stored changes.")
            .may_take::<RepositoryRequest>(s, json!({ "parameters": { "unload_dependents": false } }))
            .ok::<RepositoryModel>(s, "It serves no more.")
            .fails(&[404]),
    ]);
    all
}
