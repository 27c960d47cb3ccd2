//! Making a stage: look, link, configure, snapshot, rehearse.

use std::sync::Arc;

use caisson_data::Schema;
use tokio::sync::Semaphore;

use crate::code::{self, Code, blocking};
use crate::contract::{Configured, ConfiguredSchema, SchemaParam};
use crate::error::{Cause, RefusedImport, StageError, UploadError};
use crate::guest::{Phase, Terms};
use crate::instance::{Failure, Live, Template};
use crate::log::StageLog;
use crate::manifest::World;
use crate::prepared::{Key, Prepared};
use crate::request::{CONFIG_BYTES_MAX, Isolation, StageKind, StageRequest};
use crate::sandbox::Inner;
use crate::snapshot;
use crate::stage::Stage;
use crate::stats::Counters;
use crate::upload::Needs;
use crate::warm::WarmPool;

/// How to configure an instance: all that [`Stage::prepare`] and the warm pool need for it.
pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) config: String,
    pub(crate) input: Arc<Schema>,
}

impl Setup {
    /// Call `configure`; gives the output schema.
    pub(crate) async fn configure(
        &self,
        template: &Template,
        live: &mut Live,
    ) -> Result<Arc<Schema>, Failure> {
        let params = (self.config.as_str(), SchemaParam::from(&*self.input));
        let phase = Phase::Configure;
        match self.world {
            World::Transform | World::Predictor => {
                let (result,): ConfiguredSchema = template.call(live, phase, "configure", params).await?;
                Ok(Arc::new(result.map_err(Cause::from)?.into_schema()?))
            }
            World::Validator | World::DriftCheck => {
                let (result,): Configured = template.call(live, phase, "configure", params).await?;
                result.map_err(Cause::from)?;
                Ok(Arc::clone(&self.input))
            }
        }
    }
}

impl Stage {
    pub(crate) async fn prepare(inner: Arc<Inner>, request: StageRequest<'_>) -> Result<Self, StageError> {
        let label = request.label.clone();
        Self::try_prepare(inner, request)
            .await
            .map_err(|Failure { cause, guest_message }| StageError {
                label,
                cause,
                guest_message,
            })
    }

    async fn try_prepare(inner: Arc<Inner>, request: StageRequest<'_>) -> Result<Self, Failure> {
        request.limits.check().map_err(Cause::Limits)?;
        request
            .isolation
            .check(inner.config.warm_instances)
            .map_err(Cause::Limits)?;
        if request.config.len() > CONFIG_BYTES_MAX {
            let bytes = request.config.len();
            let message = format!("it has {bytes} bytes; at most {CONFIG_BYTES_MAX} are allowed");
            return Err(Cause::InvalidConfig(message).into());
        }
        inner.check_ticker()?;
        let key = Key::of(&request);
        let made = match &key {
            Some(key) => again(&inner, &request, key).await?,
            None => None,
        };
        let made = match made {
            Some(made) => made,
            None => anew(&inner, &request, key).await?,
        };
        let Made {
            template,
            output,
            unable,
        } = made;
        let warm = match (request.isolation, &unable) {
            (Isolation::Fresh, None) => None,
            (Isolation::Fresh, Some(_)) => Some(Isolation::warm(&template.terms.limits)),
            (warm @ Isolation::Warm { .. }, _) => Some(warm),
        };
        let (setup, reason) = unable.unzip();
        let kind = match (&warm, reason) {
            (None, _) => StageKind::Preinitialised,
            (Some(_), None) => StageKind::Warm {
                reason: "the stage asks for it".to_owned(),
            },
            (Some(_), Some(reason)) => StageKind::Warm {
                reason: format!("a configured instance can't be snapshotted: {reason}"),
            },
        };
        let stage = Self {
            warm: warm.and_then(|isolation| WarmPool::new(isolation, setup)),
            inner,
            label: request.label,
            world: request.world,
            input: request.input,
            output,
            kind,
            template,
            turns: Arc::new(Semaphore::new(request.limits.concurrent_calls)),
        };
        stage.rehearse().await?;
        Ok(stage)
    }

    /// Instantiate once: the first instantiation of new code costs more than others, and an error
    /// here is a deploy-time error rather than a request's.
    async fn rehearse(&self) -> Result<(), Failure> {
        let _turn = self.inner.turn(&self.inner.fresh, "sandbox").await?;
        self.template.instantiate(Phase::Configure).await.map(drop)
    }
}

