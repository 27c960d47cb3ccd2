"""python serve.py PORT: becomes BentoML's server of the service beside this file."""

import os
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
# What it writes stays in the current folder.
os.environ["BENTOML_HOME"] = str(Path.cwd() / "bentoml")
program = Path(sys.executable).with_name("bentoml")
arguments = ["serve", "service:Service", "--working-dir", str(here), "--host", "127.0.0.1", "--port", sys.argv[1]]
os.execv(program, ["bentoml", *arguments])
