"""Sends real PET/CT pairs through the product and checks every result by other means.

The patients are those of the soft-tissue sarcoma set of the Image Biomarker Standardisation Initiative
(real CT in HU, PET in SUV, tumor contour; docs/real-images.md tells where they come from). They have no
lymph nodes in the field: what is checked is geometry, never the quality of the candidates.

    ./benchmarks/run real_images --data FOLDER            the library alone
    ./benchmarks/run real_images --data FOLDER --start    and a server started for this
    ./benchmarks/run real_images --data FOLDER --server URL --studies FOLDER
    ./benchmarks/run real_images --data FOLDER --also STORE   cases of a store too, e.g. planted ones
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from benchmarks.real_image_checks import (
    SET,
    check_column,
    check_labels,
    check_reply,
    check_windows,
    copy_cases,
    failures,
    store_case,
)
from local_server import LocalServer
from osln.detection import detect
from osln.imaging.grid import write_volume
from osln.rows.experiments import ROWS
from osln.stage_one.inference import Predictor
from osln.store.layout import companions, load_study
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]

MODELS = ROOT / "apps" / "osln" / "model"
ROW = "lf-stratified"


def main() -> int:
    """Runs the checks, prints a table in Markdown, and returns 1 if anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds ibsi-sts-petct")
    parser.add_argument("--start", action="store_true", help="start a server on a free port of this computer")
    parser.add_argument("--server", metavar="URL", help="a server that runs already")
    parser.add_argument("--studies", type=Path, help="that server's store; the cases are copied into it")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of weights")
    parser.add_argument("--also", type=Path, metavar="STORE", help="check the cases of this store as well")
    parser.add_argument("--precision", default="0.10", help="operating point: precision on validation")
    parser.add_argument("--cases", type=int, help="only the first so many of the set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every measured error")
    options = parser.parse_args()
    sources = sorted(path.parent for path in (options.data / SET).glob("*/CT_image.nii.gz"))[: options.cases]
    if not sources:
        parser.error(f"no patient at {options.data / SET}: expected folders with CT_image.nii.gz")
    if options.server and not options.studies:
        parser.error("--server needs --studies: the folder that this server serves")

    with tempfile.TemporaryDirectory(prefix="osln-real-") as folder:
        root = options.studies or Path(folder) / "studies"
        cases = [store_case(source, root) for source in sources]
        if options.also:
            cases += copy_cases(options.also, root)
        with running(options, root, Path(folder)) as url:
            rows = [check_case(case, root, options, url, Path(folder)) for case in cases]
    sys.stdout.write(table(rows) + "\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(row["failures"] for row in rows))


@contextlib.contextmanager
def running(options: argparse.Namespace, root: Path, folder: Path) -> Iterator[str | None]:
    """Address of the server to ask, or None for the library alone."""
    if options.start:
        with LocalServer(root, folder / "server.log", {"models": str(options.models)}) as server:
            yield server.url
    else:
        yield options.server


def check_case(
    case: str, root: Path, options: argparse.Namespace, url: str | None, folder: Path
) -> dict[str, Any]:
    """One patient through the library and, if there is one, the server; what was found and measured."""
    row: dict[str, Any] = {"case": case, "errors": {}, "failures": [], "refused": None, "seconds": None}
    store, experiment = ModelStore(options.models), ROWS[ROW]
    networks = {name: Predictor(store.load(name)) for name in experiment.segmenters}
    try:
        study = load_study(companions(root, case))
        begun = time.perf_counter()
        found = detect(study, experiment, networks, store.thresholds(ROW)[options.precision])
        row["seconds"] = round(time.perf_counter() - begun, 2)
    except ValueError as error:
        row["refused"] = str(error)
        return row
    grid = found.column.grid
    expected = found.to_json() | {"grid": {"shape": grid.shape, "affine": grid.affine.tolist()}}
    row |= {"candidates": len(found.candidates), "warnings": list(found.column.warnings)}
    row["errors"] = check_column(found.column, root, case) | check_windows(
        found.column, networks[experiment.segmenters[0]].preset
    )
    labels = folder / f"{case}-library.nii.gz"
    write_volume(labels, found.labels_on_ct(study), study.ct.grid, study.ct.file_grid)
    reply: dict[str, Any] = expected
    if url:
        begun = time.perf_counter()
        try:
            name, reply = MONAILabelClient(url, str(folder)).infer(
                ROW, case, params={"operating_point": f"precision {options.precision}"}
            )
        except MONAILabelClientException as error:
            row["refused"] = str(error)
            return row
        row["seconds"] = round(time.perf_counter() - begun, 2)
        labels = Path(name)
        row["errors"] |= check_reply(reply, expected)
    row["errors"] |= check_labels(labels, root, case, reply)
    row["failures"] = failures(row["errors"])
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The cases as a Markdown table, then how many passed."""
    lines = [
        "| case | result | candidates | s | CT, HU | PET, SUV | distance, mm | contour | label |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = row["errors"]
        if row["refused"]:
            lines.append(f"| {row['case']} | refused: {row['refused']} | | | | | | | |")
            continue
        verdict = "; ".join(row["failures"]) or "passed"
        warned = "".join(f" ({warning})" for warning in row["warnings"])
        lines.append(
            f"| {row['case']} | {verdict}{warned} | {row['candidates']} | {row['seconds']:.2f} | "
            f"{errors['ct_hu']:.1e} | {errors['pet_suv']:.1e} | {errors['distance_mm']:.1e} | "
            f"{errors['distance_to_contour_voxels']:.2f} | {errors['label_shift_voxels']:.2f} |"
        )
    refused = sum(bool(row["refused"]) for row in rows)
    failed = sum(bool(row["failures"]) for row in rows)
    lines += [
        "",
        f"{len(rows)} cases: {len(rows) - refused - failed} passed, {failed} failed, {refused} refused",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
