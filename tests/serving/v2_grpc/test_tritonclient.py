"""The unchanged `tritonclient`, sync, async and in streams, over a real connection."""

import asyncio
import queue
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from grpc_fakes import GrpcBench, make_tensor, run_grpc
from v2_fakes import ECHO_TYPES, Bench, run_bench

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    import tritonclient.grpc as triton
    import tritonclient.grpc.aio as triton_aio
    import tritonclient.http as triton_http
    from tritonclient.utils import InferenceServerException, triton_to_np_dtype

X, Y = [[0, 1, 2], [3, 4, 5]], [[10, 10, 10], [10, 10, 10]]
SUMS = [[10, 11, 12], [13, 14, 15]]


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def make_sum_inputs():
    return [make_tensor(triton, "x", X), make_tensor(triton, "y", Y)]


def make_pictures(*contents):
    return [make_tensor(triton, "images", contents, "BYTES")]


def test_health(client, bench):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sum")
    assert client.is_model_ready("sum", "1")
    assert not client.is_model_ready("sum", "2")
    assert not client.is_model_ready("nothing")
    bench.is_ready = False
    assert not client.is_server_ready()


def test_metadata(client):
    server = client.get_server_metadata()
    assert server.name == "sightline"
    assert {"classification", "schedule_policy", "statistics"} <= set(server.extensions)
    model = client.get_model_metadata("colours", "3")
    assert (model.name, list(model.versions), model.platform) == ("colours", ["3"], "numpy")
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [("images", "FP32", [-1, 3, 4, 4])]
    assert [(one.name, one.datatype) for one in model.outputs] == [("logits", "FP32")]


def test_configuration_has_the_fields_of_the_protocol(client, bench):
    described = {
        "name": "sum",
        "platform": "",
        "backend": "sightline",
        "version_policy": {"specific": {"versions": [3, 4]}},
        "max_batch_size": 8,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "format": "FORMAT_NCHW", "dims": [3, -1, 224]}],
        "output": [{"name": "sums", "data_type": "TYPE_STRING", "dims": [1], "label_filename": ""}],
        "dynamic_batching": {
            "preferred_batch_size": [4, 8],
            "max_queue_delay_microseconds": 500,
            "default_queue_policy": {"timeout_action": "REJECT", "max_queue_size": 256, "allow_timeout_override": True},
        },
        "instance_group": [{"name": "sum_0", "kind": "KIND_CPU", "count": 2}],
        "parameters": {"threads": {"string_value": "2"}},
        "sightline": {"task": "raw"},
    }
    bench.host.describe_configuration = lambda name, version="": described
    config = client.get_model_config("sum").config
    assert list(config.version_policy.specific.versions) == [3, 4]
    assert (config.max_batch_size, config.backend) == (8, "sightline")
    assert (config.input[0].format, config.input[0].data_type, list(config.input[0].dims)) == (2, 11, [3, -1, 224])
    assert config.output[0].data_type == 13
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 256
    assert (config.instance_group[0].kind, config.instance_group[0].count) == (2, 2)
    assert config.parameters["threads"].string_value == "2"


def test_repository(client, bench):
    states = {one.name: (one.version, one.state) for one in client.get_model_repository_index().models}
    assert states["colours"] == ("3", "READY")
    client.unload_model("sum", unload_dependents=True)
    assert not client.is_model_ready("sum")
    assert "unloaded" in [one.reason for one in client.get_model_repository_index().models]
    client.load_model("sum", config='{"max_batch_size": 2}')
    assert client.is_model_ready("sum")
    assert bench.host.calls[-2:] == [("unload", "sum", True), ("load", "sum", {"max_batch_size": 2})]


def test_refusals_of_the_repository(client):
    for ask, words, status in (
        (lambda: client.load_model("nothing"), "unknown model", "NOT_FOUND"),
        (lambda: client.load_model("sum", config="[1]"), "config", "INVALID_ARGUMENT"),
        (lambda: client.load_model("sum", config="{}", files={"file:1/model.onnx": b"graph"}), "files", "INVALID_ARGUMENT"),
    ):
        with pytest.raises(InferenceServerException, match=words) as raised:
            ask()
        assert raised.value.status() == f"StatusCode.{status}"


def test_loading_in_another_mode_is_unavailable():
    with (
        run_grpc(GrpcBench("poll")) as address,
        triton.InferenceServerClient(address) as client,
        pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed") as raised,
    ):
        client.load_model("sum")
    assert raised.value.status() == "StatusCode.UNAVAILABLE"


def test_calls_that_are_not_offered(client):
    for ask in (client.get_log_settings, client.get_trace_settings, client.get_system_shared_memory_status):
        with pytest.raises(InferenceServerException) as raised:
            ask()
        assert raised.value.status() == "StatusCode.UNIMPLEMENTED"


