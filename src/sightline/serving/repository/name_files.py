"""Text files beside config.json that name things, a name a line: categories, which answers are made of, and labels of outputs.

Categories are read strictly: each has a name of its own. Labels are Triton's: any text, and they reach as far as they reach.
"""

from pathlib import Path

from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec, Task
from sightline.serving.repository.configuration import CONFIGURATION_NAME, MAX_FILE_BYTES, ModelConfiguration, check_categories


def read_categories(
    configuration: ModelConfiguration,
    home: Path,
    where: str = CONFIGURATION_NAME,
    task: Task | None = None,
    decode: DecodeSpec | None = None,
) -> tuple[str, ...]:
    """Category names that a configuration gives: as a list, in a file of its own, or as Triton's labels of an output.

    Args:
        task: of "raw" labels are no categories: nothing is known of what they name.
        decode: the labels of an output that it names go before those of another.
    """
    own = configuration.sightline
    if own.categories is not None:
        return own.categories
    decoded = decode.outputs if decode is not None else ()
    labels = [tensor for tensor in configuration.output if tensor.label_filename and task != "raw"]
    labels.sort(key=lambda tensor: tensor.name not in decoded)
    file_name = own.categories_file or (labels[0].label_filename if labels else None)
    return () if file_name is None else check_categories(_read_lines(home, file_name, where), file_name)


def read_labels(configuration: ModelConfiguration, home: Path, where: str = CONFIGURATION_NAME) -> dict[str, tuple[str, ...]]:
    """Triton's labels of outputs, by the output's name: any text, by line. Raises: InvalidInput."""
    files = {tensor.name: tensor.label_filename for tensor in configuration.output if tensor.label_filename}
    return {name: tuple(_read_lines(home, file_name, where)) for name, file_name in files.items()}


def _read_lines(home: Path, file_name: str, where: str) -> list[str]:
    """The lines of a file of names, without white space at their ends and empty ones at the file's."""
    path = home / file_name
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{where}: expected names in {file_name!r} in the model's folder, got no such file; add it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file_name}: expected names as UTF-8 text, a name a line, got other bytes") from error
    return [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []
