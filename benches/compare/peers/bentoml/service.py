"""A BentoML service as its manual writes it, without access log and metrics."""

import os
import typing as t

import bentoml
import numpy as np
from booster import Booster


@bentoml.service(
    workers=int(os.environ["COMPARE_WORKERS"]),
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Service:
    def __init__(self):
        self.booster = Booster()

    @bentoml.api(route="/booster")
    def with_stages(self, instances: t.List[t.List[t.Optional[float]]]) -> t.Dict[str, t.Any]:
        return {"probabilities": self.booster.with_stages(np.array(instances, np.float32)).tolist()}

    @bentoml.api(route="/booster-prepared")
    def prepared(self, instances: t.List[t.List[t.Optional[float]]]) -> t.Dict[str, t.Any]:
        return {"probabilities": self.booster.probabilities(np.array(instances, np.float32)).tolist()}