def test_outputs_come_in_the_order_asked_for(client):
    outputs = [triton.InferRequestedOutput(name) for name in ("rows", "sums")]
    result = client.infer("sum", make_sum_inputs(), "1", outputs, request_id="a-7")
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("a-7", "sum", "1")
    assert [one.name for one in response.outputs] == ["rows", "sums"]
    assert len(response.raw_output_contents) == 2
    assert result.as_numpy("sums").tolist() == SUMS
    assert result.as_numpy("rows").tolist() == [0, 1]
    assert result.as_numpy("rows").dtype == np.int64


def test_without_outputs_all_come(client):
    result = client.infer("sum", make_sum_inputs())
    assert result.as_numpy("sums").tolist() == SUMS
    assert result.as_numpy("rows").tolist() == [0, 1]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_requests(client, coding):
    assert client.infer("sum", make_sum_inputs(), compression_algorithm=coding).as_numpy("sums").tolist() == SUMS


def test_every_datatype_comes_back_as_it_went(client):
    for datatype in ECHO_TYPES:
        dtype = np.dtype(triton_to_np_dtype(datatype))
        info = {"b": lambda _: (False, True), "f": lambda kind: (np.finfo(kind).max, -0.1)}.get(dtype.kind, _find_limits)
        low, high = info(dtype)
        array = np.array([[low, high], [high, low]], dtype)
        given = triton.InferInput("x", [2, 2], datatype)
        given.set_data_from_numpy(array)
        came = client.infer(f"echo-{datatype}", [given]).as_numpy("x")
        np.testing.assert_array_equal(came, array)
        assert came.dtype == dtype


def _find_limits(dtype):
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def test_pictures_with_classification_and_annotations(client, jpeg, red_png):
    outputs = [triton.InferRequestedOutput("logits", class_count=2), triton.InferRequestedOutput("annotations")]
    result = client.infer("colours", make_pictures(jpeg, red_png), outputs=outputs)
    labels = [[text.decode().split(":")[2] for text in row] for row in result.as_numpy("logits")]
    assert labels == [["bright", "dark"], ["red", "dark"]]
    assert b'"category":"bright"' in result.as_numpy("annotations")[0]
    assert b'"category":"red"' in result.as_numpy("annotations")[1]


def test_both_protocols_give_the_same_bytes(client, jpeg, red_png):
    array = np.array([jpeg, red_png], object)
    over_http = triton_http.InferInput("images", [2], "BYTES")
    over_http.set_data_from_numpy(array)
    with run_bench(Bench()) as http_address, triton_http.InferenceServerClient(http_address) as http_client:
        expected = http_client.infer("colours", [over_http])
    result = client.infer("colours", make_pictures(jpeg, red_png))
    assert result.as_numpy("logits").tobytes() == expected.as_numpy("logits").tobytes()


def test_priority_and_timeout_reach_the_queue(client, bench):
    client.infer("sum", make_sum_inputs(), priority=3, timeout=2_000_000)
    assert (bench.scheduler.works[-1].priority, bench.scheduler.works[-1].timeout_s) == (3, 2.0)


def test_the_clients_deadline_is_the_longest_wait_in_the_queue(client, bench):
    client.infer("sum", make_sum_inputs(), client_timeout=20)
    assert 10 < bench.scheduler.works[-1].timeout_s < 21  # gRPC rounds deadlines on the wire
    client.infer("sum", make_sum_inputs(), client_timeout=20, timeout=1_000_000)
    assert bench.scheduler.works[-1].timeout_s == 1.0
    client.infer("sum", make_sum_inputs())
    assert bench.scheduler.works[-1].timeout_s is None


def test_async_infer_answers_each_of_64_with_its_own(client):
    answers = queue.Queue()
    for number in range(64):
        inputs = [make_tensor(triton, "x", [[number] * 3]), make_tensor(triton, "y", [[1, 2, 3]])]
        client.async_infer("sum", inputs, lambda result, error: answers.put((result, error)), request_id=str(number))
    for _ in range(64):
        result, error = answers.get(timeout=30)
        assert error is None
        number = int(result.get_response().id)
        assert result.as_numpy("sums").tolist() == [[number + 1, number + 2, number + 3]]


def test_statistics_count_what_was_inferred(client):
    client.infer("colours", [make_tensor(triton, "images", np.zeros((4, 3, 4, 4)))])
    with pytest.raises(InferenceServerException):
        client.infer("colours", make_pictures(b"no picture"))
    [counted] = client.get_inference_statistics("colours", "3").model_stats
    assert (counted.inference_count, counted.execution_count) == (4, 1)
    assert (counted.inference_stats.success.count, counted.inference_stats.fail.count) == (1, 1)
    assert counted.inference_stats.compute_infer.ns > 0
    assert [batch.batch_size for batch in counted.batch_stats] == [4]
    assert len(client.get_inference_statistics().model_stats) > 10
    with pytest.raises(InferenceServerException, match="unknown model"):
        client.get_inference_statistics("colours", "4")