/// Code that answers calls.
struct Made {
    template: Template,
    output: Arc<Schema>,
    /// Where it is not a snapshot: how to configure an instance of it, and why.
    unable: Option<(Setup, String)>,
}

/// Find the snapshot of an earlier preparation.
async fn again(inner: &Inner, request: &StageRequest<'_>, key: &Key) -> Result<Option<Made>, Failure> {
    let Some(Prepared { code, needs, output }) = inner.codes.prepared(key).await? else {
        return Ok(None);
    };
    Ok(Some(Made {
        template: template(inner, request, code, needs)?,
        output: Arc::new(output),
        unable: None,
    }))
}

/// Look at the component, configure it, snapshot it.
async fn anew(inner: &Inner, request: &StageRequest<'_>, key: Option<Key>) -> Result<Made, Failure> {
    let outline = inner.outline(request.component).await?;
    if outline.world != request.world {
        return Err(UploadError::World {
            found: outline.world,
            wanted: request.world,
        }
        .into());
    }
    check_grants(outline.needs, &outline.imports, request.graphs.is_some())?;
    let code = inner.codes.get(request.component, true).await?;
    let template = template(inner, request, code, outline.needs)?;
    let setup = Setup {
        world: request.world,
        config: request.config.to_owned(),
        input: Arc::clone(&request.input),
    };
    let turn = inner.turn(&inner.fresh, "sandbox").await?;
    let mut live = template.instantiate(Phase::Configure).await?;
    let output = setup.configure(&template, &mut live).await?;
    let snapshot = snapshot(request.component, &template, live).await?;
    drop(turn);
    let wasm = match snapshot {
        Ok(wasm) => wasm,
        Err(reason) => {
            return Ok(Made {
                template,
                output,
                unable: Some((setup, reason)),
            });
        }
    };
    let code = inner.codes.get(&wasm, false).await?;
    if let Some(key) = key {
        let code = code::name(&wasm, false);
        inner
            .codes
            .keep_prepared(key, code, outline.needs, &output)
            .await?;
    }
    let pre = inner.link(&code, outline.needs)?;
    Ok(Made {
        template: template.with_code(code, pre, request.world)?,
        output,
        unable: None,
    })
}

/// Code on the terms of a request.
fn template(
    inner: &Inner,
    request: &StageRequest<'_>,
    code: Arc<Code>,
    needs: Needs,
) -> Result<Template, Failure> {
    let counters = Arc::new(Counters::default());
    let lines = request.limits.log_lines_per_second;
    let log = StageLog::new(request.label.clone(), Arc::clone(&counters), lines);
    let terms = Terms {
        tick: inner.config.tick,
        meter: Arc::clone(&request.meter),
        grants: request.grants,
        graphs: request.graphs.clone(),
        log: Arc::new(log),
        limits: request.limits.clone(),
    };
    let pre = inner.link(&code, needs)?;
    Ok(Template::new(code, pre, request.world, terms, counters)?)
}

/// Turn a configured instance into a component, or say why not.
async fn snapshot(
    component: &[u8],
    template: &Template,
    live: Live,
) -> Result<Result<Vec<u8>, String>, Failure> {
    let Live { mut store, instance } = live;
    if let Some(reason) = &template.code().plain {
        return Ok(Err(reason.clone()));
    }
    if !store.data().table.is_empty() {
        return Ok(Err("it holds host resources, such as an open stream".to_owned()));
    }
    let state = match snapshot::state(&mut store, &instance, &template.code().component).await {
        Ok(state) => state,
        Err(error) => return Ok(Err(format!("its state can't be read: {error:#}"))),
    };
    drop(store);
    let component = component.to_vec();
    Ok(blocking(move || snapshot::component(&component, state)).await?)
}

/// Every import that a grant gives has its grant.
fn check_grants(needs: Needs, imports: &[String], has_models: bool) -> Result<(), Cause> {
    if !needs.models || has_models {
        return Ok(());
    }
    let refused = imports
        .iter()
        .filter(|name| name.starts_with("wasi:nn/"))
        .map(|name| RefusedImport {
            name: name.clone(),
            reason: "grant the stage the models that it may load, by name".to_owned(),
        })
        .collect();
    Err(Cause::Grants(refused))
}
