"""python serve.py PORT: LitServe, one path a model."""

import os
import sys

import litserve
import numpy as np
from booster import Booster


class WithStages(litserve.LitAPI):
    def setup(self, device):
        self.booster = Booster()

    def probabilities(self, rows):
        return self.booster.with_stages(rows)

    def decode_request(self, request):
        return np.array(request["instances"], np.float32)

    def predict(self, rows):
        return self.probabilities(rows)

    def encode_response(self, found):
        return {"probabilities": found.tolist()}


class Alone(WithStages):
    def probabilities(self, rows):
        return self.booster.probabilities(rows)


if __name__ == "__main__":
    server = litserve.LitServer(
        [WithStages(api_path="/booster"), Alone(api_path="/booster-prepared")],
        accelerator="cpu",
        devices=1,
        workers_per_device=int(os.environ["COMPARE_WORKERS"]),
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
