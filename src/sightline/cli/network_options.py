"""Options of `sightline import` that only a network has, each written once."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.compiler.importers.table import IMPORTERS

NETWORK = "Network"  # the group of these options in the help

FrameworkOption = Annotated[
    str, typer.Option("--framework", help=f"Its framework: {', '.join(IMPORTERS)}; auto finds it.", rich_help_panel=NETWORK)
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="Second file of formats that come in two; by default the one beside it.", rich_help_panel=NETWORK
    ),
]
ArchitectureOption = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="What bare weights belong to: timm/NAME, torchvision/NAME, or FILE.py:FUNCTION (runs your code).",
        rich_help_panel=NETWORK,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="How pictures are fed where the file is silent: imagenet-torch, imagenet-caffe, 0-1, ...",
        rich_help_panel=NETWORK,
    ),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe", help="Try every preset on this labelled dataset version and take the best.", rich_help_panel=NETWORK
    ),
]
PicturesOption = Annotated[
    str | None,
    typer.Option(
        "--pictures",
        help="Dataset version or folder of pictures to compare with the source framework on.",
        rich_help_panel=NETWORK,
    ),
]
WidthOption = Annotated[
    int | None, typer.Option("--width", min=1, help="Input width, pixels, if it takes any.", rich_help_panel=NETWORK)
]
HeightOption = Annotated[
    int | None, typer.Option("--height", min=1, help="Input height, pixels, if it takes any.", rich_help_panel=NETWORK)
]
ColourOption = Annotated[
    str | None, typer.Option("--colour", help="Order of its channels: RGB, BGR or GRAY.", rich_help_panel=NETWORK)
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        "--mean",
        help="Subtracted from pixels 0..255, for red, green, blue: 123,117,104; or one number.",
        rich_help_panel=NETWORK,
    ),
]
StdOption = Annotated[
    str | None,
    typer.Option(
        "--std", help="Divides them then, for red, green, blue, such as 58.4,57.1,57.4; or one number.", rich_help_panel=NETWORK
    ),
]
ResizeOption = Annotated[
    str | None,
    typer.Option(
        "--resize",
        help="How pictures are fitted: letterbox, stretch, or centre_crop; by default what the task usually does.",
        rich_help_panel=NETWORK,
    ),
]
ShrinkOption = Annotated[
    str | None,
    typer.Option(
        "--shrink",
        help="How larger pictures were made smaller in its training: area (default) or bilinear.",
        rich_help_panel=NETWORK,
    ),
]
HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        help="What its outputs mean: probabilities, yolo, joined_boxes, ...; found by default.",
        rich_help_panel=NETWORK,
    ),
]
HeadParametersOption = Annotated[
    str | None,
    typer.Option(
        "--head-parameters", help="Numbers the head needs, as a JSON object or the file of one.", rich_help_panel=NETWORK
    ),
]
OutputsOption = Annotated[
    str | None,
    typer.Option(
        "--outputs", help="End it at these tensors, with commas; by default its own outputs.", rich_help_panel=NETWORK
    ),
]
BackgroundOption = Annotated[
    bool,
    typer.Option(
        "--background", help="Its first class is a background that the list of categories leaves out.", rich_help_panel=NETWORK
    ),
]
