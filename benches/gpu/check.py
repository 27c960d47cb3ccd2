#!/usr/bin/env python3
"""Models on an NVIDIA GPU: the same answers as on the processor, and how much faster.

Starts `caisson serve` twice on one data folder, first with `--provider cpu`, then with `--provider
cuda`, and asks both the same questions: a perceptron of three 4096 x 4096 layers, 64 rows at a time,
as a model stage, and the CDNOW example with its plugins. Fails if an answer differs by more than the
kernels' rounding, if CUDA was asked for and not used, or if a GPU that isn't there is not an error.

    python3 benches/gpu/check.py CAISSON_BINARY ONNXRUNTIME_GPU_LIBRARY [--plugins target/plugins]

Needs Python's `numpy` and `onnx`, and an `onnxruntime-gpu` library with its providers beside it.
"""

import argparse
import atexit
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, LAYERS, ROWS, COLUMNS = 4096, 3, 64, 256
# Sums of 4,096 products in another order: a few units in the last place of intermediate results.
TOLERANCE = 1e-3
CDNOW_PLUGINS = ["range", "impute", "log1p", "standardize", "customer-value", "ks", "psi"]


def perceptron(path):
    """COLUMNS -> WIDTH x LAYERS -> 1, ReLU between, seeded."""
    rng = np.random.default_rng(7)
    sizes = [COLUMNS] + [WIDTH] * LAYERS + [1]
    nodes, weights, name = [], [], "x"
    for i, (n, m) in enumerate(zip(sizes, sizes[1:])):
        w = (rng.standard_normal((n, m)) * np.sqrt(2.0 / n)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        last = i == len(sizes) - 2
        out = "y" if last else f"z{i}"
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"a{i}"]))
            name = f"a{i}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", COLUMNS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


class Server:
    """`caisson serve --dev` on a free port. Ends with this program."""

    def __init__(self, args, data, *more):
        atexit.register(self.kill)
        self.process = None
        self.binary = args.binary
        self.log = open(pathlib.Path(data) / f"log-{len(os.listdir(data))}.txt", "w+")
        self.process = subprocess.Popen(
            [args.binary, "serve", "--dev", "--listen", "127.0.0.1:0", "--drain-seconds", "0",
             "--data-dir", str(pathlib.Path(data) / "store"), "--onnxruntime", args.library, *more],
            stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the server did not start: {self.text()}")
        self.url = line.split()[-1]
        for _ in range(3000):
            try:
                urllib.request.urlopen(f"{self.url}/v2/health/ready").read()
                return
            except urllib.error.HTTPError:
                time.sleep(0.1)
        raise RuntimeError(f"not ready: {self.text()}")

    def text(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def cli(self, *args):
        env = dict(os.environ, CAISSON_SERVER=self.url)
        done = subprocess.run([self.binary, *args], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"caisson {args[0]} {args[1]}: {done.stderr}\n{self.text()}")
        return done.stdout

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


def answers(server, rows, customers, runs):
    """The perceptron's answers, its median seconds, and the CDNOW probabilities."""
    body = json.dumps({"inputs": [{"name": "x", "shape": list(rows.shape), "datatype": "FP32",
                                   "data": [float(v) for v in rows.ravel()]}]}).encode()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        answer = server.post("/v2/models/perceptron/infer", body)
        seconds.append(time.perf_counter() - start)
    y = np.array(next(o["data"] for o in answer["outputs"]), dtype=np.float64)
    scored = server.post("/v1/deployments/cdnow-repurchase/predict", customers)
    return y, statistics.median(seconds), scored


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("library")
    parser.add_argument("--plugins", default=str(ROOT / "target/plugins"))
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    rows = np.random.default_rng(11).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    lines = (ROOT / "examples/cdnow/test_customers.csv").read_text().splitlines()
    header = lines[0].split(",")
    records = [dict(zip(header, line.split(","))) for line in lines[1:200]]

    def value(text):
        try:
            return float(text)
        except ValueError:
            return text or None

    customers = json.dumps({"rows": [{k: value(v) for k, v in r.items()} for r in records]}).encode()
    with tempfile.TemporaryDirectory() as data:
        model = pathlib.Path(data) / "perceptron.onnx"
        perceptron(model)
        spec = pathlib.Path(data) / "perceptron.yaml"
        spec.write_text(
            f"name: perceptron\ninput: [{{name: x, type: fp32, shape: [{COLUMNS}]}}]\n"
            "model: {name: perceptron, version: 1}\n"
        )
        cpu = Server(args, data, "--provider", "cpu")
        for name in CDNOW_PLUGINS:
            cpu.cli("plugin", "push", f"{args.plugins}/{name}.wasm")
        cpu.cli("model", "push", "perceptron", str(model))
        cpu.cli("deploy", "-f", str(spec))
        example = ROOT / "examples/cdnow"
        cpu.cli("model", "push", "cdnow-repurchase", str(example / "model.onnx"),
                "--metadata", str(example / "model.json"), "--baseline", str(example / "baseline.csv"))
        cpu.cli("deploy", "-f", str(example / "deployment.yaml"))
        y_cpu, s_cpu, scored_cpu = answers(cpu, rows, customers, args.runs)
        cpu.stop()

        cuda = Server(args, data, "--provider", "cuda")
        if "runs on the CPU" in cuda.text():
            sys.exit(f"CUDA was asked for, and the CPU was taken:\n{cuda.text()}")
        y_cuda, s_cuda, scored_cuda = answers(cuda, rows, customers, args.runs)
        users = subprocess.run(["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"],
                               capture_output=True, text=True).stdout.strip()
        cuda.stop()

        difference = float(np.max(np.abs(y_cpu - y_cuda)))
        print(f"perceptron, {ROWS} rows through {LAYERS} layers of {WIDTH}: largest difference {difference:.2e}")
        print(f"  cpu {s_cpu * 1e3:.1f} ms a request, cuda {s_cuda * 1e3:.1f} ms: {s_cpu / s_cuda:.1f} times faster")
        print(f"  on the GPU: {users or 'nvidia-smi names no process'}")
        if not difference <= TOLERANCE:
            sys.exit(f"the answers differ by {difference}")
        same = scored_cpu == scored_cuda
        print(f"CDNOW, {len(records)} customers through six plugins and a booster: "
              f"{'the same answers' if same else 'answers differ'}")
        if not same:
            sys.exit("the CDNOW answers differ")

        # A GPU that isn't there: an error that says so, or the CPU where that is allowed.
        hidden = dict(os.environ, CUDA_VISIBLE_DEVICES="-1")
        os.environ.update(hidden)
        none = Server(args, data, "--provider", "cuda")
        text = none.text()
        state = none.cli("deployment", "list")
        none.stop()
        if "failed" not in state:
            sys.exit(f"no GPU, and no deployment failed:\n{state}\n{text}")
        print("without a GPU: deployments fail to load, and say:",
              next((l for l in text.splitlines() if "CUDA" in l), "")[:240])
        back = Server(args, data, "--provider", "cuda", "--fallback-to-cpu")
        y_back, _, _ = answers(back, rows, customers, 1)
        text = back.text()
        back.stop()
        if not np.array_equal(y_back, y_cpu) or "CPU" not in text:
            sys.exit(f"the fallback did not work or did not say so:\n{text}")
        print("with --fallback-to-cpu: the processor's answers, bit for bit, and the log says so")


if __name__ == "__main__":
    main()
