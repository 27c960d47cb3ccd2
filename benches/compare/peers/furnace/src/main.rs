//! `compare-furnace LIBRARY FOLDER PORT`: furnace-server with the same model and stages.
//!
//! `COMPARE_BATCH` is the most requests that it joins in one run; 1 is no batching.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use caisson_limit::{Booster, CLASSES, COLUMNS, INPUT, OUTPUT};
use furnace::error::ModelError;
use furnace::{DataType, FurnaceError, HostTensor, IoSpec, Model, Server, TensorModel, Values};

#[derive(Debug)]
struct Served {
    name: &'static str,
    booster: Arc<Booster>,
    stages: bool,
}

impl TensorModel for Served {
    fn name(&self) -> &str {
        self.name
    }

    fn backend(&self) -> &str {
        "onnxruntime"
    }

    fn inputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::new(INPUT, DataType::Fp32, &[Some(COLUMNS)])]
    }

    fn outputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::new(OUTPUT, DataType::Fp32, &[Some(CLASSES)])]
    }

    fn run(&self, inputs: Vec<HostTensor>) -> furnace::Result<Vec<HostTensor>> {
        let failed = |why: String| FurnaceError::Model(ModelError::InferenceFailed(why));
        let input = inputs.into_iter().next().map(|tensor| tensor.values);
        let Some(Values::F32(mut rows)) = input else {
            return Err(failed(String::from("the input is no FP32 tensor")));
        };
        if self.stages {
            self.booster.prepare(&mut rows);
        }
        let probabilities = self.booster.run(&rows).map_err(|why| failed(why.to_string()))?;
        Ok(vec![HostTensor {
            shape: vec![rows.len() / COLUMNS, CLASSES],
            values: Values::F32(probabilities),
        }])
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().context("compare-furnace LIBRARY FOLDER PORT");
    let booster = Arc::new(Booster::load(Path::new(&next()?), Path::new(&next()?))?);
    let port: u16 = next()?.parse().context("PORT")?;
    let batch: usize = std::env::var("COMPARE_BATCH")?.parse().context("COMPARE_BATCH")?;
    let mut server = Server::new().host("127.0.0.1").port(port).max_batch_size(batch);
    for (name, stages) in [("booster", true), ("booster-prepared", false)] {
        let booster = booster.clone();
        server = server.model(Model::custom(Served {
            name,
            booster,
            stages,
        }));
    }
    Ok(server.serve().await?)
}
