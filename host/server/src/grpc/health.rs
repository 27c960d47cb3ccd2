//! `grpc.health.v1`: load balancers and orchestrators ask it whether to send requests here.
//!
//! The server as a whole (the empty name) and the inference service are in service when the server is
//! ready, as `/v2/health/ready` says. A watch ends once it has said that the server is stopping: a
//! stream that stayed open would keep the server from stopping.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::app::App;
use crate::http::error::ApiError;

/// What has a health of its own.
const SERVICES: [&str; 2] = ["", "inference.GRPCInferenceService"];
/// How often a watch looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Watches at once, which anyone may open: a handful of load balancers have one each.
const WATCHES_MAX: usize = 256;

/// Answers about this server's health.
pub(super) struct Health {
    app: Arc<App>,
    watches: Arc<Semaphore>,
}

impl Health {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
        }
    }
}

fn status(app: &App) -> ServingStatus {
    if app.is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

struct Watch {
    app: Arc<App>,
    last: Option<ServingStatus>,
    _turn: OwnedSemaphorePermit,
}

impl Watch {
    /// Wait for a status that is another than the last; `None` at the end.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let now = status(&self.app);
            if self.last != Some(now) {
                self.last = Some(now);
                return Some((Ok(answer(now)), self));
            }
            if self.app.is_draining() {
                return None;
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !SERVICES.contains(&service.as_str()) {
            let shown = caisson_registry::shown(&service);
            return Err(ApiError::not_found(format!("there is no service `{shown}`")).into());
        }
        Ok(Response::new(answer(status(&self.app))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !SERVICES.contains(&request.into_inner().service.as_str()) {
            // So the protocol has it: no error, in case the service comes later. Here none does.
            let unknown = Ok(answer(ServingStatus::ServiceUnknown));
            return Ok(Response::new(Box::pin(stream::iter([unknown]))));
        }
        let turn = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            ApiError::new(
                axum::http::StatusCode::TOO_MANY_REQUESTS,
                "busy",
                format!("{WATCHES_MAX} watches are open; use `Check`"),
            )
        })?;
        let watch = Watch {
            app: Arc::clone(&self.app),
            last: None,
            _turn: turn,
        };
        Ok(Response::new(Box::pin(stream::unfold(watch, Watch::next))))
    }
}
