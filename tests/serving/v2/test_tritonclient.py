"""The unchanged `tritonclient` over a real connection, sync and async."""

import asyncio
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from v2_fakes import ECHO_TYPES, Bench, run_bench

with warnings.catch_warnings():  # the client's own dependencies warn at import
    warnings.simplefilter("ignore")
    import tritonclient.http as triton
    import tritonclient.http.aio as triton_aio
    from tritonclient.utils import InferenceServerException, triton_to_np_dtype


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def address(bench: Bench) -> Iterator[str]:
    with run_bench(bench) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client
    client.close = lambda: None  # its destructor would close it again, on whatever thread collects it; gevent forbids that


def make_input(name, array, datatype="FP32", kind=triton, **options):
    given = kind.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, **options)
    return given


def make_sum_inputs(kind=triton, **options):
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.full((2, 3), 10, np.float32)
    return [make_input("x", x, kind=kind, **options), make_input("y", y, kind=kind, **options)]


SUMS = [[10, 11, 12], [13, 14, 15]]


def make_pictures(*contents, kind=triton):
    return [make_input("images", np.array(contents, object), "BYTES", kind)]


def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sum")
    assert client.is_model_ready("sum", "1")
    assert not client.is_model_ready("sum", "2")
    assert not client.is_model_ready("nothing")


def test_metadata_and_configuration(client):
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert [one["name"] for one in client.get_model_metadata("sum")["inputs"]] == ["x", "y"]
    assert client.get_model_metadata("colours", "3")["versions"] == ["3"]
    assert client.get_model_config("sum")["max_batch_size"] == 8


def test_repository(client, bench):
    names = {one["name"] for one in client.get_model_repository_index()}
    assert {"sum", "colours"} <= names
    client.unload_model("sum", unload_dependents=True)
    assert not client.is_model_ready("sum")
    client.load_model("sum", config='{"max_batch_size": 2}')
    assert client.is_model_ready("sum")
    assert bench.host.calls[-2:] == [("unload", "sum", True), ("load", "sum", {"max_batch_size": 2})]
    with pytest.raises(InferenceServerException, match="unknown model"):
        client.load_model("nothing")


def test_what_is_not_offered_is_refused(client):
    for ask in (client.get_log_settings, client.get_trace_settings, client.get_system_shared_memory_status):
        with pytest.raises(InferenceServerException, match="not served"):
            ask()


@pytest.mark.parametrize("is_binary", [True, False])
def test_tensors_in_binary_and_json(client, is_binary):
    outputs = [triton.InferRequestedOutput(name, binary_data=is_binary) for name in ("rows", "sums")]
    result = client.infer("sum", make_sum_inputs(binary_data=is_binary), "1", outputs, request_id="a-7")
    assert result.get_response()["id"] == "a-7"
    assert result.get_response()["model_version"] == "1"
    assert result.as_numpy("sums").tolist() == SUMS
    assert result.as_numpy("rows").tolist() == [0, 1]
    assert result.as_numpy("nothing") is None


def test_without_outputs_all_come_in_binary(client):
    result = client.infer("sum", make_sum_inputs())
    assert result.as_numpy("sums").tolist() == SUMS
    assert result.get_output("rows")["parameters"] == {"binary_data_size": 16}


@pytest.mark.parametrize("datatype", ECHO_TYPES)
@pytest.mark.parametrize("is_binary", [True, False])
def test_every_datatype_comes_back_as_it_went(client, datatype, is_binary):
    dtype = np.dtype(triton_to_np_dtype(datatype))
    limits = [False, True] if dtype.kind == "b" else [np.finfo(dtype).max, -0.1] if dtype.kind == "f" else list(_limits(dtype))
    array = np.array([limits, limits[::-1]], dtype)
    outputs = [triton.InferRequestedOutput("x", binary_data=is_binary)]
    result = client.infer(f"echo-{datatype}", [make_input("x", array, datatype, binary_data=is_binary)], outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("x"), array)
    assert result.as_numpy("x").dtype == dtype


def _limits(dtype):
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def test_empty_batches_are_answered(client):
    empty = np.zeros((0, 2), np.float32)
    assert client.infer("echo-FP32", [make_input("x", empty)]).as_numpy("x").shape == (0, 2)


