"""python serve.py PORT: mosec's front end is Rust; each worker is a Python process."""

import os
import sys

import numpy as np
from booster import Booster
from mosec import Runtime, Server, Worker

WORKERS = int(os.environ["COMPARE_WORKERS"])
# Requests that one run takes at most; 1 is no batching.
BATCH = int(os.environ.get("COMPARE_BATCH", "1"))


class WithStages(Worker):
    def __init__(self):
        self.booster = Booster()

    def probabilities(self, rows):
        return self.booster.with_stages(rows)

    def one(self, body):
        return {"probabilities": self.probabilities(np.array(body["instances"], np.float32)).tolist()}

    def forward(self, data):
        if BATCH == 1:
            return self.one(data)
        parts = [np.array(body["instances"], np.float32) for body in data]
        answers = self.probabilities(np.concatenate(parts))
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return [{"probabilities": answer.tolist()} for answer in np.split(answers, ends)]


class Alone(WithStages):
    def probabilities(self, rows):
        return self.booster.probabilities(rows)


if __name__ == "__main__":
    # mosec reads the command line itself.
    sys.argv = ["serve.py", "--address", "127.0.0.1", "--port", sys.argv[1], "--log-level", "warning"]
    server = Server()
    options = {"num": WORKERS, "max_batch_size": BATCH, "max_wait_time": 2 if BATCH > 1 else 0}
    server.register_runtime({"/booster": [Runtime(WithStages, **options)], "/booster-prepared": [Runtime(Alone, **options)]})
    server.run()
