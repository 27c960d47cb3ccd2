"""Makes the model, its stages and its rows: python make.py, with requirements.txt of this folder.

The data are scikit-learn's copy of the Breast Cancer Wisconsin (Diagnostic) data set (W. Wolberg, O. Mangasarian,
N. Street, W. Street, UCI Machine Learning Repository, https://doi.org/10.24432/C5DW2B, CC BY 4.0): 569 rows, 30 columns.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
TREES, DEPTH, SEED = 100, 3, 1
ROWS = 64
SHIFT = 0.5  # what the other model's standardised values are less by, so that its stages differ too
MISSING = 0.02  # share of the cells that are taken away


def main():
    data = load_breast_cancer()
    columns = data.data.astype(np.float32)
    train, test, labels, truth = train_test_split(columns, data.target, test_size=200, random_state=SEED, stratify=data.target)
    random = np.random.default_rng(SEED)
    gaps = np.where(random.random(train.shape) < MISSING, np.nan, train)

    fill = SimpleImputer(strategy="median").fit(gaps)
    scaler = StandardScaler().fit(fill.transform(gaps))
    stages = {"fill": fill.statistics_, "mean": scaler.mean_, "scale": scaler.scale_}
    stages = {name: np.asarray(numbers, np.float32) for name, numbers in stages.items()}

    def prepare(rows):
        filled = np.where(np.isnan(rows), stages["fill"], rows).astype(np.float32)
        return ((filled - stages["mean"]) / stages["scale"]).astype(np.float32)

    booster = GradientBoostingClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=SEED)
    booster.fit(prepare(gaps), labels)
    model = to_onnx(booster, columns.shape[1])
    # Another model with the same signature, for the soak test, which swaps the two.
    linear = to_onnx(LogisticRegression(max_iter=1000).fit(prepare(gaps), labels), columns.shape[1])

    def probabilities(rows, model=model, shift=0.0):
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return session.run(["probabilities"], {"input": (prepare(rows) - shift).astype(np.float32)})[0]

    rows = test[:ROWS]
    # The first row again, with every third value missing.
    gap = rows[:1].copy()
    gap[0, ::3] = np.nan
    (HERE / "model.onnx").write_bytes(model)
    (HERE / "linear.onnx").write_bytes(linear)
    write("stages.json", {name: numbers.tolist() for name, numbers in stages.items()})
    write(
        "rows.json",
        {
            "raw": rows.tolist(),
            "prepared": prepare(rows).tolist(),
            "probabilities": probabilities(rows).tolist(),
            "linear_probabilities": probabilities(rows, linear, SHIFT).tolist(),
            "gap": [None if np.isnan(x) else x for x in gap[0].tolist()],
            "gap_probabilities": probabilities(gap)[0].tolist(),
        },
    )
    accuracy = np.mean(probabilities(test).argmax(1) == truth)
    print(f"model.onnx: {len(model)} bytes, accuracy on {len(test)} rows {accuracy:.3f}")


def to_onnx(classifier, columns):
    onnx = convert_sklearn(
        classifier,
        "booster",
        [("input", FloatTensorType([None, columns]))],
        options={id(classifier): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    onnx.ir_version = 8
    return onnx.SerializeToString()


def write(name, value):
    (HERE / name).write_text(json.dumps(value) + "\n")


main()
