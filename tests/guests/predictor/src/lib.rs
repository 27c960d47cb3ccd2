//! A predictor that uses `wasi:nn` as its config, one word, says. Built for WebAssembly alone.

#[cfg(target_family = "wasm")]
mod guest {
    #![allow(missing_docs, unsafe_code, reason = "generated bindings")]

    use std::cell::OnceCell;

    wit_bindgen::generate!({
        world: "predictor",
        path: "../../../wit",
        generate_all,
    });

    use caisson::plugin::types::{Block, Values, WorldKind};
    use wasi::nn::graph::{ExecutionTarget, GraphEncoding, load, load_by_name};
    use wasi::nn::tensor::{Tensor, TensorType};

    struct Predictor;

    thread_local! {
        static CONFIG: OnceCell<String> = const { OnceCell::new() };
    }

    fn internal(error: wasi::nn::errors::Error) -> Error {
        Error::Internal(format!("{:?}: {}", error.code(), error.data()))
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default()))
            .collect()
    }

    impl Guest for Predictor {
        fn describe() -> Manifest {
            Manifest {
                name: "predictor".to_owned(),
                version: "0.1.0".to_owned(),
                world: WorldKind::Predictor,
                config_schema: "{}".to_owned(),
                help: "Uses models as its config says.".to_owned(),
            }
        }

        fn configure(config: String, input: Schema) -> Result<Schema, Error> {
            if config == "\"in-configure\"" {
                load_by_name("double").map_err(internal)?;
            }
            CONFIG
                .with(|c| c.set(config))
                .map_err(|_| Error::Internal("configured twice".to_owned()))?;
            Ok(input)
        }

        fn predict(input: Batch) -> Result<Batch, Error> {
            let config = CONFIG.with(|c| c.get().cloned()).unwrap_or_default();
            let Some(Values::Fp32(values)) = input.blocks.first().map(|b| &b.values) else {
                return Err(Error::Internal("no fp32 block".to_owned()));
            };
            let rows = input.rows;
            match config.trim_matches('"') {
                "load-bytes" => {
                    load(&[vec![8; 64]], GraphEncoding::Onnx, ExecutionTarget::Cpu).map_err(internal)?;
                }
                "handle-flood" => {
                    let mut held = Vec::new();
                    loop {
                        held.push(Tensor::new(&[1], TensorType::U8, &[0]));
                    }
                }
                "tensor-flood" => {
                    let mut held = Vec::new();
                    let data = vec![0; 1 << 20];
                    loop {
                        held.push(Tensor::new(&[1 << 20], TensorType::U8, &data));
                    }
                }
                _ => {}
            }
            let short = config == "\"short\"";
            let name = if config == "\"not-granted\"" {
                "secret"
            } else {
                "double"
            };
            let graph = load_by_name(name).map_err(internal)?;
            let context = graph.init_execution_context().map_err(internal)?;
            let data = bytes(if short { &[] } else { values });
            let tensor = Tensor::new(&[rows, 1], TensorType::Fp32, &data);
            let outputs = context
                .compute(vec![("x".to_owned(), tensor)])
                .map_err(internal)?;
            let (_, output) = outputs
                .first()
                .ok_or_else(|| Error::Internal("no output".to_owned()))?;
            Ok(Batch {
                rows,
                blocks: vec![Block {
                    values: Values::Fp32(floats(&output.data())),
                    validity: None,
                }],
            })
        }
    }

    export!(Predictor);
}
