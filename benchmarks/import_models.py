"""Every network file of ../shared/data/models: imported, compared with its source framework, and compiled to INT8.

    python benchmarks/import_models.py                          # all of them, about ten minutes
    python benchmarks/import_models.py --only samplenet mnist   # those whose name holds one of the words
    python benchmarks/import_models.py --workspace FOLDER       # keep Models, Artifacts and their reports

A network with labelled pictures is fed as `--probe` finds, calibrated on some pictures and judged on others: FP32 is the
imported graph in the reference engine, INT8 the Artifact, and both are scored here once more, apart from the gate. One without
labels must keep 99 % of the answers of FP32, or what its name says; detectors of COCO's categories are judged both ways, on
street scenes by labels. One that came quantised is kept: its "FP32" is the same INT8 network in the reference engine. Where the
gate refuses INT8, that is a missed target, also where another row of the network passes, and what the precision `auto` falls
back to is shown. Nothing here is about speed. The last line is one JSON object.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result, run_main
from import_cases import MAX_DROP, ULTRAFACE, Case, find_unlisted, list_cases
from import_scores import compare_boxes, count_known, read_boxes, score_accuracy, score_mask
from import_tables import print_tables
from picture_sets import UNLABELLED_SETS, write_sets
from sightline.compiler.compile import compile_model
from sightline.compiler.importing.import_network import ImportResult, import_network
from sightline.compiler.report.records import CompileReport, decode_report
from sightline.core.errors import GateFailed, SightlineError
from sightline.data.versions import DatasetVersion

MAX_BOX_DIFFERENCE_PX = 0.1
CALIBRATION_IMAGES = 200
Row = dict[str, Any]


def main() -> None:
    args = parse_arguments()
    models = args.data / "models"
    cases = list_cases(args.data)
    unlisted = find_unlisted(models, cases)
    chosen = [case for case in cases if not args.only or any(word.lower() in case.name for word in args.only)]
    with open_workspace(args.workspace) as workspace:
        sets = write_sets(args.data, workspace.root)
        rows = []
        for case in chosen:
            rows.append(row := run_case(case, models, sets[case.pictures], workspace.root))
            print(f"{case.name}: {row['outcome']}: {row['words']}", file=sys.stderr, flush=True)
        faces = compare_faces(chosen, rows, sets["faces"], workspace.root)
    print_tables(rows, faces)
    targets = judge(find_targets(rows, faces, unlisted))
    print_result("import_models", networks=rows, face_boxes=faces, unlisted=unlisted, targets=targets)


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "")
    parser.add_argument("--only", nargs="+", default=[], help="words; cases whose name holds one of them")
    return parser.parse_args()


def run_case(case: Case, models: Path, version: DatasetVersion, root: Path) -> Row:
    """Import and compile one file. Whatever the product refuses becomes a row with its words."""
    row: Row = {
        "network": case.network,
        "format": case.form,
        "file": case.file,
        "expected_refusal": case.refusal,
        "known_top1": case.known_top1,
        "max_drop": case.max_drop,
    }
    model, artifact = root / "models" / case.name, root / "artifacts" / case.name
    progress = ProgressPrinter(case.name)
    try:
        imported = import_network(
            models / case.file,
            model,
            case.name,
            options=case.options,
            meaning=case.meaning,
            probe=version if case.presets else None,
            pictures=version,
            on_progress=progress,
        )
    except SightlineError as error:
        return row | {"outcome": "refused", "error": type(error).__name__, "words": str(error)}
    row |= describe_import(imported, case)
    row |= describe_compilation(compile_case(case, model, artifact, version, progress))
    row["outcome"] = find_outcome(imported, row)
    if row["outcome"] == "failed":
        return row
    if case.pictures not in UNLABELLED_SETS:
        row["accuracy"] = score_accuracy(model, artifact, version)
    if case.known:
        row["known"] = count_known(model, artifact, [(models / file, start) for file, start in case.known])
    if case.mask:
        row["mask_iou"] = score_mask(model, artifact, *(models / file for file in case.mask))
    return row


def compile_case(
    case: Case, model: Path, artifact: Path, version: DatasetVersion, progress: ProgressPrinter
) -> list[CompileReport]:
    """The report of INT8 and, where the gate refuses it, that of `auto`."""
    reports = []
    for precision in ("int8", "auto"):
        try:
            result = compile_model(
                model,
                artifact,
                version,
                precision=precision,
                max_drop=case.max_drop,
                objective="latency",  # tries fewer settings
                calibration_images=CALIBRATION_IMAGES,
                on_progress=progress,
            )
            reports.append(result.report)
            break
        except GateFailed:
            failed = artifact.with_name(f"{artifact.name}.failed")
            reports.append(decode_report((failed / "report.json").read_bytes()))
    return reports


def describe_import(imported: ImportResult, case: Case) -> Row:
    """How it was read and fed, and what the comparison with its source found."""
    best = imported.probe[0] if imported.probe else None
    manifest = imported.manifest
    return {
        "task": manifest.task,
        "head": manifest.decode.head,
        "parameters": manifest.parameter_count,
        "verification": msgspec.to_builtins(imported.verification),
        "notes": imported.notes,
        "preset": best.preset if best else None,
        "presets_wanted": list(case.presets),
        "probe": [{"preset": row.preset, row.metric: round(row.score, 4)} for row in imported.probe],
    }


def describe_compilation(reports: Sequence[CompileReport]) -> Row:
    """What was chosen, by which evidence; and what the gate refused INT8 for."""
    report = reports[-1]
    chosen = next((row for row in report.candidates if row.name == report.chosen), None)
    return {
        "engine": chosen.engine if chosen else None,
        "precision": chosen.precision if chosen else None,
        "quantiser": chosen.quantiser.quantiser if chosen and chosen.quantiser else None,
        "gate": describe_comparison(reports[0]),  # of INT8, passed or not
        "int8_refused": None if reports[0].passed else reports[0].verdict,
        "warnings": report.warnings,
        "words": report.verdict,
    }


def describe_comparison(report: CompileReport) -> Row | None:
    """What INT8 changed, by the gate's own evidence."""
    names = ("evidence", "metric", "images", "change", "low", "high", "agreement", "mean_iou")
    return None if report.comparison is None else {name: getattr(report.comparison, name) for name in names}


