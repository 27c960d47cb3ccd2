"""The data of `cargo xtask compare drift`, and what Python says of them.

    python measure.py FOLDER ROWS COLUMNS

writes a reference, current rows and a model for `numbers` and for `names` into FOLDER, then answers lines:

    numbers ks evidently     the preset's report with this test
    numbers ks bare          a loop over the columns with SciPy or NumPy alone

each with one line of JSON: {"seconds": …, "statistics": {column: …}}. The frames are there before the clock
starts, and so are the imports.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import scipy.stats
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

SEED = 20_240_115
# Every third column moves, by these parts of its standard deviation in turn.
MOVED = (0.05, 0.2, 0.5)
PLANS = [f"plan-{i}" for i in range(12)]
# Bins of the bare PSI: as Caisson's default.
BINS = 10


def shift(column):
    return MOVED[column // 3 % len(MOVED)] if column % 3 == 0 else 0.0


def numbers(rows, columns):
    """Normal, log-normal and gamma columns in turn."""
    rng = np.random.default_rng(SEED)
    kinds = (
        lambda at: rng.normal(100 + 15 * at, 15, rows),
        lambda at: rng.lognormal(at, 1, rows),
        lambda at: rng.gamma(2 + 2 * at, 3, rows),
    )
    frames = []
    for moved in (False, True):
        frames.append(pd.DataFrame({
            f"x{i:02}": kinds[i % len(kinds)](shift(i) if moved else 0.0) for i in range(columns)
        }))
    return frames


def names(rows, columns):
    """Twelve categories, the first of them half of all."""
    rng = np.random.default_rng(SEED + 1)
    base = np.array([0.5] + [0.5 / 11] * 11)
    frames = []
    for moved in (False, True):
        made = {}
        for i in range(columns):
            share = base.copy()
            if moved:
                part = share[0] * shift(i)
                share[0] -= part
                share[1] += part
            made[f"x{i:02}"] = rng.choice(PLANS, rows, p=share)
        frames.append(pd.DataFrame(made))
    return frames


def model(columns):
    """The mean of the columns: a deployment has a model, and drift checks of its input don't run it."""
    double = onnx.TensorProto.DOUBLE
    node = onnx.helper.make_node("ReduceMean", ["x", "axes"], ["score"], keepdims=1)
    graph = onnx.helper.make_graph(
        [node],
        "mean",
        [onnx.helper.make_tensor_value_info("x", double, [None, columns])],
        [onnx.helper.make_tensor_value_info("score", double, [None, 1])],
        [onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def write(folder, name, frames, inputs):
    """What Caisson gets: the baseline as CSV, the current rows in the forms that it takes."""
    reference, current = frames
    if not inputs:
        # A model takes numbers, so there is one beside the names; nobody checks it.
        reference, current = (frame.assign(one=1.0) for frame in frames)
    reference.to_csv(folder / f"{name}.csv", index=False)
    table = pa.Table.from_pandas(current, preserve_index=False)
    with pa.OSFile(str(folder / f"{name}.arrows"), "wb") as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=65_536)
    pa.parquet.write_table(table, folder / f"{name}.parquet", compression="snappy")
    onnx.save(model(inputs or 1), str(folder / f"{name}.onnx"))


def bare(name, method, reference, current):
    found = {}
    for column in reference:
        a, b = reference[column].to_numpy(), current[column].to_numpy()
        if method == "ks":
            found[column] = scipy.stats.ks_2samp(a, b, method="asymp").statistic
        elif method == "psi":
            edges = np.quantile(a, np.arange(1, BINS) / BINS)
            p = np.bincount(np.searchsorted(edges, a, side="right"), minlength=BINS) / len(a)
            q = np.bincount(np.searchsorted(edges, b, side="right"), minlength=BINS) / len(b)
            p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
            found[column] = float(((q - p) * np.log(q / p)).sum())
        else:
            table = pd.concat([reference[column].value_counts(), current[column].value_counts()], axis=1)
            found[column] = scipy.stats.chi2_contingency(table.fillna(0).T, correction=False).statistic
    return found


def evidently(name, method, reference, current):
    if name == "numbers":
        preset = DataDriftPreset(num_method=method)
    else:
        preset = DataDriftPreset(cat_method="chisquare")
    found = Report([preset]).run(current, reference).dict()
    values = {}
    for metric in found["metrics"]:
        column = metric["config"].get("column")
        if column:
            values[column] = float(metric["value"])
    return values


def main():
    folder, rows, columns = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    frames = {"numbers": numbers(rows, columns), "names": names(rows, columns)}
    write(folder, "numbers", frames["numbers"], columns)
    write(folder, "names", frames["names"], 0)
    listed = list(frames["numbers"][0])
    definitions = {
        "numbers": DataDefinition(numerical_columns=listed),
        "names": DataDefinition(categorical_columns=listed),
    }
    datasets = {
        name: [Dataset.from_pandas(frame, data_definition=definitions[name]) for frame in pair]
        for name, pair in frames.items()
    }
    print(json.dumps({"python": sys.version.split()[0], "ready": True}), flush=True)
    for line in sys.stdin:
        name, method, who = line.split()
        start = time.perf_counter()
        if who == "evidently":
            statistics = evidently(name, method, *datasets[name])
        else:
            statistics = bare(name, method, *frames[name])
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "statistics": statistics}), flush=True)


if __name__ == "__main__":
    main()
