//! What REST says of a deployment in JSON, in the messages of gRPC.

use caisson_serving::Spent;

use super::proto::model_config::SchedulingChoice;
use super::proto::model_metadata_response::TensorMetadata;
use super::proto::model_version_policy::{PolicyChoice, Specific};
use super::proto::*;
use crate::http::oip::config;
use crate::http::oip::{metadata, statistics};

impl From<metadata::ServerMetadata> for ServerMetadataResponse {
    fn from(server: metadata::ServerMetadata) -> Self {
        Self {
            name: server.name.to_owned(),
            version: server.version.to_owned(),
            extensions: server.extensions.iter().map(|&e| e.to_owned()).collect(),
        }
    }
}

impl From<metadata::ModelMetadata<'_>> for ModelMetadataResponse {
    fn from(model: metadata::ModelMetadata<'_>) -> Self {
        let tensors = |list: Vec<metadata::TensorMetadata<'_>>| {
            let tensor = |tensor: metadata::TensorMetadata<'_>| TensorMetadata {
                name: tensor.name.to_owned(),
                datatype: tensor.datatype.to_owned(),
                shape: tensor.shape,
            };
            list.into_iter().map(tensor).collect()
        };
        Self {
            name: model.name.to_owned(),
            versions: model.versions.into(),
            platform: model.platform.to_owned(),
            inputs: tensors(model.inputs),
            outputs: tensors(model.outputs),
        }
    }
}

impl From<config::ModelConfig<'_>> for ModelConfig {
    fn from(config: config::ModelConfig<'_>) -> Self {
        let data_type = |tensor: &config::ConfigTensor<'_>| {
            let data_type = DataType::from_str_name(tensor.data_type);
            data_type.unwrap_or(DataType::TypeInvalid).into()
        };
        let dims = |tensor: &config::ConfigTensor<'_>| tensor.dims.iter().map(|&d| i64::from(d)).collect();
        let versions = config.version_policy.specific.versions;
        let specific = Specific {
            versions: versions
                .iter()
                .map(|&v| i64::try_from(v).unwrap_or(i64::MAX))
                .collect(),
        };
        Self {
            name: config.name.to_owned(),
            platform: config.platform.to_owned(),
            backend: config.backend.to_owned(),
            version_policy: Some(ModelVersionPolicy {
                policy_choice: Some(PolicyChoice::Specific(specific)),
            }),
            max_batch_size: i32::try_from(config.max_batch_size).unwrap_or(i32::MAX),
            input: config
                .input
                .iter()
                .map(|tensor| ModelInput {
                    name: tensor.name.to_owned(),
                    data_type: data_type(tensor),
                    dims: dims(tensor),
                    optional: tensor.optional,
                })
                .collect(),
            output: config
                .output
                .iter()
                .map(|tensor| ModelOutput {
                    name: tensor.name.to_owned(),
                    data_type: data_type(tensor),
                    dims: dims(tensor),
                })
                .collect(),
            scheduling_choice: config.dynamic_batching.map(|batching| {
                let sizes = batching.preferred_batch_size.iter();
                SchedulingChoice::DynamicBatching(ModelDynamicBatching {
                    preferred_batch_size: sizes.map(|&s| i32::try_from(s).unwrap_or(i32::MAX)).collect(),
                    max_queue_delay_microseconds: batching.max_queue_delay_microseconds,
                    priority_levels: batching.priority_levels.into(),
                    default_priority_level: batching.default_priority_level.unwrap_or(0).into(),
                })
            }),
            model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
        }
    }
}

fn spent(spent: Spent) -> Option<StatisticDuration> {
    let Spent { count, ns } = spent;
    Some(StatisticDuration { count, ns })
}

impl From<statistics::ModelStatistics> for ModelStatistics {
    fn from(model: statistics::ModelStatistics) -> Self {
        let of = model.inference_stats;
        Self {
            name: model.name,
            version: model.version,
            last_inference: model.last_inference,
            inference_count: model.inference_count,
            execution_count: model.execution_count,
            inference_stats: Some(InferStatistics {
                success: spent(of.success),
                fail: spent(of.fail),
                queue: spent(of.queue),
                compute_input: spent(of.compute_input),
                compute_infer: spent(of.compute_infer),
                compute_output: spent(of.compute_output),
                cache_hit: spent(of.cache_hit),
                cache_miss: spent(of.cache_miss),
            }),
            batch_stats: Vec::new(),
        }
    }
}
