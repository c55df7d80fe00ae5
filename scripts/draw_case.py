"""Draws what is found in a case of a store: CT with PET, tumor, candidates and, of a phantom, the truth."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "apps" / "osln"))

from osln.experiments import EXPERIMENTS  # noqa: E402
from osln.grid import read_volume, resample  # noqa: E402
from osln.pictures import draw_detections, save_picture  # noqa: E402
from osln.pipeline import load_pipeline  # noqa: E402
from osln.store.layout import companions, load_study  # noqa: E402
from osln.weights import ModelStore  # noqa: E402


def main() -> None:
    """Detects and draws one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", help="case id")
    parser.add_argument("--studies", type=Path, default=ROOT / "sample-datastore", help="store")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--experiment", choices=EXPERIMENTS, default="osln", help="row of the table")
    parser.add_argument("--output", type=Path, default=Path("case.png"), help="PNG to write")
    options = parser.parse_args()

    paths = companions(options.studies, options.case)
    study = load_study(replace(paths, nodes=None))
    pipeline = load_pipeline(ModelStore(options.models), options.experiment)
    found = pipeline.detect(study)
    truth = None
    if paths.truth is not None:
        nodes = read_volume(paths.truth)
        truth = resample(nodes.array, nodes.grid, found.column.grid, nearest=True)
    kind = "synthetic phantom, " if paths.truth is not None else ""
    save_picture(
        draw_detections(found, truth, f"{options.case} ({kind}{pipeline.experiment.title})"), options.output
    )
    kept = sum(candidate.kept for candidate in found.candidates)
    sys.stdout.write(f"{options.output}: {len(found.candidates)} candidates, {kept} kept\n")


if __name__ == "__main__":
    main()
