"""How many nodes planted into a real CT each row finds, and its false candidates on real PET/CT pairs.

The CT is that of LUNG1-001, which no network has learned from, or another one (--ct). All planted patients
share that one CT, and the PET is synthetic (docs/real-images.md): the figures compare rows and weights, they
are no figures of patients. What each row makes of a patient is kept in --work, by the checksums of all that
it ran with, so that a run that was stopped goes on and a second one is quick.

    ./benchmarks/run planted --data FOLDER
    ./benchmarks/run planted --ct CT.nii.gz --ct-tumor TUMOR.nii.gz --patients 10
    ./benchmarks/run planted --data FOLDER --figure taken-for-nodes.png
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.archives import unpack
from benchmarks.experiment import WORK
from benchmarks.planted_drawing import draw
from benchmarks.planted_figures import (
    above_table,
    class_table,
    difference_table,
    false_table,
    painted,
    record,
    strength_table,
)
from benchmarks.planted_observer import observe
from benchmarks.real_image_checks import SET, store_case
from osln.cli.phantoms import read_ct_and_tumor
from osln.files.images import write_atomically
from osln.imaging.grid import Grid, canonical
from osln.imaging.lung_column import LungColumn
from osln.imaging.study import Study, build_study
from osln.metrics.intervals import setting
from osln.phantom import GENERATOR_VERSION, Phantom
from osln.phantom.planted.planting import PLANTING, plant
from osln.phantom.planted.real_ct import RealCt, survey
from osln.pipeline import Pipeline, in_use, load_pipeline
from osln.published import Published
from osln.rows.experiments import ROWS
from osln.stage_one.inference import Predictor
from osln.store.layout import companions, load_study
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
LUNG1 = Path("lung1-001")
TUMOR = "GTV-1"
DEFAULT_ROWS = ("lf-stratified", "ef-stratified", "osln", "osln-set-glnet", "osln-numbers")
RANKED_FROM = "precision 0.10"
"""Operating point from which the candidates of a row that ends with stage one are ranked by their score."""
FIRST_SEED = 9000
FORMAT = 2
"""Of the records; a change makes all of them anew."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant, detect what was not detected yet, print the tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help=f"folder that holds {LUNG1} and {SET.parts[0]}")
    parser.add_argument("--ct", type=Path, help="another CT: image file or DICOM folder")
    parser.add_argument("--ct-tumor", metavar="PATH[:ROI]", help="its tumor; one is planted if omitted")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=DEFAULT_ROWS, metavar="ROW")
    parser.add_argument("--patients", type=int, default=30, help="planted patients, one for each seed")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first one")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--than", type=Path, metavar="MODELS", help="other weights: differences from theirs")
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps what was found")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="what the CT has that is taken for a node")
    parser.add_argument(
        "--observers",
        type=float,
        nargs="+",
        metavar="MM",
        help="tell too what somebody finds who sees every node, its size with such errors",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every record")
    options = parser.parse_args(arguments)
    if (options.data is None) == (options.ct is None):
        parser.error("give --data FOLDER, or another CT by --ct PATH")
    if options.patients < 2:
        parser.error("--patients must be at least 2: intervals are over patients")
    try:
        real = (
            read_lung1(options.data)
            if options.ct is None
            else survey(*read_ct_and_tumor(options.ct, options.ct_tumor))
        )
        store = ModelStore(options.models)
        planted = look(real, store, options)
        others = look(real, ModelStore(options.than), options) if options.than else None
        pairs = look_at_pairs(options.data, store, options) if options.data else None
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(report(planted))
    if others is not None:
        sys.stdout.write(f"\nMinus the rows of {options.than}\n\n{difference_table(planted, others)}\n")
    if options.observers:
        sys.stdout.write(f"\nWho sees every node\n\n{strength_table(look_at_all(real, options))}\n")
    if pairs is not None:
        sys.stdout.write(f"\nCandidates on real pairs without nodes\n\n{above_table(pairs)}\n")
    if options.figure:
        draw(options.figure, real, planted)
    if options.json:
        command = " ".join(["planted", *(arguments or sys.argv[1:])])
        content = setting(command, planted=planted, pairs=pairs or [])
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def report(planted: dict[str, list[dict[str, Any]]]) -> str:
    """All tables about the planted patients."""
    first = next(iter(planted.values()))
    nodes = sum(len(one["nodes"]) for one in first)
    text = [f"{len(first)} patients planted into one CT, {nodes} nodes\n", strength_table(planted)]
    for number in (4, 8):
        text += [f"\nFound by class at {number} false candidates per patient\n", class_table(planted, number)]
    text += ["\nWhat the false ones lie on at 8 per patient\n", false_table(planted, 8)]
    text += ["\nIf nothing of the CT's own anatomy were taken for a node\n", strength_table(painted(planted))]
    return "\n".join(text) + "\n"


def read_lung1(data: Path) -> RealCt:
    """The planning CT with its tumor, from the archive or a folder.

    Raises:
        ValueError: If the data are not there.
    """
    archives = sorted((data / LUNG1).glob("*.tar.xz"))
    if not archives:
        raise ValueError(
            f"no archive *.tar.xz at {data / LUNG1}: it holds the CT of LUNG1-001 and its RTSTRUCT "
            "(docs/real-images.md tells where it comes from)"
        )
    with tempfile.TemporaryDirectory(prefix="osln-planted-") as folder:
        unpack(archives[0], folder)
        image = next(Path(folder).rglob("image"))
        structures = next(next(Path(folder).rglob("mask_rtstruct")).glob("*.dcm"))
        return survey(*read_ct_and_tumor(image, f"{structures}:{TUMOR}"))


def look(real: RealCt, store: ModelStore, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Records of every patient by row, made where there are none yet."""
    pipelines = load_rows(store, options.rows)
    folder = options.work / f"planted-{ct_key(real)}"
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in options.rows}
    for seed in tqdm(range(options.seed, options.seed + options.patients), "planted", disable=None):
        patient = cache(lambda seed=seed: plant(real, seed))
        for row, pipeline in pipelines.items():
            path = folder / str(seed) / f"{row}-{weights_key(pipeline)}.json"
            found[row].append(
                remembered(path, lambda patient=patient, pipeline=pipeline: find(pipeline, patient()))
            )
    return found


def look_at_all(real: RealCt, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Records of an observer of each error of the size."""
    seeds = range(options.seed, options.seed + options.patients)
    patients = [plant(real, seed).findings for seed in tqdm(seeds, "observed", disable=None)]
    return {
        f"size known to {error:g} mm": observe(patients, PLANTING, error, np.random.default_rng(0))
        for error in options.observers
    }


def load_rows(store: ModelStore, rows: Sequence[str]) -> dict[str, Pipeline]:
    """The rows with the weights in use; networks that several of them have answer once for a patient."""
    published = Published(store, rows=ROWS)
    shared: dict[str, Shared] = {}
    pipelines = {}
    for row in rows:
        made = in_use(ROWS[row], published, "cpu", None if ROWS[row].classifier else RANKED_FROM)
        sys.stderr.writelines(f"{row}: {warning}\n" for warning in made.warnings)
        networks = {name: shared.setdefault(name, Shared(one)) for name, one in made.networks.items()}
        pipelines[row] = replace(made, networks=networks)
    return pipelines


class Shared(Predictor):
    """A network that remembers its answer for the last patient."""

    def __init__(self, network: Predictor) -> None:
        vars(self).update(vars(network))
        self._last: tuple[bytes, np.ndarray] | None = None

    def probability(self, column: LungColumn) -> np.ndarray:
        """As `Predictor.probability`."""
        key = hashlib.sha256(f"{column.case} {column.grid}".encode() + column.ct_hu.tobytes()).digest()
        if self._last is None or self._last[0] != key:
            self._last = key, super().probability(column)
        return self._last[1]


def look_at_pairs(data: Path, store: ModelStore, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Candidates above each row's operating point on every real pair, which has no node: all are false."""
    sources = sorted(path.parent for path in (data / SET).glob("*/CT_image.nii.gz"))
    if not sources:
        raise ValueError(f"no patient at {data / SET}: expected folders with CT_image.nii.gz")
    found = []
    with tempfile.TemporaryDirectory(prefix="osln-planted-") as folder:
        for row in options.rows:
            pipeline = load_pipeline(store, row)
            for source in tqdm(sources, row, disable=None):
                case = store_case(source, Path(folder))
                kept = pipeline.detect(load_study(companions(Path(folder), case))).kept
                found.append({"row": row, "point": pipeline.point, "case": case, "candidates": len(kept)})
    return found


def weights_key(pipeline: Pipeline) -> str:
    """Short name of all that was learned and of the threshold of stage one."""
    content = json.dumps([pipeline.checksums, pipeline.threshold], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def ct_key(real: RealCt) -> str:
    """Short name of all that the planted patients depend on besides the seed."""
    digest = hashlib.sha256(repr((FORMAT, GENERATOR_VERSION, asdict(PLANTING))).encode())
    digest.update(real.ct.array.tobytes())
    digest.update(b"" if real.tumor is None else np.packbits(real.tumor).tobytes())
    return digest.hexdigest()[:12]


def remembered(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The content of a JSON file, made and written whole if there is none."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(make()).encode())
    return json.loads(path.read_text())


def find(pipeline: Pipeline, phantom: Phantom) -> dict[str, Any]:
    """What a row makes of a planted patient."""
    return record(pipeline.detect(as_study(phantom)), phantom.findings)


def as_study(phantom: Phantom) -> Study:
    """A phantom as a patient whose nodes are known, without files."""
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    pet = canonical(phantom.pet_suv, Grid(phantom.pet_suv.shape, phantom.pet_affine))
    ct, tumor, nodes = (canonical(one, grid) for one in (phantom.ct_hu, phantom.tumor, phantom.nodes))
    return build_study(f"planted-{phantom.seed}", ct, pet, tumor, nodes)


if __name__ == "__main__":
    sys.exit(main())
