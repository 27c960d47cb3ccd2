"""Public clients against a running server, which speaks HTTP and gRPC on one port: run.py HOST:PORT

The server has the deployments of `xtask/src/clients.rs`. Exits with 1 if any step failed.
Two clients bring their own copy of the same gRPC messages, and Python's protobuf registers a message
once: each client is a process of its own.
"""

import importlib
import multiprocessing
import sys

CLIENTS = (
    ("triton", "http"),
    ("kserve_sdk", "rest"),
    ("mlserver_types", "rest"),
    ("curl", "rest"),
    ("triton", "grpc"),
    ("kserve_sdk", "grpc"),
    ("perf_analyzer", "rest"),
    ("perf_analyzer", "grpc"),
)


def run(module, function, address):
    """Every step of one client: how many passed, and what failed."""
    import steps

    getattr(importlib.import_module(module), function)(address)
    return steps.done, steps.failures


if __name__ == "__main__":
    (address,) = sys.argv[1:]
    passed, failures = 0, []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for module, function in CLIENTS:
            done, failed = pool.apply(run, (module, function, address))
            passed += done
            failures += failed
    print(f"{passed} steps passed, {len(failures)} failed")
    for failure in failures:
        print(f"  {failure}")
    sys.exit(bool(failures))