def test_pictures_with_classification(client, jpeg, red_png):
    outputs = [triton.InferRequestedOutput("logits", class_count=2)]
    result = client.infer("colours", make_pictures(jpeg, red_png), outputs=outputs)
    answers = result.as_numpy("logits")
    assert answers.shape == (2, 2)
    assert [[text.decode().split(":")[2] for text in row] for row in answers] == [["bright", "dark"], ["red", "dark"]]
    as_text = client.infer("colours", make_pictures(jpeg, red_png), outputs=[triton.InferRequestedOutput("logits", False, 2)])
    assert as_text.get_output("logits")["data"] == [text.decode() for text in answers.ravel()]


def test_pictures_with_several_outputs(client, jpeg):
    outputs = [triton.InferRequestedOutput("annotations"), triton.InferRequestedOutput("logits", binary_data=False)]
    result = client.infer("colours", make_pictures(jpeg), outputs=outputs)
    assert b'"category":"bright"' in result.as_numpy("annotations")[0]
    assert result.as_numpy("logits").argmax() == 1


def test_priority_and_timeout_reach_the_queue(client, bench):
    client.infer("sum", make_sum_inputs(), priority=3, timeout=2_000_000)
    assert (bench.scheduler.works[-1].priority, bench.scheduler.works[-1].timeout_s) == (3, 2.0)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compression_both_ways(client, coding):
    result = client.infer("sum", make_sum_inputs(), request_compression_algorithm=coding, response_compression_algorithm=coding)
    assert result.as_numpy("sums").tolist() == SUMS


def test_async_infer_of_the_sync_client(client):
    asked = [client.async_infer("sum", make_sum_inputs(), request_id=str(number)) for number in range(8)]
    results = [one.get_result() for one in asked]
    assert [result.get_response()["id"] for result in results] == [str(number) for number in range(8)]
    assert all(result.as_numpy("sums").tolist() == SUMS for result in results)


def test_statistics_count_what_was_inferred(client):
    [before] = client.get_inference_statistics("colours")["model_stats"]
    client.infer("colours", [make_input("images", np.zeros((4, 3, 4, 4), np.float32))])
    [after] = client.get_inference_statistics("colours", "3")["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert 4 in [batch["batch_size"] for batch in after["batch_stats"]]
    assert len(client.get_inference_statistics()["model_stats"]) > 1


@pytest.mark.parametrize(
    ("model", "inputs", "status", "words"),
    [
        ("nothing", make_sum_inputs(), "404", "Request for unknown model"),
        ("sum", make_sum_inputs()[:1], "400", "inputs"),
        ("sum", make_pictures(b"no picture"), "400", "inputs"),
        ("colours", make_pictures(b"no picture"), "400", "picture 0"),
        ("echo-INT8", [make_input("x", np.ones((1, 1), np.float32))], "400", "INT8"),
    ],
)
def test_refusals_have_the_form_the_client_reads(client, model, inputs, status, words):
    with pytest.raises(InferenceServerException, match=words) as raised:
        client.infer(model, inputs)
    assert raised.value.status() == status


def test_the_async_client(address, jpeg):
    async def ask():
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("sum")
            assert not await client.is_model_ready("nothing")
            assert "statistics" in (await client.get_server_metadata())["extensions"]
            assert (await client.get_model_metadata("colours"))["versions"] == ["3"]
            assert (await client.get_model_config("sum"))["name"] == "sum"
            assert len(await client.get_model_repository_index()) > 2
            assert (await client.get_inference_statistics("sum"))["model_stats"]
            await client.unload_model("echo-FP64")
            await client.load_model("echo-FP64")
            results = await asyncio.gather(
                *(client.infer("sum", make_sum_inputs(triton_aio), request_id=str(number)) for number in range(8)),
                *(  # 2.41 cannot compress a request: it forgot to import gzip and zlib
                    client.infer("sum", make_sum_inputs(triton_aio), response_compression_algorithm=coding)
                    for coding in ("gzip", "deflate")
                ),
            )
            assert all(result.as_numpy("sums").tolist() == SUMS for result in results)
            assert [result.get_response().get("id") for result in results[:8]] == [str(number) for number in range(8)]
            outputs = [triton_aio.InferRequestedOutput("logits", class_count=1)]
            top = await client.infer("colours", make_pictures(jpeg, kind=triton_aio), outputs=outputs)
            assert top.as_numpy("logits")[0, 0].endswith(b":1:bright")
            with pytest.raises(InferenceServerException, match="unknown model"):
                await client.infer("nothing", make_sum_inputs(triton_aio))

    asyncio.run(ask())
