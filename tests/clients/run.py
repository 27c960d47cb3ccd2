"""Public clients against a running server: run.py HOST:PORT [--grpc HOST:PORT]

The server has the deployments of `xtask/src/clients.rs`. Exits with 1 if any step failed.
"""

import argparse
import sys

import curl
import kserve_sdk
import mlserver_types
import steps
import triton

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("http", metavar="HOST:PORT")
parser.add_argument("--grpc", metavar="HOST:PORT")
args = parser.parse_args()

for client in (triton.http, kserve_sdk.rest, mlserver_types.rest, curl.rest):
    client(args.http)
if args.grpc:
    for client in (triton.grpc, kserve_sdk.grpc):
        client(args.grpc)

print(f"{steps.done} steps passed, {len(steps.failures)} failed")
for failure in steps.failures:
    print(f"  {failure}")
sys.exit(bool(steps.failures))
