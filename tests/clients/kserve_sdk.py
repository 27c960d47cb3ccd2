"""The KServe SDK's inference clients."""

import asyncio
import functools

import numpy as np

from steps import expect, same, step, without_init

without_init("kserve")
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

X = np.linspace(-3, 3, 60, dtype=np.float32).reshape(2, 30)


def request(binary, outputs=None):
    tensor = InferInput("input", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, binary_data=binary)
    return InferRequest(model_name="gbc", infer_inputs=[tensor], request_outputs=outputs, request_id="k-1")


def check(response):
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    expect(outputs["label"].shape == (2,), outputs)
    expect(np.allclose(outputs["probabilities"].sum(axis=1), 1), outputs)
    expect(response.id == "k-1", response.id)
    return outputs


def steps(name, client, base):
    run = functools.partial(asyncio.get_event_loop().run_until_complete)
    at = [] if base is None else [base]
    infer = {} if base is None else {"model_name": "gbc"}
    one = functools.partial(step, name)
    one("is_server_live", lambda: expect(run(client.is_server_live(*at)) is True, "not live"))
    one("is_server_ready", lambda: expect(run(client.is_server_ready(*at)) is True, "not ready"))
    one("is_model_ready", lambda: expect(run(client.is_model_ready(*at, "gbc")) is True, "not ready"))
    first = one("infer, JSON", lambda: check(run(client.infer(*at, request(False), **infer))))
    second = one("infer, binary", lambda: check(run(client.infer(*at, request(True), **infer))))
    one("both the same", lambda: same(first["probabilities"], second["probabilities"]))
    return run, one, infer


def rest(address):
    asyncio.set_event_loop(asyncio.new_event_loop())
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    base = f"http://{address}"
    run, one, infer = steps("kserve rest", client, base)

    def asked_in_binary():
        outputs = [RequestedOutput("label", {"binary_data": True}), RequestedOutput("probabilities", {"binary_data": True})]
        check(run(client.infer(base, request(True, outputs), **infer)))

    one("infer, binary answer", asked_in_binary)
    run(client.close())


def grpc(address):
    asyncio.set_event_loop(asyncio.new_event_loop())

    async def made():
        return InferenceGRPCClient(address, retries=0)

    client = asyncio.get_event_loop().run_until_complete(made())
    run, _, _ = steps("kserve grpc", client, None)
    run(client.close())
