"""Requests and answers as MLServer's own types read and write them."""

import functools
import json
import urllib.request

from steps import expect, step, without_init

without_init("mlserver")
from mlserver.types import (  # noqa: E402
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponse,
)


def call(address, path, body=None):
    data = None if body is None else body.encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", data, headers)) as answer:
        expect(answer.headers["Content-Type"] == "application/json", answer.headers)
        return json.load(answer)


def rest(address):
    one = functools.partial(step, "mlserver types")

    def infer():
        request = InferenceRequest.model_validate(
            {
                "id": "m-1",
                "parameters": {"content_type": "np"},
                "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}],
                "outputs": [{"name": "probabilities"}],
            }
        )
        response = InferenceResponse.model_validate(call(address, "/v2/models/gbc/infer", request.model_dump_json()))
        expect(response.id == "m-1" and response.model_name == "gbc", response)
        expect([output.name for output in response.outputs] == ["probabilities"], response)
        expect(abs(sum(response.outputs[0].data.root) - 1) < 1e-6, response)

    one("infer", infer)
    one("server metadata", lambda: MetadataServerResponse.model_validate(call(address, "/v2")))
    one("model metadata", lambda: MetadataModelResponse.model_validate(call(address, "/v2/models/gbc")))
    one("repository index", lambda: RepositoryIndexResponse.model_validate(call(address, "/v2/repository/index", "{}")))
