//! The methods of the inference service.

use std::sync::Arc;

use caisson_access::{Action, Resource};
use caisson_data::DecodeLimits;
use caisson_serving::{RepositoryState, Revision};
use tonic::{Request, Response, Status};

use super::infer;
use super::proto::grpc_inference_service_server::GrpcInferenceService;
use super::proto::repository_index_response::ModelIndex;
use super::proto::*;
use crate::http::Context;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::oip::{Named, config, metadata, repository, statistics};

/// Bytes of a decoded batch for each byte of a message, as of [`DecodeLimits::default`]: columns that
/// are left out take room, too.
const BATCH_BYTES_EACH: usize = 2;

/// Answers the calls of the inference service.
pub(super) struct Inference {
    context: Context,
    limits: DecodeLimits,
}

impl Inference {
    /// For messages of this many bytes.
    pub(super) fn new(context: Context, message_bytes_max: usize) -> Self {
        let default = DecodeLimits::default();
        Self {
            context,
            limits: DecodeLimits {
                bytes_max: message_bytes_max,
                batch_bytes_max: message_bytes_max
                    .saturating_mul(BATCH_BYTES_EACH)
                    .max(default.batch_bytes_max),
                ..default
            },
        }
    }

    /// The revision that a call about one deployment means, if its caller may do this to it.
    fn revision(&self, caller: &Caller, action: Action, named: &Named) -> Result<Arc<Revision>, ApiError> {
        caller.allow(action, &named.name)?;
        self.context.named(caller.tenant(), named)
    }
}

/// A message, and who sent it.
fn opened<T>(mut request: Request<T>) -> Result<(Caller, T), ApiError> {
    match request.extensions_mut().remove::<Caller>() {
        Some(caller) => Ok((caller, request.into_inner())),
        None => Err(ApiError::internal(
            "a method wants a caller, and its rule has none",
        )),
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse {
            ready: self.context.app.is_ready(),
        }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(metadata::SERVER.into()))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let (caller, ModelReadyRequest { name, version }) = opened(request)?;
        let ready = match self.revision(&caller, Action::DeploymentRead, &named(name, version)) {
            Ok(_) => true,
            // It is there, and loading, unloaded or broken.
            Err(error) if error.status() == axum::http::StatusCode::SERVICE_UNAVAILABLE => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let (caller, ModelMetadataRequest { name, version }) = opened(request)?;
        let revision = self.revision(&caller, Action::DeploymentRead, &named(name, version))?;
        Ok(Response::new(metadata::ModelMetadata::of(&revision).into()))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let (caller, mut message) = opened(request)?;
        let named = named(
            std::mem::take(&mut message.model_name),
            std::mem::take(&mut message.model_version),
        );
        let revision = self.revision(&caller, Action::DeploymentPredict, &named)?;
        let answer = infer::infer(&self.context, caller.tenant(), &revision, message, &self.limits).await?;
        Ok(Response::new(answer))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let (caller, ModelConfigRequest { name, version }) = opened(request)?;
        let revision = self.revision(&caller, Action::DeploymentRead, &named(name, version))?;
        Ok(Response::new(ModelConfigResponse {
            config: Some(config::config(&revision).into()),
        }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let (caller, ModelStatisticsRequest { name, version }) = opened(request)?;
        let revisions = if name.is_empty() {
            caller.allow(Action::DeploymentList, Resource::ANY_NAME)?;
            self.context.app.serving.list(caller.tenant())
        } else {
            vec![self.revision(&caller, Action::DeploymentRead, &named(name, version))?]
        };
        let of = |revision: &Arc<Revision>| statistics::ModelStatistics::of(revision).into();
        Ok(Response::new(ModelStatisticsResponse {
            model_stats: revisions.iter().map(of).collect(),
        }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let (caller, RepositoryIndexRequest { ready, .. }) = opened(request)?;
        let entries = self.context.app.serving.repository_index(caller.tenant());
        let models = entries
            .into_iter()
            .filter(|entry| !ready || entry.state == RepositoryState::Ready)
            .map(|entry| ModelIndex {
                name: entry.name,
                version: entry.version.map(|number| number.to_string()).unwrap_or_default(),
                state: entry.state.as_str().to_owned(),
                reason: entry.reason,
            })
            .collect();
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let (caller, message) = opened(request)?;
        let name = model_of(message.model_name, message.repository_name);
        caller.allow(Action::DeploymentLoad, &name)?;
        repository::check_load(message.parameters.keys())?;
        self.context
            .app
            .serving
            .load_again(caller.tenant(), &name)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(RepositoryModelLoadResponse {
            model_name: name,
            is_loaded: true,
        }))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let (caller, message) = opened(request)?;
        let name = model_of(message.model_name, message.repository_name);
        caller.allow(Action::DeploymentUnload, &name)?;
        repository::check_unload(message.parameters.keys())?;
        self.context
            .app
            .serving
            .unload(caller.tenant(), &name)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(RepositoryModelUnloadResponse {
            model_name: name,
            is_unloaded: true,
        }))
    }
}

/// What a message is about; the live version where it names none.
fn named(name: String, version: String) -> Named {
    Named {
        name,
        version: Some(version).filter(|version| !version.is_empty()),
    }
}

/// KServe's message has the name where Triton's has that of a repository, of which there is one.
fn model_of(model: String, repository: String) -> String {
    if model.is_empty() { repository } else { model }
}
