"""python serve.py PORT: KServe's own model server, over the Open Inference Protocol, without gRPC."""

import json
import sys
from pathlib import Path

# It logs several lines for every request by default, which the other servers here don't.
LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {name: {"level": "WARNING", "propagate": False} for name in ("uvicorn", "uvicorn.access", "kserve", "kserve.trace")},
}
Path("logs.json").write_text(json.dumps(LOGS))
# kserve reads the command line as soon as it is imported.
options = {"http_port": sys.argv[1], "enable_grpc": "false", "enable_latency_logging": "false", "log_config_file": "logs.json"}
sys.argv = ["serve.py", *(word for name, value in options.items() for word in (f"--{name}", value))]

from booster import Booster  # noqa: E402
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.utils.utils import generate_uuid  # noqa: E402


class WithStages(Model):
    def __init__(self, name):
        super().__init__(name)
        self.booster = Booster()
        self.ready = True

    def probabilities(self, rows):
        return self.booster.with_stages(rows)

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        found = self.probabilities(payload.inputs[0].as_numpy())
        output = InferOutput(name="probabilities", shape=list(found.shape), datatype="FP32")
        output.set_data_from_numpy(found, binary_data=bool(payload.use_binary_outputs))
        return InferResponse(response_id=payload.id or generate_uuid(), model_name=self.name, infer_outputs=[output])


class Alone(WithStages):
    def probabilities(self, rows):
        return self.booster.probabilities(rows)


if __name__ == "__main__":
    ModelServer().start([WithStages("booster"), Alone("booster-prepared")])
