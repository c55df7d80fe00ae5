"""Draws what is found in a case of a store: CT with PET, tumor, candidates and, of a phantom, the truth."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from osln.cli.options import ROOT
from osln.imaging.grid import read_volume, resample
from osln.pictures import draw_detections, save_picture
from osln.pipeline import load_pipeline
from osln.rows.experiments import ROWS
from osln.store.layout import companions, load_study
from osln.weights.model_store import ModelStore


def main() -> None:
    """Detects and draws one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", help="case id")
    parser.add_argument("--studies", type=Path, default=ROOT / "sample-datastore", help="store")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--experiment", choices=ROWS, default="osln", help="row of the table")
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
