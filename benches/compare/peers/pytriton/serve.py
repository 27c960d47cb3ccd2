"""python serve.py PORT: NVIDIA's Triton, as PyTriton starts it, batching what is there."""

import sys

import numpy as np
from booster import Booster
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

COLUMNS, CLASSES, ROWS_MAX = 30, 2, 64


def function(probabilities):
    @batch
    def infer(input):
        return {"probabilities": probabilities(input)}

    return infer


if __name__ == "__main__":
    port = int(sys.argv[1])
    local = {"http_address": "127.0.0.1", "grpc_address": "127.0.0.1"}
    config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2, log_verbose=0, exit_on_error=True, **local)
    booster = Booster()
    with Triton(config=config) as triton:
        for name, probabilities in {"booster": booster.with_stages, "booster-prepared": booster.probabilities}.items():
            triton.bind(
                model_name=name,
                infer_func=function(probabilities),
                inputs=[Tensor(name="input", dtype=np.float32, shape=(COLUMNS,))],
                outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(CLASSES,))],
                config=ModelConfig(max_batch_size=ROWS_MAX, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            )
        triton.serve()