def find_outcome(imported: ImportResult, row: Row) -> str:
    if row["precision"] is None:
        return "failed"
    if imported.manifest.precision == "int8":
        return "kept INT8"
    return "INT8" if row["precision"] == "int8" else f"INT8 refused, {row['precision'].upper()}"


def compare_faces(cases: Sequence[Case], rows: Sequence[Row], version: DatasetVersion, root: Path) -> Row:
    """The boxes of every format of the face detector, FP32, on the same pictures, against those of the first."""
    names = [
        case.name for case, row in zip(cases, rows, strict=True) if case.network == ULTRAFACE and row["outcome"] != "refused"
    ]
    boxes = {name: read_boxes(root / "models" / name, version) for name in names}
    return {name: compare_boxes(boxes[names[0]], boxes[name]) for name in names}


def find_targets(rows: Sequence[Row], faces: Row, unlisted: Sequence[str]) -> dict[str, tuple[float, str, float | None]]:
    """What must hold, as numbers: counts of what does not hold, and the change of every labelled network."""
    wrongly_refused = [row for row in rows if row["outcome"] == "refused" and not is_refused_rightly(row)]
    accepted = [row for row in rows if row["expected_refusal"] and row["outcome"] != "refused"]
    missed = [row for row in rows if row["outcome"] == "failed" or row["outcome"].startswith("INT8 refused")]
    presets = [row for row in rows if row.get("presets_wanted") and row["preset"] not in row["presets_wanted"]]
    worse = [row for row in rows if "known" in row and row["known"]["int8"] < row["known"]["fp32"]]
    targets: dict[str, tuple[float, str, float | None]] = {
        "files without a row": (0, "<=", len(unlisted)),
        "imports refused without a true reason": (0, "<=", len(wrongly_refused)),
        "imports that should have been refused": (0, "<=", len(accepted)),
        "networks that INT8 was refused for": (0, "<=", len(missed)),
        "probes that found another preset": (0, "<=", len(presets)),
        "networks that know fewer of their own pictures": (0, "<=", len(worse)),
    }
    for row in rows:
        if "accuracy" in row:
            title, judged = f"{row['network']}, {row['format']}", row["accuracy"]["val"]
            targets[f"{title}: {judged['metric']} change"] = (-row["max_drop"], ">=", judged["change"])
            if row["known_top1"] is not None:
                whole = row["accuracy"].get("all", judged)
                targets[f"{title}: FP32 top-1"] = (row["known_top1"] - MAX_DROP, ">=", whole["fp32"]["top1"])
    if len(faces) > 1:
        largest = max(one["largest_difference_px"] for one in faces.values())
        targets["face boxes, formats differ by px"] = (MAX_BOX_DIFFERENCE_PX, "<=", largest)
        targets["face boxes without a partner"] = (0, "<=", sum(one["without_partner"] for one in faces.values()))
    return targets


def is_refused_rightly(row: Row) -> bool:
    return row["expected_refusal"] is not None and row["expected_refusal"] in row["words"]


if __name__ == "__main__":
    run_main(main)
