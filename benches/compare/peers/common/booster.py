"""What every Python server here runs: the model and its two stages, with the sessions' options of Caisson."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(os.environ["COMPARE_BOOSTER"])


class Booster:
    def __init__(self):
        stages = json.loads((FOLDER / "stages.json").read_text())
        self.fill, self.mean, self.scale = (np.asarray(stages[name], np.float32) for name in ("fill", "mean", "scale"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def probabilities(self, rows):
        """Of prepared rows."""
        return self.session.run(["probabilities"], {"input": rows})[0]

    def with_stages(self, rows):
        """Of raw rows, with NaN for what is missing."""
        filled = np.where(np.isnan(rows), self.fill, rows)
        return self.probabilities((filled - self.mean) / self.scale)
