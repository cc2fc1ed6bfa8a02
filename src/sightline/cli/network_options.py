"""Options of `sightline import` that only a network has, each written once."""

from pathlib import Path
from typing import Annotated

import typer

FrameworkOption = Annotated[
    str, typer.Option("--framework", help="Network: its framework; auto finds it. docs/reference/frameworks.md lists them.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="Network: second file of formats that come in two; by default the one beside it."),
]
ArchitectureOption = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="Network: what bare weights belong to: timm/NAME, torchvision/NAME, or FILE.py:FUNCTION (runs your code).",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset", help="Network: how pictures are fed where the file is silent: imagenet-torch, imagenet-caffe, 0-1, ..."
    ),
]
ProbeOption = Annotated[
    str | None, typer.Option("--probe", help="Network: try every preset on this labelled dataset version and take the best.")
]
PicturesOption = Annotated[
    str | None,
    typer.Option("--pictures", help="Network: dataset version or folder of pictures to compare with the source framework on."),
]
WidthOption = Annotated[int | None, typer.Option("--width", min=1, help="Network: input width, pixels, if it takes any.")]
HeightOption = Annotated[int | None, typer.Option("--height", min=1, help="Network: input height, pixels, if it takes any.")]
ColourOption = Annotated[str | None, typer.Option("--colour", help="Network: order of its channels: RGB, BGR or GRAY.")]
MeanOption = Annotated[
    str | None,
    typer.Option("--mean", help="Network: subtracted from pixels 0..255, for red, green, blue: 123,117,104; or one number."),
]
StdOption = Annotated[
    str | None,
    typer.Option("--std", help="Network: divides them then, for red, green, blue, such as 58.4,57.1,57.4; or one number."),
]
ResizeOption = Annotated[
    str | None,
    typer.Option("--resize", help="Network: letterbox, stretch, or centre_crop; by default what the task usually does."),
]
ShrinkOption = Annotated[
    str | None,
    typer.Option(
        "--shrink", help="Network: how larger pictures were made smaller in its training: area (default) or bilinear."
    ),
]
HeadOption = Annotated[
    str | None,
    typer.Option("--head", help="Network: what its outputs mean: probabilities, yolo, joined_boxes, ...; found by default."),
]
HeadParametersOption = Annotated[
    str | None, typer.Option("--head-parameters", help="Network: numbers the head needs, as a JSON object or the file of one.")
]
OutputsOption = Annotated[
    str | None, typer.Option("--outputs", help="Network: end it at these tensors, with commas; by default its own outputs.")
]
BackgroundOption = Annotated[
    bool, typer.Option("--background", help="Network: its first class is a background that the list of categories leaves out.")
]
