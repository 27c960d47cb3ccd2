"""Make `gbc.onnx`: a model with the inputs and outputs that the recorded requests ask for.

    python -m venv .venv && .venv/bin/pip install onnx==1.23.2 numpy==2.4.6 && .venv/bin/python make_gbc.py

Seeded. A row of 30 numbers, those that are missing (NaN) taken as 0, times a matrix: two probabilities,
and the index of the larger one.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

rng = np.random.default_rng(7)
weights = rng.normal(scale=0.01, size=(30, 2)).astype(np.float32)
graph = h.make_graph(
    [
        h.make_node("IsNaN", ["input"], ["missing"]),
        h.make_node("Where", ["missing", "zero", "input"], ["filled"]),
        h.make_node("MatMul", ["filled", "weights"], ["scores"]),
        h.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        h.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ],
    "gbc",
    [h.make_tensor_value_info("input", T.FLOAT, ["N", 30])],
    [
        h.make_tensor_value_info("label", T.INT64, ["N"]),
        h.make_tensor_value_info("probabilities", T.FLOAT, ["N", 2]),
    ],
    [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.zeros((1,), np.float32), "zero"),
    ],
)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10, producer_name="caisson-tests")
onnx.checker.check_model(model)
(pathlib.Path(__file__).parent / "gbc.onnx").write_bytes(model.SerializeToString())
