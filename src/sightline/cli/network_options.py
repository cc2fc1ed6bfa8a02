"""Options of `sightline import` that only a network has, each written once."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.compiler.importers.table import IMPORTERS

NETWORK = "Network"  # the group of these options in the help

FrameworkOption = Annotated[
    str,
    typer.Option(
        "--framework", help=f"Framework of the network: {', '.join(IMPORTERS)}; auto finds it.", rich_help_panel=NETWORK
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Second file, for formats that come in two; by default the one beside the first.",
        rich_help_panel=NETWORK,
    ),
]
ArchitectureOption = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="Architecture that bare weights belong to: timm/NAME, torchvision/NAME, or FILE.py:FUNCTION (runs your code).",
        rich_help_panel=NETWORK,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="How to feed pictures if the file does not say: imagenet-torch, imagenet-caffe, 0-1, ...",
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
        help="Dataset version or folder of pictures on which to compare with the source framework.",
        rich_help_panel=NETWORK,
    ),
]
WidthOption = Annotated[
    int | None,
    typer.Option("--width", min=1, help="Input width in pixels, for a network that takes any size.", rich_help_panel=NETWORK),
]
HeightOption = Annotated[
    int | None,
    typer.Option("--height", min=1, help="Input height in pixels, for a network that takes any size.", rich_help_panel=NETWORK),
]
ColourOption = Annotated[
    str | None, typer.Option("--colour", help="Order of the input's channels: RGB, BGR or GRAY.", rich_help_panel=NETWORK)
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        "--mean",
        help="Mean to subtract from pixels 0..255, for red, green, blue, such as 123,117,104; or one number.",
        rich_help_panel=NETWORK,
    ),
]
StdOption = Annotated[
    str | None,
    typer.Option(
        "--std",
        help="Deviation to divide by after that, for red, green, blue, such as 58.4,57.1,57.4; or one number.",
        rich_help_panel=NETWORK,
    ),
]
ResizeOption = Annotated[
    str | None,
    typer.Option(
        "--resize",
        help="How pictures are fitted to the input: letterbox, stretch or centre_crop; by default as usual for the task.",
        rich_help_panel=NETWORK,
    ),
]
ShrinkOption = Annotated[
    str | None,
    typer.Option(
        "--shrink",
        help="How larger pictures were made smaller in training: area (default) or bilinear.",
        rich_help_panel=NETWORK,
    ),
]
HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        help="Head that says what the outputs mean: probabilities, yolo, joined_boxes, ...; found by default.",
        rich_help_panel=NETWORK,
    ),
]
HeadParametersOption = Annotated[
    str | None,
    typer.Option(
        "--head-parameters", help="Numbers that the head needs: a JSON object, or a file with one.", rich_help_panel=NETWORK
    ),
]
OutputsOption = Annotated[
    str | None,
    typer.Option(
        "--outputs",
        help="End the network at these tensors, separated by commas; by default at its own outputs.",
        rich_help_panel=NETWORK,
    ),
]
BackgroundOption = Annotated[
    bool,
    typer.Option(
        "--background", help="The first class is a background that the list of categories leaves out.", rich_help_panel=NETWORK
    ),
]
