"""MLServer runtimes: the model behind its stages, and alone."""

import numpy as np
from booster import Booster
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class WithStages(MLModel):
    async def load(self) -> bool:
        self.booster = Booster()
        return True

    def probabilities(self, rows):
        return self.booster.with_stages(rows)

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        output = NumpyCodec.encode_output("probabilities", self.probabilities(rows))
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=[output])


class Alone(WithStages):
    def probabilities(self, rows):
        return self.booster.probabilities(rows)
