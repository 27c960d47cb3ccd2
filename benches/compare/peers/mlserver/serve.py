"""python serve.py PORT: writes the model repository into the current folder and becomes MLServer."""

import json
import os
import sys
from pathlib import Path

port = int(sys.argv[1])
repository = Path("repository")
for name, runtime in {"booster": "WithStages", "booster-prepared": "Alone"}.items():
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "name": name,
        "implementation": f"runtime.{runtime}",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 30]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
settings = {
    "host": "127.0.0.1",
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_port": port + 2,
    "debug": False,
    "parallel_workers": int(os.environ["COMPARE_WORKERS"]),
}
(repository / "settings.json").write_text(json.dumps(settings))
os.environ["PYTHONPATH"] += os.pathsep + os.path.dirname(os.path.abspath(__file__))
os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(repository)])
