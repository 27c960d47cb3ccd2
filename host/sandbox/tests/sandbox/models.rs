//! `wasi:nn`: granted models by name, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use caisson_sandbox::{
    Cause, Graph, GraphError, GraphErrorCode, GraphTensor, Graphs, TensorType, UploadError, World,
};
use futures_util::future::BoxFuture;

use crate::support::{Request, floats, guest, meter, sandbox, xs};

/// A model that doubles, after a while.
struct Double {
    wait: Duration,
    dropped: Arc<AtomicU32>,
}

struct CountDrop(Arc<AtomicU32>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Graph for Double {
    fn compute(
        &self,
        inputs: Vec<(String, GraphTensor)>,
    ) -> BoxFuture<'_, Result<Vec<(String, GraphTensor)>, GraphError>> {
        Box::pin(async move {
            let _run = CountDrop(Arc::clone(&self.dropped));
            tokio::time::sleep(self.wait).await;
            let [(name, tensor)] = &inputs[..] else {
                return Err(GraphError::new(GraphErrorCode::InvalidArgument, "one input"));
            };
            assert_eq!((name.as_str(), tensor.ty), ("x", TensorType::Fp32));
            let data = tensor
                .data
                .chunks_exact(4)
                .flat_map(|b| (2.0 * f32::from_le_bytes(b.try_into().unwrap())).to_le_bytes())
                .collect();
            Ok(vec![(
                "y".to_owned(),
                GraphTensor {
                    data,
                    ..tensor.clone()
                },
            )])
        })
    }
}

struct Granted(Arc<Double>);

impl Graphs for Granted {
    fn load_by_name(&self, name: &str) -> Result<Arc<dyn Graph>, GraphError> {
        match name {
            "double" => Ok(Arc::clone(&self.0) as Arc<dyn Graph>),
            other => Err(GraphError::new(
                GraphErrorCode::NotFound,
                format!("no model `{other}` is granted"),
            )),
        }
    }
}

fn request(config: &str, wait: Duration) -> (Request, Arc<AtomicU32>) {
    let dropped = Arc::new(AtomicU32::new(0));
    let mut request = Request::new("predictor", World::Predictor, &format!("\"{config}\""));
    let double = Double {
        wait,
        dropped: Arc::clone(&dropped),
    };
    request.graphs = Some(Arc::new(Granted(Arc::new(double))));
    (request, dropped)
}

async fn fails(config: &str) -> Cause {
    let (request, _) = request(config, Duration::ZERO);
    let stage = request.prepare().await.unwrap();
    stage.predict(&xs(&[1.0, 2.0])).await.unwrap_err().cause
}

#[tokio::test]
async fn a_predictor_runs_a_granted_model() {
    let seen = sandbox().inspect(&guest("predictor"), &meter()).await.unwrap();
    assert!(seen.needs_models);
    let (request, _) = request("double", Duration::ZERO);
    let stage = request.prepare().await.unwrap();
    assert_eq!(*stage.kind(), caisson_sandbox::StageKind::Preinitialised);
    for _ in 0..3 {
        assert_eq!(
            floats(&stage.predict(&xs(&[1.0, 2.5])).await.unwrap()),
            [2.0, 5.0]
        );
    }
}

#[tokio::test]
async fn without_the_grant_there_is_no_stage() {
    let error = Request::new("predictor", World::Predictor, "{}")
        .prepare()
        .await
        .unwrap_err();
    assert_eq!(error.cause.code(), "missing-grant");
    let text = error.to_string();
    assert!(
        text.contains("wasi:nn/graph@0.2.0-rc-2024-10-28") && text.contains("grant the stage"),
        "{text}"
    );
}

#[tokio::test]
async fn names_that_are_not_granted_and_bytes_are_refused_with_a_reason() {
    assert_eq!(
        fails("not-granted").await,
        Cause::Internal("ErrorCode::NotFound: no model `secret` is granted".into())
    );
    let Cause::Internal(text) = fails("load-bytes").await else {
        panic!("no answer")
    };
    assert!(
        text.starts_with("ErrorCode::Security") && text.contains("load it by name"),
        "{text}"
    );
    let Cause::Internal(text) = fails("short").await else {
        panic!("no answer")
    };
    assert!(
        text.contains("input `x`: 0 bytes of Fp32 don't fill the shape [2, 1]"),
        "{text}"
    );
}

#[tokio::test]
async fn handles_and_tensors_are_bounded() {
    for config in ["handle-flood", "tensor-flood"] {
        let cause = fails(config).await;
        assert!(
            matches!(cause.code(), "handle-limit" | "memory-limit"),
            "{config}: {cause}"
        );
    }
}

#[tokio::test]
async fn configure_may_not_touch_models() {
    let (request, _) = request("in-configure", Duration::ZERO);
    let error = request.prepare().await.unwrap_err();
    assert_eq!(error.cause, Cause::ModelsOutsidePredict("configure"));
}

#[tokio::test]
async fn waiting_for_a_model_is_not_guest_time_and_still_ends() {
    // Far longer than the guest's own time.
    let (mut patient, _) = request("double", Duration::from_millis(300));
    patient.limits.cpu = Duration::from_millis(20);
    let stage = patient.prepare().await.unwrap();
    assert_eq!(floats(&stage.predict(&xs(&[4.0])).await.unwrap()), [8.0]);
    let stats = stage.stats();
    assert!(
        stats.wall >= Duration::from_millis(300) && stats.busy < stats.wall / 2,
        "{stats:?}"
    );

    let (mut hurried, dropped) = request("double", Duration::from_secs(3600));
    hurried.limits.wall = Duration::from_millis(50);
    let stage = hurried.prepare().await.unwrap();
    let error = stage.predict(&xs(&[4.0])).await.unwrap_err();
    assert_eq!(error.cause, Cause::WallTime(Duration::from_millis(50)));
    // The run itself was cancelled.
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_the_run() {
    let (request, dropped) = request("double", Duration::from_secs(3600));
    let stage = request.prepare().await.unwrap();
    let input = xs(&[4.0]);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), stage.predict(&input))
            .await
            .is_err()
    );
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_transform_may_not_import_models() {
    let nn = "import wasi:nn/errors@0.2.0-rc-2024-10-28;";
    let craft = crate::craft::Craft::new()
        .import(nn, "")
        .items(r#"(import "wasi:nn/errors@0.2.0-rc-2024-10-28" "[resource-drop]error" (func (param i32)))"#);
    let error = sandbox().inspect(&craft.component(), &meter()).await.unwrap_err();
    assert!(matches!(error, UploadError::Imports(_)), "{error}");
    assert!(
        error.to_string().contains("only a predictor may use models"),
        "{error}"
    );
}
