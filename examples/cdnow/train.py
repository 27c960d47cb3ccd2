"""Train "does this customer buy again in the next 26 weeks?" and write everything that serving needs.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python train.py

Features at the end of the first 52 weeks, label from the 26 weeks after. Customers are split by a hash of
their number, so test customers are ones that the model never saw. Seeded: the same versions write the
same files. The fitted numbers of imputing and scaling go into `deployment.yaml`, where the same plugins
apply them that a request goes through.
"""

import csv
import datetime
import hashlib
import json
import pathlib

import numpy as np
import onnxruntime
import sklearn
import skl2onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from features import COLUMNS, bought, features, read_transactions, write_csv

HERE = pathlib.Path(__file__).parent
SEED = 20240501
CUTOFF = datetime.date(1997, 12, 30)  # 52 weeks from 1997-01-01
UNTIL = CUTOFF + datetime.timedelta(weeks=26)
LAST = datetime.date(1998, 6, 30)
TEST_PERCENT = 30
BASELINE_ROWS = 4000
GAP_FILL = 52.0  # weeks: no second purchase in the whole year
LOGS = ["frequency", "recent_frequency", "monetary", "recent_monetary", "avg_order_value", "cds"]
FEATURES = list(COLUMNS)


def is_test(customer):
    """Three customers in ten, the same ones every time."""
    return int(hashlib.sha256(customer.encode()).hexdigest(), 16) % 100 < TEST_PERCENT


def matrix(rows):
    """What the plugins impute and log1p give, as fp32."""
    columns = []
    for name in FEATURES:
        column = np.array([GAP_FILL if row[name] is None else row[name] for row in rows], dtype=np.float32)
        columns.append(np.log1p(column) if name in LOGS else column)
    return np.stack(columns, axis=1)


def yaml_map(numbers):
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in numbers.items()) + "}"


def main():
    source = HERE / "CDNOW_master.txt"
    train, test, later, labels = [], [], [], []
    train_labels = []
    for customer, transactions in read_transactions(source).items():
        row = features(transactions, CUTOFF)
        if row is None:
            continue
        row = {"customer_id": int(customer), **row}
        label = int(bought(transactions, CUTOFF, UNTIL))
        if is_test(customer):
            test.append(row)
            labels.append(label)
            later.append({"customer_id": int(customer), **features(transactions, LAST)})
        else:
            train.append(row)
            train_labels.append(label)

    x, y = matrix(train), np.array(train_labels)
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scaled = lambda m: ((m - mean) / scale).astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=100, max_depth=3, subsample=0.8, random_state=SEED)
    model.fit(scaled(x), y)
    onnx_model = to_onnx(
        model,
        initial_types=[("X", FloatTensorType([None, len(FEATURES)]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    # skl2onnx makes up a new name each time, and lists the operator sets in any order.
    onnx_model.graph.name = "cdnow-repurchase"
    opsets = sorted(onnx_model.opset_import, key=lambda opset: opset.domain)
    del onnx_model.opset_import[:]
    onnx_model.opset_import.extend(opsets)
    (HERE / "model.onnx").write_bytes(onnx_model.SerializeToString())

    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    probability = session.run(["probabilities"], {"X": scaled(matrix(test))})[0][:, 1]
    truth = np.array(labels)
    top = np.argsort(-probability)[: len(truth) // 10]
    metrics = {
        "test_customers": len(truth),
        "test_base_rate": float(truth.mean()),
        "test_auc": float(roc_auc_score(truth, probability)),
        "test_hit_rate_top_decile": float(truth[top].mean()),
    }
    metadata = {
        "question": "does this customer buy again in the next 26 weeks?",
        "features": FEATURES,
        "training_data_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "cutoff": CUTOFF.isoformat(),
        "metrics": metrics,
        "versions": {
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    (HERE / "model.json").write_text(json.dumps(metadata, indent=2) + "\n")

    columns = ["customer_id", *FEATURES]
    picked = np.sort(np.random.default_rng(SEED).choice(len(train), BASELINE_ROWS, replace=False))
    for name, rows in [
        ("baseline.csv", [train[i] for i in picked]),
        ("test_customers.csv", test),
        ("later_months.csv", later),
    ]:
        with open(HERE / name, "w", encoding="ascii", newline="") as file:
            write_csv(file, rows, columns)
    with open(HERE / "test_labels.csv", "w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["customer_id", "bought"])
        writer.writerows((row["customer_id"], label) for row, label in zip(test, labels))

    inputs = "\n".join(
        f"  - {{name: {name}, type: fp32{', nullable: true' if name == 'gap_weeks' else ''}}}" for name in FEATURES
    )
    fitted = "\n".join(
        f"        {name}: {yaml_map({'mean': float(m), 'scale': float(s)})}"
        for name, m, s in zip(FEATURES, mean, scale)
    )
    names = ", ".join(FEATURES)
    (HERE / "deployment.yaml").write_text(f"""\
# Written by train.py: the numbers are fitted on the training customers.
name: cdnow-repurchase
description: Does this customer buy again in the next 26 weeks?
input:
  - {{name: customer_id, type: int64}}
{inputs}
validators:
  - plugin: range@^0.1
    config:
      columns:
        recency_weeks: {{min: 0.0}}
        tenure_weeks: {{min: 0.0}}
        frequency: {{min: 1.0}}
        monetary: {{min: 0.0}}
        gap_weeks: {{min: 0.0}}
transforms:
  - plugin: impute@^0.1
    config: {{columns: {{gap_weeks: {GAP_FILL}}}}}
  - plugin: log1p@^0.1
    config: {{columns: [{", ".join(LOGS)}]}}
  - plugin: standardize@^0.1
    config:
      columns:
{fitted}
model:
  name: cdnow-repurchase
  version: 1
  columns: {{X: [{names}]}}
  outputs: [probabilities]
  keep: [customer_id]
post:
  - plugin: customer-value@^0.1
    config: {{threshold: 0.5, order_value: 35.0}}
monitors:
  - {{name: ks, plugin: ks@^0.1, on: input, config: {{columns: [{names}]}}}}
  - {{name: psi, plugin: psi@^0.1, on: input, config: {{columns: [{names}]}}}}
  - {{name: prediction-ks, plugin: ks@^0.1, on: predictions, config: {{columns: [probability]}}}}
""")
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
