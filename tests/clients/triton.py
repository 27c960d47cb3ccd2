"""tritonclient, over HTTP and over gRPC."""

import functools

import numpy as np

from steps import NAMES, NUMBERS, WORDS, expect, refused, same, step


class Triton:
    def __init__(self, module, url):
        self.module = module
        self.client = module.InferenceServerClient(url)
        self.http = module.__name__.endswith("http")
        self.step = functools.partial(step, "tritonclient " + ("http" if self.http else "grpc"))

    def as_dict(self, method, *args):
        """The same form for both protocols."""
        more = {} if self.http else {"as_json": True}
        return getattr(self.client, method)(*args, **more)

    def tensor(self, name, datatype, array, binary=True):
        tensor = self.module.InferInput(name, list(array.shape), datatype)
        return tensor.set_data_from_numpy(array, **({"binary_data": binary} if self.http else {}))

    def wanted(self, name, binary=True):
        return self.module.InferRequestedOutput(name, **({"binary_data": binary} if self.http else {}))

    def infer(self, model, inputs, outputs=None, **more):
        return self.client.infer(model, inputs, outputs=outputs, **more)

    def all(self):
        self.about()
        self.datatypes()
        self.rows()
        self.refusals()
        self.repository()

    def unknown_is_not_ready(self):
        # Over gRPC what isn't there is an error, of which this client makes an exception.
        try:
            ready = self.client.is_model_ready("nope")
        except Exception as error:
            expect(not self.http and "NOT_FOUND" in str(error.status()), error)
        else:
            expect(self.http and not ready, "ready")

    def about(self):
        client, step = self.client, self.step
        step("is_server_live", lambda: expect(client.is_server_live(), "not live"))
        step("is_server_ready", lambda: expect(client.is_server_ready(), "not ready"))
        for version in ("", "1"):
            step(f"is_model_ready {version}", lambda: expect(client.is_model_ready("gbc", version), "not ready"))
        step("an unknown model is not ready", self.unknown_is_not_ready)

        def server_metadata():
            found = self.as_dict("get_server_metadata")
            expect(found["name"] == "caisson", found)
            wanted = {"binary_tensor_data", "model_repository", "model_configuration", "statistics"}
            if self.http:
                expect(wanted <= set(found["extensions"]), found)

        def model_metadata(version):
            found = self.as_dict("get_model_metadata", "gbc", version)
            shapes = {t["name"]: (t["datatype"], [int(d) for d in t["shape"]]) for t in found["inputs"] + found["outputs"]}
            expected = {"input": ("FP32", [-1, 30]), "label": ("INT64", [-1]), "probabilities": ("FP32", [-1, 2])}
            expect(shapes == expected, found)

        def config():
            found = self.as_dict("get_model_config", "gbc")
            found = found.get("config", found)
            expect(int(found["max_batch_size"]) > 1, found)
            expect(found["input"][0]["data_type"] == "TYPE_FP32", found)
            expect([int(d) for d in found["input"][0]["dims"]] == [30], found)

        step("get_server_metadata", server_metadata)
        for version in ("", "1"):
            step(f"get_model_metadata {version}", lambda: model_metadata(version))
        step("get_model_config", config)

        def statistics():
            before = count()
            x = np.zeros((3, 30), np.float32)
            self.infer("gbc", [self.tensor("input", "FP32", x)])
            expect(count() == before + 3, "three more rows")

        def count():
            found = self.as_dict("get_inference_statistics", "gbc")
            return int(found["model_stats"][0].get("inference_count", 0))

        step("get_inference_statistics", statistics)

    def datatypes(self):
        def numbers(binary_in, binary_out):
            # tritonclient itself refuses BF16 in JSON.
            given = {d: a for d, a in NUMBERS.items()}
            inputs = [self.tensor(NAMES[d], d, a, binary_in or d == "BF16") for d, a in given.items()]
            outputs = [self.wanted(NAMES[d] + "_out", binary_out or d == "BF16") for d in given]
            found = self.infer("identity", inputs, outputs)
            for datatype, array in given.items():
                same(found.as_numpy(NAMES[datatype] + "_out"), array)

        def words(binary_in, binary_out):
            found = self.infer(
                "strings", [self.tensor("text", "BYTES", WORDS, binary_in)], [self.wanted("text_out", binary_out)]
            )
            array = found.as_numpy("text_out")
            if self.http and not binary_out:
                array = np.array([text.encode() for text in array], object)
            same(array, WORDS)

        for binary_in, binary_out in [(True, True), (True, False), (False, True), (False, False)] if self.http else [(True, True)]:
            name = f"binary in {binary_in}, out {binary_out}"
            self.step(f"every number, {name}", lambda: numbers(binary_in, binary_out))
            self.step(f"text, {name}", lambda: words(binary_in, binary_out))

        def shapes():
            grid = np.arange(12, dtype=np.int16).reshape(2, 2, 3)
            blobs = np.array([[b"\xff\x00", b""], [b"a", b"\xfe"]], object)
            inputs = [self.tensor("grid", "INT16", grid), self.tensor("blobs", "BYTES", blobs)]
            found = self.infer("echo", inputs)
            same(found.as_numpy("grid"), grid)
            expect(found.as_numpy("blobs").tolist() == blobs.tolist(), found.as_numpy("blobs"))

        self.step("shapes and bytes", shapes)

    def rows(self):
        x = np.linspace(-3, 3, 60, dtype=np.float32).reshape(2, 30)
        missing = x[:1].copy()
        missing[0, ::7] = np.nan
        # Its compression options are HTTP's; gRPC's own are one name.
        plain = self.infer("gbc", [self.tensor("input", "FP32", x)])
        labels, probabilities = plain.as_numpy("label"), plain.as_numpy("probabilities")

        def one_dimension():
            expect(labels.shape == (2,) and labels.dtype == np.int64, labels)
            expect(np.allclose(probabilities.sum(axis=1), 1), probabilities)

        def id_of(found):
            response = found.get_response()
            return response.get("id") if self.http else response.id

        def echoed():
            given = self.infer("gbc", [self.tensor("input", "FP32", x)], request_id="r-1")
            expect(id_of(given) == "r-1", id_of(given))
            expect(not id_of(plain), id_of(plain))

        def chosen():
            found = self.infer("gbc", [self.tensor("input", "FP32", x)], [self.wanted("probabilities")])
            same(found.as_numpy("probabilities"), probabilities)
            expect(found.as_numpy("label") is None, "an output that was not asked for")

        def nan(binary):
            found = self.infer("gbc", [self.tensor("input", "FP32", missing, binary)], [self.wanted("probabilities")])
            filled = np.nan_to_num(missing, nan=0)
            expected = self.infer("gbc", [self.tensor("input", "FP32", filled)], [self.wanted("probabilities")])
            same(found.as_numpy("probabilities"), expected.as_numpy("probabilities"))

        def parameters():
            more = {"parameters": {"tenant": "a", "number": 3}, "priority": 1, "timeout": 500_000}
            found = self.infer("gbc", [self.tensor("input", "FP32", x)], model_version="1", headers={"x-request-id": "a"}, **more)
            same(found.as_numpy("label"), labels)

        def compressed(algorithm):
            many = np.tile(x, (200, 1))
            more = {"compression_algorithm": algorithm}
            if self.http:
                more = {f"{way}_compression_algorithm": algorithm for way in ("request", "response")}
            found = self.infer("gbc", [self.tensor("input", "FP32", many)], **more)
            same(found.as_numpy("label"), np.tile(labels, 200))

        def many_at_once():
            calls = [self.client.async_infer("gbc", [self.tensor("input", "FP32", x)]) for _ in range(8)]
            for call in calls:
                same(call.get_result().as_numpy("probabilities"), probabilities)

        self.step("a one-dimensional output", one_dimension)
        self.step("the request's id", echoed)
        self.step("one output of two", chosen)
        self.step("NaN is missing, binary", lambda: nan(True))
        if self.http:
            self.step("NaN is missing, JSON", lambda: nan(False))
            self.step("async_infer", many_at_once)
        self.step("parameters, priority, timeout, version, headers", parameters)
        for algorithm in ("gzip", "deflate"):
            self.step(f"compressed with {algorithm}", lambda: compressed(algorithm))

    def refusals(self):
        x = np.zeros((2, 30), np.float32)
        good = lambda: [self.tensor("input", "FP32", x)]
        self.step("an unknown model", lambda: refused(lambda: self.infer("nope", good()), "nope"))
        self.step("an unknown version", lambda: refused(lambda: self.infer("gbc", good(), model_version="9"), "9"))
        self.step("a wrong shape", lambda: refused(lambda: self.infer("gbc", [self.tensor("input", "FP32", x[:, :7])]), "[2, 7]"))
        wrong = x.astype(np.int32)
        self.step("a wrong datatype", lambda: refused(lambda: self.infer("gbc", [self.tensor("input", "INT32", wrong)]), "INT32"))
        self.step("an unknown output", lambda: refused(lambda: self.infer("gbc", good(), [self.wanted("z")]), "z"))
        self.step("a sequence", lambda: refused(lambda: self.infer("gbc", good(), sequence_id=5, sequence_start=True), "sequence"))

    def repository(self):
        client = self.client

        def state():
            found = self.as_dict("get_model_repository_index")
            entries = found if self.http else found["models"]
            return {entry["name"]: entry["state"] for entry in entries}

        def there_and_back():
            expect(state()["echo"] == "READY", state())
            client.unload_model("echo")
            expect(state()["echo"] == "UNAVAILABLE", state())
            expect(not client.is_model_ready("echo"), "ready")
            client.load_model("echo")
            expect(state()["echo"] == "READY", state())

        self.step("the repository's index", lambda: expect(state()["gbc"] == "READY", state()))
        self.step("unload and load", there_and_back)
        self.step("load what is not there", lambda: refused(lambda: client.load_model("nope"), "nope"))


def http(address):
    import tritonclient.http

    Triton(tritonclient.http, address).all()


def grpc(address):
    import tritonclient.grpc

    Triton(tritonclient.grpc, address).all()
