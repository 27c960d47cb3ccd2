"""curl, as people use it: statuses, media types, bodies that are wrong."""

import functools
import json
import subprocess

from steps import expect, step

ROW = [0.5] * 30


def curl(address, path, body=None, *more):
    """Status, media type and body of an answer."""
    args = ["curl", "-sS", "-w", "\n%{http_code} %{content_type}", f"http://{address}{path}", *more]
    if body is not None:
        text = body if isinstance(body, str) else json.dumps(body)
        args += ["-d", text]
    out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
    answer, _, last = out.rpartition("\n")
    status, _, kind = last.partition(" ")
    return int(status), kind, json.loads(answer)


def asked(data, shape=(1, 30), name="input", datatype="FP32", **more):
    return {"inputs": [{"name": name, "shape": list(shape), "datatype": datatype, "data": data}], **more}


def rest(address):
    one = functools.partial(step, "curl")

    def answers(path, status, body=None, *more):
        def work():
            found, kind, answer = curl(address, path, body, *more)
            expect(found == status, (found, answer))
            expect(kind == "application/json", kind)
            if status >= 400:
                expect(isinstance(answer["error"], str) and answer["error"], answer)

        one(f"{path} {status}", work)

    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/gbc", "/v2/models/gbc/ready", "/v2/models/gbc/versions/1"):
        answers(path, 200)
    for path in ("/v2/models/nope", "/v2/models/nope/ready", "/v2/nowhere"):
        answers(path, 404)
    answers("/v2/repository/index", 405)
    infer = "/v2/models/gbc/infer"
    answers(infer, 200, asked(ROW))
    answers(infer, 200, asked([ROW]))
    answers(infer, 200, asked([None] + ROW[1:]))
    answers(infer, 400, asked(ROW, shape=(1, 29)))
    answers(infer, 400, asked(ROW, name="inputx"))
    answers(infer, 400, asked(ROW, datatype="INT32"))
    answers(infer, 400, '{"inputs":')
    answers(infer, 415, asked(ROW), "-H", "Content-Encoding: br")
