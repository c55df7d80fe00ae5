"""Detects planted cases and tells what was planted, found and falsely found: one Markdown row per case.

Meant for the phantoms in a real CT (docs/real-images.md); any store with `truth/` works.

    ./scripts/osln phantoms --out planted --cases 5 --ct DICOM_FOLDER --ct-tumor RTSTRUCT.dcm:GTV-1
    ./benchmarks/run planted --studies planted
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from osln.metrics.matching import match
from osln.pipeline import Pipeline, load_pipeline
from osln.rows.experiments import ROWS
from osln.stage_one.candidates import Candidate
from osln.store.layout import companions, load_study
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]

COLUMNS = (
    "planted",
    "found",
    "proximal",
    "distal",
    "candidates",
    "false",
    "on benign nodes",
    "on mimics",
    "s",
)
NEAR_MM = 3.0


def main() -> None:
    """Detects every case of a store and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=Path, required=True, help="store with truth/")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--row", choices=sorted(ROWS), default="lf-stratified", help="networks to ask")
    parser.add_argument("--point", help='operating point, for instance "precision 0.10" (default: 0.15)')
    options = parser.parse_args()
    cases = sorted(path.name.removesuffix(".nii.gz") for path in options.studies.glob("*.nii.gz"))
    if not cases:
        parser.error(f"no case in {options.studies}: expected CTs named <case>.nii.gz")
    pipeline = load_pipeline(ModelStore(options.models), options.row, point=options.point)
    sys.stdout.write(f"| case | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}\n")
    rows = []
    for case in cases:
        rows.append(check(options.studies, case, pipeline))
        sys.stdout.write(f"| {case} | {' | '.join(str(rows[-1][name]) for name in COLUMNS)} |\n")
    total = {name: _sum(rows, name) for name in COLUMNS}
    sys.stdout.write(f"| all | {' | '.join(str(total[name]) for name in COLUMNS)} |\n")


def check(root: Path, case: str, pipeline: Pipeline) -> dict[str, Any]:
    """Planted OSLNs (all, and found of each zone), and what the false candidates lie on."""
    paths = companions(root, case)
    study = load_study(paths, use_truth=True)
    begun = time.perf_counter()
    found = pipeline.detect(study)
    seconds = time.perf_counter() - begun
    column = found.column
    findings = json.loads((root / "truth" / f"{case}.json").read_text())["findings"]
    fate = match(found.kept_labels, column.nodes, np.array([candidate.score for candidate in found.kept]))
    zones = {f["label"]: f["zone"] for f in findings if f.get("label")}
    hits = dict(zip(fate.node_labels.tolist(), (fate.found_by >= 0).tolist(), strict=True))
    wrong = [
        candidate
        for candidate, true, extra in zip(found.kept, fate.true_positive, fate.extra, strict=True)
        if not true and not extra
    ]
    kinds = [_lies_on(candidate, findings) for candidate in wrong]
    shares = {
        zone: f"{sum(hits.get(n, False) for n, z in zones.items() if z == zone)} of "
        f"{sum(z == zone for z in zones.values())}"
        for zone in ("proximal", "distal")
    }
    return shares | {
        "planted": len(zones),
        "found": sum(hits.values()),
        "candidates": len(found.kept),
        "false": len(wrong),
        "on benign nodes": kinds.count("node"),
        "on mimics": sum(kind not in (None, "node") for kind in kinds),
        "s": round(seconds, 2),
    }


def _lies_on(candidate: Candidate, findings: list[dict[str, Any]]) -> str | None:
    """Kind of the finding that the candidate's center lies in, or within `NEAR_MM` of; None if in none."""
    gaps = [
        np.linalg.norm(np.subtract(candidate.center_mm, f["center_mm"])) - f["radius_mm"] for f in findings
    ]
    nearest = int(np.argmin(gaps)) if gaps else None
    return None if nearest is None or gaps[nearest] > NEAR_MM else findings[nearest]["kind"]


def _sum(rows: list[dict[str, Any]], name: str) -> str:
    if isinstance(rows[0][name], str):
        parts = np.array([[int(word) for word in row[name].split(" of ")] for row in rows]).sum(axis=0)
        return f"{parts[0]} of {parts[1]}"
    return f"{sum(row[name] for row in rows):g}"


if __name__ == "__main__":
    main()
