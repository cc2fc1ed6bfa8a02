"""`sightline annotate`: a model labels the pictures of a DatasetVersion into a new one."""

from pathlib import Path
from typing import Annotated

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
from sightline.cli.progress import show_progress
from sightline.cli.terminal import Terminal, format_count


def annotate_command(
    dataset: Annotated[str, typer.Argument(help="Dataset version: NAME, NAME@ID, or its folder.")],
    subject: Annotated[
        str, typer.Option("--with", help="Deployment, artifact or model that labels the pictures: a name or a folder.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the new dataset; by default the old one's.")] = None,
    confidence: ConfidenceOption = None,
    every_picture: Annotated[
        bool,
        typer.Option(
            "--every-picture",
            help="Also look at pictures that people labelled or found empty, and add what they did not label.",
        ),
    ] = False,
    url: UrlOption = None,
    api_key_env: ApiKeyOption = None,
    ca_file: CaFileOption = None,
    client_certificate: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder of the version; by default a place in the workspace.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model label the unlabelled pictures of a dataset; what people labelled stays as it is."""
    from sightline.bench.annotating import annotate_version
    from sightline.data.versions import open_version
    from sightline.serving.loading import find_subject, open_subject

    terminal, home = Terminal(as_json), open_workspace(workspace)
    version = open_version(home.find("datasets", dataset))
    opened = open_subject(
        subject,
        home,
        url,
        read_api_key(api_key_env),
        ca_file=ca_file,
        client_certificate=client_certificate,
        client_key=client_key,
    )
    with opened as predictor, show_progress() as on_progress:
        result = annotate_version(
            version,
            predictor,
            name=name,
            confidence_threshold=confidence,
            only_unlabelled=not every_picture,
            out=out or home,
            folder=find_subject(subject, home) if url is None else None,
            on_progress=on_progress,
        )
    made = result.version
    counts = ", ".join(f"{category} {count:,}" for category, count in result.annotations.items() if count) or "none"
    terminal.tell(
        f"annotated {format_count(result.images_annotated, 'picture')}, found nothing to add in {result.images_without:,}, "
        f"left {result.images_left:,} that people had labelled; new annotations: {counts}"
    )
    if result.images_bare:
        terminal.tell(
            f"{format_count(result.images_bare, 'picture')} held no annotation and counted as showing nothing; as only a model "
            "has looked at them now, they judge no more"
        )
    terminal.say(f"dataset {made.name}@{made.id[:8]}: {made.folder}")
    terminal.finish(
        {
            "dataset": made.name,
            "id": made.id,
            "folder": made.folder,
            "images_annotated": result.images_annotated,
            "images_without": result.images_without,
            "images_left": result.images_left,
            "images_bare": result.images_bare,
            "annotations": result.annotations,
        }
    )