@pytest.mark.parametrize(
    ("model", "inputs", "status", "words"),
    [
        ("nothing", make_sum_inputs(), "NOT_FOUND", "Request for unknown model"),
        ("sum", make_sum_inputs()[:1], "INVALID_ARGUMENT", "inputs"),
        ("sum", make_pictures(b"no picture"), "INVALID_ARGUMENT", "inputs"),
        ("colours", make_pictures(b"no picture"), "INVALID_ARGUMENT", "picture 0"),
        ("echo-INT8", [make_tensor(triton, "x", [[1]])], "INVALID_ARGUMENT", "INT8"),
    ],
)
def test_refusals(client, model, inputs, status, words):
    with pytest.raises(InferenceServerException, match=words) as raised:
        client.infer(model, inputs)
    assert raised.value.status() == f"StatusCode.{status}"


def test_a_stream_answers_in_order_and_goes_on_after_a_failure(client, jpeg):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(20):
        client.async_stream_infer("sum", [make_tensor(triton, "x", [[number] * 3]), make_tensor(triton, "y", [[0, 0, 0]])],
                                  request_id=str(number))  # fmt: skip
    client.async_stream_infer("colours", make_pictures(b"no picture"))
    client.async_stream_infer("colours", make_pictures(jpeg), request_id="last", enable_empty_final_response=True)
    came = [answers.get(timeout=30) for _ in range(22)]
    client.stop_stream()
    assert [result.as_numpy("sums")[0, 0] for result, _ in came[:20]] == list(range(20))
    assert [result.get_response().id for result, _ in came[:20]] == [str(number) for number in range(20)]
    assert came[20][0] is None and "picture 0" in str(came[20][1])
    last = came[21][0].get_response()
    assert last.id == "last"
    assert last.parameters["triton_final_response"].bool_param
    assert answers.empty()


def test_a_stream_of_more_messages_than_are_worked_on_at_once(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(300):
        client.async_stream_infer("gate", [make_tensor(triton, "x", [[number]])])
    assert [answers.get(timeout=30)[0].as_numpy("x")[0, 0] for _ in range(300)] == list(range(300))
    client.stop_stream()


def test_a_stream_that_is_cancelled_drops_its_work(client, bench):
    bench.gate.opened.clear()
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(3):
        client.async_stream_infer("gate", [make_tensor(triton, "x", [[number]])])
    bench.wait_for_submitted(3)
    client.stop_stream(cancel_requests=True)
    bench.wait_for_ended(3)
    assert all(work.is_cancelled for work in bench.ended)


def test_the_async_client(address, jpeg):
    async def ask():
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("sum")
            assert not await client.is_model_ready("nothing")
            assert "statistics" in (await client.get_server_metadata()).extensions
            assert list((await client.get_model_metadata("colours")).versions) == ["3"]
            assert (await client.get_model_config("sum")).config.name == "sum"
            assert len((await client.get_model_repository_index()).models) > 2
            assert len((await client.get_inference_statistics("sum")).model_stats) == 1
            await client.unload_model("echo-FP64")
            await client.load_model("echo-FP64")
            results = await asyncio.gather(
                *(
                    client.infer(
                        "sum", [make_tensor(triton_aio, "x", [[number] * 3]), make_tensor(triton_aio, "y", [[1, 2, 3]])]
                    )
                    for number in range(64)
                )
            )
            assert [result.as_numpy("sums").tolist() for result in results] == [
                [[number + 1, number + 2, number + 3]] for number in range(64)
            ]
            outputs = [triton_aio.InferRequestedOutput("logits", class_count=1)]
            top = await client.infer("colours", [make_tensor(triton_aio, "images", [jpeg], "BYTES")], outputs=outputs)
            assert top.as_numpy("logits")[0, 0].endswith(b":1:bright")
            with pytest.raises(InferenceServerException, match="unknown model"):
                await client.infer("nothing", make_sum_inputs())

    asyncio.run(ask())


def test_the_async_clients_stream(address):
    async def ask():
        async def list_requests():
            for number in range(10):
                yield {"model_name": "gate", "inputs": [make_tensor(triton_aio, "x", [[number]])], "request_id": str(number)}
            yield {"model_name": "nothing", "inputs": [make_tensor(triton_aio, "x", [[0]])]}

        async with triton_aio.InferenceServerClient(address) as client:
            came = [answer async for answer in client.stream_infer(list_requests())]
        assert [result.as_numpy("x")[0, 0] for result, _ in came[:10]] == list(range(10))
        assert "unknown model" in str(came[10][1])

    asyncio.run(ask())
