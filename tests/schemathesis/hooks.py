"""What Schemathesis can't know of Caisson: bodies that aren't JSON, and what must survive a run."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

# The id of the key that all requests carry. Were it revoked, the rest would test a 401.
OWN_KEY = os.environ["CAISSON_KEY"].removeprefix("csn_").split("_")[0]

# What predictions, aliases and deployments of other requests need. There are others of each, which the
# same requests may delete and yank.
KEPT = {
    ("DELETE", "/v1/deployments/{name}"): {"clipped", "cdnow-repurchase"},
    ("DELETE", "/v1/models/{name}/{version}"): {"cdnow-repurchase"},
    ("POST", "/v1/plugins/{name}/{version}/yank"): {"clip"},
    ("POST", "/v2/repository/models/{name}/unload"): {"clipped", "cdnow-repurchase", "spare"},
}

ROOT = Path(__file__).parents[2]
PLUGINS = [(ROOT / "target/plugins" / f"{name}.wasm").read_bytes() for name in ("clip", "log1p", "one-hot")]
MODEL = (ROOT / "examples/cdnow/model.onnx").read_bytes()

schemathesis.openapi.media_type(
    "application/wasm",
    st.sampled_from([*PLUGINS, b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0", b"(component)"]) | st.binary(max_size=256),
)
schemathesis.openapi.media_type(
    "application/octet-stream", st.sampled_from([b"{}", b'{"inputs":[]}']) | st.binary(max_size=256)
)
schemathesis.openapi.media_type(
    "text/csv", st.sampled_from([b"x\n1\n", b"x\n\n", b"x,y\n1,2\n", b""]) | st.binary(max_size=256)
)


@schemathesis.hook
def filter_case(context, case):
    values = case.path_parameters or {}
    if values.get("id") == OWN_KEY:
        return False
    return values.get("name") not in KEPT.get((case.method.upper(), case.operation.path), ())


@schemathesis.hook
def map_body(context, body):
    """Whole numbers are written without a fraction, as every JSON writer of integers does; JSON Schema
    calls `241.0` an integer too. Of two forms with a model, one has a file that is a model."""
    if isinstance(body, dict) and context.operation.path == "/v1/models/{name}" and "model" in body:
        return {**body, "model": MODEL} if len(body) % 2 else body
    return _whole(body)


def _whole(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
