"""What the protocol says of the server, its models and their versions, over HTTP and over gRPC alike."""

from functools import cache
from importlib.metadata import version as find_package_version
from typing import Any, Literal, Protocol

from sightline.serving.inference.calls import ServedFacts, TensorFacts
from sightline.serving.v2.requests import ANNOTATIONS, IMAGE, find_made_output

SERVER_NAME = "sightline"
EXTENSIONS = (  # Triton's names, then our own
    "binary_tensor_data",
    "classification",
    "schedule_policy",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "statistics",
    "sightline_pictures",
    "sightline_annotations",
)
PICTURES = {
    "datatype": "BYTES",
    "shape": [-1],
    "content": "encoded pictures (JPEG, PNG, WebP, BMP, TIFF), prepared on the server",
}
MADE_OUTPUTS = {
    ANNOTATIONS: "for each picture a JSON list of what was found in it, in its own pixels; when asked for by name",
    IMAGE: "for each picture the one that the network draws, as PNG; when asked for by name",
}


class VersionState(Protocol):
    """A version in the repository, as `ModelHost.index` lists it."""

    name: str
    version: int
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
    reason: str


@cache
def describe_server() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": SERVER_NAME, "version": find_package_version("sightline"), "extensions": EXTENSIONS}


def describe_model(facts: ServedFacts, versions: list[int]) -> dict[str, Any]:
    """Metadata of a model as JSON has it.

    The protocol has no word for what an output means, for pictures as an input, and for an output that is made of the graph's
    when it is asked for: they stand under `parameters`. Clients ask for every output that the metadata lists.
    """
    inputs = [_describe_tensor(fact) for fact in facts.inputs]
    outputs = [_describe_tensor(fact) for fact in facts.outputs]
    if facts.input is not None:
        for tensor in inputs:
            if tensor["name"] == facts.input.name:
                tensor["parameters"] = {"also_accepts": PICTURES}
    most = facts.max_batch if facts.is_batched else 0
    parameters: dict[str, Any] = {"task": facts.task, "categories": facts.categories, "max_batch_size": most}
    if (made := find_made_output(facts)) is not None:
        parameters["also_answers"] = {"name": made, "datatype": "BYTES", "shape": [-1], "content": MADE_OUTPUTS[made]}
    return {
        "name": facts.name,
        "versions": [str(version) for version in versions],
        "platform": facts.engine,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
    }


def describe_state(state: VersionState) -> dict[str, str]:
    """A version as the repository index has it."""
    return {"name": state.name, "version": str(state.version), "state": state.state, "reason": state.reason}


def _describe_tensor(fact: TensorFacts) -> dict[str, Any]:
    """A tensor as metadata has it."""
    return {"name": fact.name, "datatype": fact.datatype, "shape": fact.shape}
