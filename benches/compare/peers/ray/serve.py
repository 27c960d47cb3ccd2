"""python serve.py PORT: Ray Serve, with as many replicas as the comparison names."""

import os
import sys
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# What it keeps stays in the current folder.
os.environ["HOME"] = os.getcwd()

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=int(os.environ["COMPARE_WORKERS"]), ray_actor_options={"num_cpus": 0.5})
class Booster:
    def __init__(self):
        from booster import Booster as Model

        model = Model()
        self.models = {"booster": model.with_stages, "booster-prepared": model.probabilities}

    async def __call__(self, request: Request):
        import numpy as np

        rows = np.array((await request.json())["instances"], np.float32)
        return {"probabilities": self.models[request.url.path.strip("/")](rows).tolist()}


if __name__ == "__main__":
    # Paths of sockets may have a hundred bytes only: in the system's folder for what is temporary.
    ray.init(num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False})
    serve.run(Booster.bind(), name="booster", route_prefix="/")
    while True:
        time.sleep(3600)
