"""`sightline predict`: annotations of pictures, folders and videos, from a local deployment or a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.options import (
    ApiKeyOption,
    CaFileOption,
    ClientCertificateOption,
    ClientKeyOption,
    ConfidenceOption,
    JsonOption,
    UrlOption,
    WorkspaceOption,
    open_workspace,
    read_api_key,
)
from sightline.cli.terminal import Terminal

if TYPE_CHECKING:
    from sightline.core.annotations import Annotation

SHOWN_ANNOTATIONS = 8


def predict_command(
    subject: Annotated[str, typer.Argument(help="Deployment, artifact or model: a name, NAME@ID, or a folder.")],
    files: Annotated[list[Path], typer.Argument(help="Pictures, videos, or folders of them.")],
    url: UrlOption = None,
    api_key_env: ApiKeyOption = None,
    ca_file: CaFileOption = None,
    client_certificate: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    confidence: ConfidenceOption = None,
    every_s: Annotated[
        float | None,
        typer.Option("--every-s", min=0.001, help="Seconds between the frames taken from a video; by default every frame."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="New folder for the pictures with their predictions drawn.")
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", help="New file with one JSON object per picture, written as each is answered.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict labels, boxes or masks for pictures, folders and videos; any number of them in bounded memory.

    Pictures that cannot be read are reported; the others are answered, and the exit code is then 2. --json holds the
    first 100 pictures, --jsonl all of them.
    """
    from sightline.core.errors import EXIT_CODE, InvalidInput, NotFound
    from sightline.serving.loading import open_subject
    from sightline.serving.many_pictures import find_sources, predict_sources
    from sightline.serving.saving import OutcomeWriter

    terminal = Terminal(as_json)
    inputs = [path for path in files if save is not None and save.resolve().is_relative_to(path.resolve())]
    if inputs:
        raise InvalidInput(f"expected --save outside of what is predicted, got {save} in {inputs[0]}; choose another folder")
    with (
        open_subject(
            subject,
            open_workspace(workspace),
            url,
            read_api_key(api_key_env),
            ca_file=ca_file,
            client_certificate=client_certificate,
            client_key=client_key,
        ) as predictor,
        OutcomeWriter(predictor.categories, save, jsonl) as writer,
    ):
        for outcome in predict_sources(predictor, find_sources(files, every_s), confidence):
            writer.write(outcome)
            if outcome.error is not None:
                terminal.note(f"not read: {outcome.source.name}: {outcome.error}")
            else:
                terminal.tell(f"{outcome.source.name}: {format_annotations(outcome.annotations)}")
    if not writer.answered and writer.first_error is None:
        raise NotFound(f"no picture or video in {', '.join(map(str, files))}; give files or folders that hold some")
    if not writer.answered:
        raise InvalidInput(f"none of the {writer.failed} files could be read; the first: {writer.first_error}")
    summary = writer.summary
    terminal.finish(summary)
    if as_json and (left_out := summary["pictures_left_out"]):
        terminal.note(f"{left_out:,} left out of --json, which has the first {len(summary['pictures'])}; use --jsonl for all")
    if writer.failed:
        terminal.note(f"{writer.failed:,} of {writer.answered + writer.failed:,} could not be read")
        raise typer.Exit(EXIT_CODE[InvalidInput])


def format_annotations(annotations: "list[Annotation]") -> str:
    """The best few on one line: `scratch 0.93 (12, 40, 80, 95), dent 0.71 (...)`."""
    parts = [format_annotation(annotation) for annotation in annotations[:SHOWN_ANNOTATIONS]]
    more = len(annotations) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "") if parts else "nothing found"


def format_annotation(annotation: "Annotation") -> str:
    """Category, confidence, and where it is."""
    confidence = "" if annotation.confidence is None else f" {annotation.confidence:.2f}"
    box = "" if annotation.box_xyxy is None else f" ({', '.join(f'{value:.0f}' for value in annotation.box_xyxy)})"
    return f"{annotation.category}{confidence}{box}"
