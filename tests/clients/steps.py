"""Steps with a name; what fails is said, and the rest goes on."""

import importlib.machinery
import sys
import traceback
import types

import ml_dtypes
import numpy as np

# Elements of each datatype that are at its ends, past 2**53, or not exact in decimal.
NUMBERS = {
    "BOOL": np.array([True, False, True]),
    "UINT8": np.array([0, 1, 255], np.uint8),
    "UINT16": np.array([0, 1, 65535], np.uint16),
    "UINT32": np.array([0, 1, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 2**53 + 1, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 0, 127], np.int8),
    "INT16": np.array([-(2**15), 0, 2**15 - 1], np.int16),
    "INT32": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 2**53 + 1, 2**63 - 1], np.int64),
    "FP16": np.array([0.1, -2.5, 65504], np.float16),
    "BF16": np.array([0.1, -2.5, 3e38], ml_dtypes.bfloat16),
    "FP32": np.array([0.1, -2.5, 3.4e38], np.float32),
    "FP64": np.array([0.1, -2.5, 1.7e308], np.float64),
}
# What the inputs of the model `identity` are called.
NAMES = {"BOOL": "boolean", **{d: d.lower() for d in NUMBERS if d != "BOOL"}}
WORDS = np.array([b"", "h\u00e9llo".encode(), b"a" * 300], object)

failures = []
done = 0


def step(client, name, work):
    """Run one step; gives what it gave, or None."""
    global done
    try:
        result = work()
    except Exception:
        failures.append(f"{client}: {name}")
        print(f"FAIL {client}: {name}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return None
    done += 1
    return result


def expect(condition, found):
    if not condition:
        raise AssertionError(found)


def refused(work, *words):
    """The message of the refusal that this must be."""
    try:
        work()
    except Exception as error:
        text = str(error)
        for word in words:
            expect(word.lower() in text.lower(), f"{word!r} is not in: {text}")
        return
    raise AssertionError("it was not refused")


def same(found, expected):
    """Every bit."""
    expect(found is not None, "no such output")
    expect(found.shape == expected.shape, f"{found.shape}, not {expected.shape}")
    if expected.dtype == object:
        expect(list(found) == list(expected), found)
    else:
        found = found.astype(expected.dtype) if expected.dtype == ml_dtypes.bfloat16 else found
        expect(found.dtype == expected.dtype, f"{found.dtype}, not {expected.dtype}")
        expect(found.tobytes() == expected.tobytes(), f"{found}, not {expected}")


def without_init(name):
    """Let `name.part` be imported without `name/__init__.py`, which would import a whole server."""
    spec = importlib.machinery.PathFinder.find_spec(name)
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package
