"""Which class table a dataset of masks has: the one that is given or lies beside them, CamVid's, or what the values tell."""

from pathlib import Path

from sightline.core.errors import NotFound, SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.formats.label_masks.classes import (
    CAMVID_COLOURS,
    CAMVID_NAMES,
    IGNORE_VALUE,
    MaskClass,
    MaskTable,
    find_class_file,
    has_values,
    make_classes,
    read_classes,
)
from sightline.data.formats.label_masks.pairs import MIXED_TABLE, MaskLayout, walk_masks
from sightline.data.formats.label_masks.values import (
    BACKGROUND,
    VOID,
    MaskSurvey,
    cut_classes,
    find_lossy_mask,
    fit_classes,
    is_decodable,
    is_to_be_fitted,
    survey_masks,
)
from sightline.imaging.files.reading import read_label_map

CAMVID_VOID = 11
FOREGROUND = "foreground"


def find_table(layout: MaskLayout, source: Path, given: object, report: ConversionReport) -> MaskTable:
    """The class table, from wherever it is known, as the masks use it.

    Args:
        layout: where the masks lie.
        source: what is imported.
        given: the option `classes`: None, names, or the path of a file.
        report: told how classes are counted and which masks are cut.

    Raises: NotFound, UnreadableDataset.
    """
    classes, is_counted = read_given_classes(layout, source, given, report)
    if classes is None and layout.is_camvid:
        classes = list_camvid_classes(layout)
    has_colours = any(entry.colour is not None for entry in classes or ())
    # CamVid's own 11 classes are valued from 0 and 11 is void, whether or not its list says so.
    is_open = is_counted and is_to_be_fitted(classes or ()) and not (layout.is_camvid and len(classes or ()) == CAMVID_VOID)
    single = FOREGROUND if classes is None else find_single_name(classes, is_open)
    if classes is not None and not is_open and single is None and find_lossy_mask(layout) is None:
        return MaskTable(classes)
    survey = survey_masks(layout, has_colours)
    nature = survey.judge()
    if classes is None and survey.colour is not None:
        raise UnreadableDataset(
            f"expected index masks or a table of colours such as label_colors.txt, got the mask {survey.colour.name} in colour "
            "and no table; give it with the option classes"
        )
    check_lossless(survey, nature, is_one_class=single is not None)
    if single is not None and nature == "soft":
        return MaskTable(cut_classes(single, survey, report))
    if classes is None:
        return MaskTable(guess_classes(survey, report))
    return MaskTable(fit_classes(classes, set(survey.counts), report) if is_open else classes)


def read_given_classes(
    layout: MaskLayout, source: Path, given: object, report: ConversionReport
) -> tuple[list[MaskClass] | None, bool]:
    """The classes of the option, else of the file beside the masks, or None; and whether their place is all their value."""
    if isinstance(given, list | tuple):
        return make_classes([str(name) for name in given]), True
    if given is None:
        path = find_class_file(layout.root) or find_class_file(source)
        if path is None and layout.folders[0].masks == layout.folders[0].images:
            path = layout.folders[0].images / MIXED_TABLE
        return (None, False) if path is None else (read_classes(path, report), not has_values(path))
    for path in (source / str(given), Path(str(given))):
        if path.is_file():
            return read_classes(path, report), not has_values(path)
    raise NotFound(f"expected a file of classes, got {given}, which is neither in {source} nor here; check the path")


def list_camvid_classes(layout: MaskLayout) -> list[MaskClass]:
    """CamVid's own classes: 32 by colour, or 11 by value with 11 as void."""
    if has_colour_masks(layout):
        return make_classes(list(CAMVID_COLOURS), list(CAMVID_COLOURS.values()))
    return [*make_classes(list(CAMVID_NAMES)), MaskClass(name="Void", value=CAMVID_VOID, kind="void")]


def find_single_name(classes: list[MaskClass], is_open: bool) -> str | None:
    """The name of the only class beside background, if its value is, or may be, 255."""
    things = [entry for entry in classes if entry.kind == "category"]
    if len(things) != 1 or any(entry.kind == "void" for entry in classes):
        return None
    return things[0].name if is_open or things[0].value == IGNORE_VALUE else None


def check_lossless(survey: MaskSurvey, nature: str, is_one_class: bool) -> None:
    """Raises: UnreadableDataset for masks whose values are not those that were drawn, unless one class can be cut out."""
    is_clear = nature == "plain" or (nature == "soft" and is_one_class)
    if survey.lossy is not None and (survey.colour is not None or not is_clear):
        raise UnreadableDataset(
            f"expected masks in a lossless format, got the JPEG {survey.lossy.name}, whose values are not those that were "
            "drawn; save the masks as PNG from their source"
        )
    if is_one_class and nature == "unclear":
        raise UnreadableDataset(
            f"expected masks of 0 and 255, or of a value for each class, got soft edges of many pixels, as in "
            f"{survey.soft_names[0]}; save the masks without smoothing"
        )


def has_colour_masks(layout: MaskLayout) -> bool:
    """Whether the first mask that can be decoded is a colour picture."""
    for path in walk_masks(layout):
        try:
            read_label_map(path)
        except SightlineError:
            if is_decodable(path):
                return True
        else:
            return False
    return False


def guess_classes(survey: MaskSurvey, report: ConversionReport) -> list[MaskClass]:
    """Classes for the values of masks without any table."""
    numbers = sorted(survey.counts.keys() - {0, IGNORE_VALUE})
    if not numbers:
        return [BACKGROUND, MaskClass(name=FOREGROUND, value=IGNORE_VALUE)]
    report.warn("category", "mask values without names; give them with the option classes", ", ".join(map(str, numbers[:8])))
    classes = [BACKGROUND, *(MaskClass(name=f"class_{value}", value=value) for value in numbers)]
    return [*classes, VOID] if IGNORE_VALUE in survey.counts else classes
