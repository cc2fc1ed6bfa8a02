"""Write small Darknet networks with random weights, as the tests of the Darknet importer need them."""

from pathlib import Path

import numpy as np

ANCHORS = "10,14, 23,27, 37,58, 81,82"


def conv(
    filters: int, size: int = 3, stride: int = 1, activation: str = "leaky", normalise: bool = True, more: str = ""
) -> str:
    head = "batch_normalize=1\n" if normalise else ""
    return f"[convolutional]\n{head}filters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation={activation}\n{more}\n"


def raw(filters: int, activation: str = "linear") -> str:
    """The last convolution of a scale."""
    return conv(filters, 1, 1, activation, normalise=False)


def maxpool(size: int, stride: int, more: str = "") -> str:
    return f"[maxpool]\nsize={size}\nstride={stride}\n{more}\n"


def route(layers: str, more: str = "") -> str:
    return f"[route]\nlayers = {layers}\n{more}\n"


def yolo(mask: str, more: str = "") -> str:
    return f"[yolo]\nmask = {mask}\nanchors = {ANCHORS}\nclasses=2\nnum=4\n{more}\n"


REGION = "[region]\nanchors = 1.5,2, 3,4.5\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\nthresh=.6\n"

TINY_YOLO_2 = conv(4) + maxpool(2, 2) + conv(8) + maxpool(2, 2) + conv(8) + maxpool(2, 1) + conv(8) + raw(14) + REGION
YOLO_2 = (
    conv(8) + maxpool(2, 2) + conv(16) + maxpool(2, 2) + conv(16) + conv(16)
    + route("2") + conv(8, 1) + "[reorg]\nstride=2\n" + route("-1, 5") + conv(8) + raw(14) + REGION
)  # fmt: skip
TINY_YOLO_3 = (
    conv(8) + maxpool(2, 2) + conv(16) + maxpool(2, 2) + conv(16) + maxpool(2, 1) + conv(16) + raw(14) + yolo("2,3")
    + route("-3") + conv(8, 1) + "[upsample]\nstride=2\n" + route("-1, 2") + conv(16) + raw(14) + yolo("0,1")
)  # fmt: skip
TINY_YOLO_4 = (
    conv(8, stride=2) + conv(16) + route("-1", "groups=2\ngroup_id=1") + conv(8) + conv(8) + route("-1,-2")
    + conv(16, 1) + route("-6,-1") + maxpool(2, 2) + raw(14) + yolo("0,1", "scale_x_y = 1.05\niou_loss=ciou")
)  # fmt: skip
YOLO_4 = (
    conv(8, activation="mish") + conv(16, stride=2, activation="mish") + conv(8, 1, activation="mish")
    + conv(16, activation="mish") + "[shortcut]\nfrom=-3\nactivation=linear\n" + conv(8, 1)
    + maxpool(5, 1) + route("-2") + maxpool(9, 1) + route("-4") + maxpool(13, 1) + route("-1,-3,-5,-6")
    + conv(16, stride=2) + raw(14) + yolo("0,1", "scale_x_y = 1.1")
)  # fmt: skip
SCALED_YOLO_4 = (
    conv(8, stride=2, activation="swish") + conv(16, activation="silu")
    + raw(14, "logistic") + yolo("0,1", "scale_x_y = 2.0\nnew_coords=1")
)  # fmt: skip
DARKNET_19 = conv(8) + maxpool(2, 2) + raw(5) + "[avgpool]\n[softmax]\ngroups=1\n[cost]\ntype=sse\n"
DARKNET_53 = conv(8) + conv(8) + "[shortcut]\nfrom=-2\nactivation=linear\n[avgpool]\n" + raw(5) + "[softmax]\ngroups=1\n"


def write_network(
    folder: Path, layers: str, width: int = 64, height: int = 64, version: tuple[int, int] = (0, 2), net: str = ""
) -> Path:
    """Write net.cfg and net.weights with numbers drawn at random; returns the cfg's path."""
    cfg = folder / "net.cfg"
    cfg.write_text(f"[net]\n# made for a test\nwidth={width}\nheight={height}\nchannels=3\n{net}\n{layers}")
    header = np.array([*version, 5], "<i4").tobytes() + bytes(8 if version[0] * 10 + version[1] >= 2 else 4)
    values = np.concatenate([np.empty(0), *draw_weights(layers, np.random.default_rng(0))])
    (folder / "net.weights").write_bytes(header + values.astype("<f4").tobytes())
    return cfg


def draw_weights(layers: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Numbers in Darknet's order: biases, [scales, means, variances,] kernels of each convolution."""
    counts: list[int] = []
    values: list[np.ndarray] = []
    channels = 3
    for text in layers.split("[")[1:]:
        kind, _, body = text.partition("]")
        options = dict(line.split("=", 1) for line in body.replace(" ", "").split("\n") if "=" in line)
        if kind == "convolutional":
            filters, groups = int(options["filters"]), int(options.get("groups", 1))
            values.append(rng.normal(scale=0.1, size=filters))
            if "batch_normalize" in options:
                values += [rng.uniform(0.5, 1.5, filters), rng.normal(scale=0.1, size=filters), rng.uniform(0.5, 2, filters)]
            inputs = channels // groups * int(options["size"]) ** 2
            values.append(rng.normal(scale=(2 / inputs) ** 0.5, size=filters * inputs))
            channels = filters
        elif kind == "route":
            channels = sum(counts[int(one)] for one in options["layers"].split(",")) // int(options.get("groups", 1))
        elif kind == "reorg":
            channels *= int(options["stride"]) ** 2
        elif kind == "connected":
            output, inputs = int(options["output"]), int(options["inputs"])  # "inputs" is for this function alone
            values += [rng.normal(scale=0.1, size=output), rng.normal(scale=inputs**-0.5, size=output * inputs)]
            channels = output
        counts.append(channels)
    return values
