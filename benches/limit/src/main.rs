//! `caisson-limit LIBRARY FOLDER PORT`: what the machine could do.
//!
//! One axum route over the same ONNX Runtime and the same model, with the stages done natively on the
//! request's own buffer. It has no sandbox, no keys, no tenants and next to no checks, so it is what
//! `caisson` is measured against and no server to use.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::extract::{Path as Segment, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use caisson_limit::{Booster, CLASSES, COLUMNS, INPUT, OUTPUT};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The model with its two stages.
const WITH_STAGES: &str = "booster";
/// The model alone, for rows that are prepared.
const ALONE: &str = "booster-prepared";

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    inputs: [Input<'a>; 1],
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: [usize; 2],
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(deserialize_with = "numbers")]
    data: Vec<f32>,
}

/// Numbers, with NaN where there is `null`.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    struct Numbers;
    impl<'de> Visitor<'de> for Numbers {
        type Value = Vec<f32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of numbers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::with_capacity(COLUMNS);
            while let Some(number) = list.next_element::<Option<f32>>()? {
                all.push(number.unwrap_or(f32::NAN));
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(Numbers)
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'static str,
    outputs: [Output<'a>; 1],
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'static str,
    shape: [usize; 2],
    datatype: &'static str,
    data: &'a [f32],
}

fn infer(booster: &Booster, name: &str, body: &[u8]) -> Result<Vec<u8>> {
    let Request { inputs: [mut input] } = serde_json::from_slice(body)?;
    let [rows, columns] = input.shape;
    ensure!(
        input.name == INPUT && input.datatype == "FP32" && columns == COLUMNS,
        "the input is `{INPUT}`, FP32, {COLUMNS} columns"
    );
    ensure!(
        rows.checked_mul(columns) == Some(input.data.len()),
        "the data don't have the shape"
    );
    if name == WITH_STAGES {
        booster.prepare(&mut input.data);
    }
    let answer = Answer {
        model_name: name,
        model_version: "1",
        outputs: [Output {
            name: OUTPUT,
            shape: [rows, CLASSES],
            datatype: "FP32",
            data: &booster.run(&input.data)?,
        }],
    };
    Ok(serde_json::to_vec(&answer)?)
}

async fn handle(
    State(booster): State<Arc<Booster>>,
    Segment(name): Segment<String>,
    body: Bytes,
) -> Response {
    if name != WITH_STAGES && name != ALONE {
        return StatusCode::NOT_FOUND.into_response();
    }
    match infer(&booster, &name, &body) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().context("caisson-limit LIBRARY FOLDER PORT");
    let booster = Booster::load(Path::new(&next()?), Path::new(&next()?))?;
    let port: u16 = next()?.parse().context("PORT")?;
    let app = axum::Router::new()
        .route("/v2/models/{name}/infer", post(handle))
        .route("/v2/health/ready", get(|| async {}))
        .with_state(Arc::new(booster));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| {
        // Without it the answer is only slower.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}
