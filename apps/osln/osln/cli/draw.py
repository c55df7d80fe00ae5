"""Draw what is found in a case of a store: CT with PET, tumor, candidates and, of a phantom, the truth."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from osln.cli.options import add_device, add_models, add_out, add_store, command
from osln.cli.progress import shares
from osln.rows.experiments import DEFAULT_ROW, ROWS


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "draw", __doc__, "phantom-02 --out phantom-02.png")
    parser.add_argument("case", help="case id")
    add_store(parser)
    add_models(parser)
    parser.add_argument("--model", choices=ROWS, default=DEFAULT_ROW, help="row of the tables (%(default)s)")
    add_device(parser)
    add_out(parser, "PNG to write (%(default)s)", default=Path("case.png"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Detect and draw one case."""
    with shares() as tell:
        tell("loading what is needed", 0.0)
        from osln.imaging.grid import read_volume
        from osln.imaging.resampling import resample
        from osln.pictures import draw_detections, save_picture
        from osln.pipeline import load_pipeline
        from osln.store.layout import companions, load_study
        from osln.weights.model_store import ModelStore

        tell("reading the images", 0.2)
        paths = companions(options.store, options.case)
        study = load_study(replace(paths, nodes=None))
        tell("loading the networks", 0.3)
        pipeline = load_pipeline(ModelStore(options.models), options.model, device=options.device)
        sys.stderr.writelines(f"{warning}\n" for warning in pipeline.warnings)
        tell("finding nodes", 0.4)
        found = pipeline.detect(study)
        tell("drawing", 0.8)
        truth, kind = None, ""
        if paths.truth is not None:
            nodes, kind = read_volume(paths.truth), "synthetic phantom, "
            truth = resample(nodes.array, nodes.grid, found.column.grid, nearest=True)
        title = f"{options.case} ({kind}{pipeline.row.title})"
        save_picture(draw_detections(found, truth, title), options.out)
        tell("done", 1.0)
    kept = sum(candidate.kept for candidate in found.candidates)
    sys.stdout.write(f"{options.out}: {len(found.candidates)} candidates, {kept} kept\n")
    return 0
