"""perf_analyzer, which measures a server by the protocol and by what the server says of itself. It is run where
`CAISSON_PERF_ANALYZER` names the program."""

import functools
import os
import subprocess

from steps import expect, step

PROGRAM = os.environ.get("CAISSON_PERF_ANALYZER")
# Few requests, and any measurement is stable enough: what counts is that it gets to its end.
MEASURE = ["--measurement-mode", "count_windows", "--measurement-request-count", "50", "-p", "500", "-s", "999"]


def measure(address, protocol):
    def work(callers):
        line = [PROGRAM, "-m", "gbc", "-u", address, "-i", protocol, "--shape", "input:30", "-b", "4"]
        line += ["--concurrency-range", str(callers), *MEASURE]
        libraries = {"LD_LIBRARY_PATH": os.environ["CAISSON_PERF_LIBRARIES"]}
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, env={**os.environ, **libraries})
        said = done.stdout + done.stderr
        expect(done.returncode == 0 and "infer/sec" in said and "compute infer" in said, said)

    if PROGRAM:
        for callers in (1, 8):
            step("perf_analyzer", f"{protocol}, {callers} callers", functools.partial(work, callers))


def rest(address):
    measure(address, "http")


def grpc(address):
    measure(address, "grpc")
