"""Measures ways of fusing the streams, dropping candidates in the tumor, and the filter before larger voxels.

The fusion is fitted, and every operating point set, on phantoms of the validation split; other phantoms, of
seeds that nothing else uses, and the cases of stores with `truth/` are the tests. These phantoms are made on
the working grid; a store's CTs are finer, so that there the filter, which the networks have not learned with,
is a variant too. Columns and maps are kept in --work, so that an interrupted run goes on.

    ./scripts/osln phantoms --out planted --cases 12 --seed 7000 --ct CT --ct-tumor RTSTRUCT.dcm:GTV-1
    ./scripts/osln phantoms --out fine --cases 12 --seed 330000 --field column --spacing 1 1 3
    ./benchmarks/run fusion --work FOLDER --stores planted fine
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from osln.cohorts.phantoms import PhantomCohort, split_seeds
from osln.files.arrays import write_arrays
from osln.imaging.column_file import load_column, save_column
from osln.imaging.distance import zone_mask
from osln.imaging.grid import Grid, Volume
from osln.imaging.lung_column import LungColumn, compact, prepare
from osln.imaging.lungs import BELOW_TISSUE_HU, lungs_in
from osln.metrics.bootstrap import DRAWS, Distribution, distribution, resamples
from osln.metrics.definitions import Counts, mean_recall, operating_thresholds
from osln.metrics.froc import froc
from osln.metrics.matching import Scored, match
from osln.metrics.sweep import sweep
from osln.rows.experiments import ROWS, Row
from osln.stage_one.candidates import find_candidates
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import FusionLesson, LearnedFusion
from osln.store.layout import StorePaths, companions, load_study
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
FIRST_TEST_SEED = 320_000
"""Beyond every split's seeds (`phantoms.FIRST_SEED`)."""
PRECISION = "0.10"
"""Operating point of the candidates: enough of them for 16 false ones per patient."""
FALSE = (2.0, 4.0, 8.0, 16.0)
STREAMS = {"ct": ("ct-proximal", "ct-distal"), "ef": ("ef-proximal", "ef-distal")}
NAMES = ROWS["lf-stratified"].segmenters
VARIANTS = {
    "maximum (paper)": ROWS["lf-stratified"],
    "mean of log odds": ROWS["lf-mean"],
    "early fusion alone": ROWS["ef-stratified"],
    "learned": ROWS["lf-learned"],
    "maximum, outside the tumor": ROWS["lf-outside"],
    "learned, outside the tumor": ROWS["lf-learned-outside"],
}
FIRST = next(iter(VARIANTS))
FILTERED = {
    f"{name}, prefilter": VARIANTS[name] for name in ("maximum (paper)", "early fusion alone", "learned")
}
"""Variants of patients prepared with the filter, at the operating points of those without."""


@dataclass(frozen=True)
class Patient:
    """A column with the map of each stream: the proximal network in its zone, the distal one in the other.

    Attributes:
        base_mm: Lowest z of the lungs, RAS mm; None of a phantom, whose column is all there is.
    """

    column: LungColumn
    maps: Mapping[str, np.ndarray]
    base_mm: float | None = None

    def fused(self, row: Row, learned: LearnedFusion) -> np.ndarray:
        """(x, y, z) map of a row."""
        return fused_by(row, self.maps, self.column, learned)


def fused_by(
    row: Row, maps: Mapping[str, np.ndarray], column: LungColumn, learned: LearnedFusion | None = None
) -> np.ndarray:
    """(x, y, z) map of a row, of the maps of its own networks among others."""
    return fused_map(row, {name: maps[name] for name in row.segmenters}, column.distance_mm, learned)


class Maps:
    """Makes the maps of patients, or reads those that are there.

    Args:
        models: Of the four networks.
        work: Where they are kept.
        prefilter: Prepare patients with the filter, whatever the networks have learned with.
    """

    def __init__(self, models: ModelStore, work: Path, prefilter: bool = False) -> None:
        checkpoints = {name: models.load(name) for name in NAMES}
        if prefilter:
            work = work / "prefilter"
            checkpoints = {
                name: replace(one, scaling=replace(one.scaling, prefilter=True))
                for name, one in checkpoints.items()
            }
        # Single precision: figures should not depend on the processor more than they must.
        self._networks = {name: Predictor(one, number_format="f32") for name, one in checkpoints.items()}
        self.preset = next(iter(self._networks.values())).preset
        self.work = work
        self._weights = short_key([models.checksum(name) for name in NAMES])

    def phantoms(self, seeds: Sequence[int]) -> Iterator[Patient]:
        """Generated patients."""
        cohort = PhantomCohort(self.work, self.preset)
        for seed in seeds:
            case = f"phantom-{seed}"
            yield self._patient(f"{seed}-{short_key(cohort.fingerprint(case))}", cohort.patient(seed).column)

    def stored(self, root: Path) -> Iterator[Patient]:
        """The cases of a store with the truth."""
        for path in sorted(root.glob("*.nii.gz")):
            case = path.name.removesuffix(".nii.gz")
            paths = companions(root, case)
            # Stores have cases of the same names.
            name = f"{case}-{short_key(marks(paths))}"
            kept = self.work / "planted" / f"{name}.npz"
            if not kept.is_file():
                study = load_study(paths, use_truth=True)
                column = compact(prepare(study, self.preset))
                save_column(kept, column, {"base_mm": lung_base_mm(study.ct)})
            column, more = load_column(kept)
            yield self._patient(name, column, more["base_mm"])

    def _patient(self, name: str, column: LungColumn, base_mm: float | None = None) -> Patient:
        path = self.work / f"maps-{self._weights}-{name}.npz"
        if not path.is_file():
            near = zone_mask(column.distance_mm, "proximal")  # type: ignore[arg-type]
            maps = {}
            for stream, (proximal, distal) in STREAMS.items():
                inside, outside = (self._networks[name].probability(column) for name in (proximal, distal))
                maps[stream] = np.where(near, inside, outside)
            write_arrays(path, maps)
        with np.load(path) as stored:
            maps = {name: stored[stream] for stream, names in STREAMS.items() for name in names}
        return Patient(column, maps, base_mm)


def marks(paths: StorePaths) -> list[tuple[str, int, int]]:
    """What changes when a file that a case is prepared from is another one: name, size and time of each."""
    files = [one for one in (paths.ct, paths.pet, paths.tumor, paths.truth) if one is not None]
    return [(str(one.resolve()), one.stat().st_size, one.stat().st_mtime_ns) for one in files]


def short_key(content: object) -> str:
    """Of all that something kept was made from."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def lung_base_mm(ct: Volume) -> float:
    """Lowest z of the lungs, RAS mm."""
    hu = ct.array[::4, ::4]
    grid = Grid(hu.shape, ct.grid.affine @ np.diag([4.0, 4.0, 1.0, 1.0]))
    lungs = lungs_in(np.ascontiguousarray(hu < BELOW_TISSUE_HU), hu, grid)
    return float(grid.index_to_mm(np.argwhere(lungs))[:, 2].min())


def main() -> None:
    """Fits on validation, measures the others, prints a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for columns and maps")
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="stores with truth/")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--fit", type=int, default=30, help="validation phantoms (%(default)s)")
    parser.add_argument("--test", type=int, default=40, help="test phantoms (%(default)s)")
    options = parser.parse_args()
    models = ModelStore(options.models)
    maps = Maps(models, options.work)
    learned, thresholds = fitted(listed(maps.phantoms(split_seeds("validation", options.fit)), options.fit))
    for zone, fit in learned.zones.items():
        sys.stdout.write(f"{zone}: {fit}\n")
    seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + options.test)
    found = listed(maps.phantoms(seeds), options.test)
    measure("phantoms", {name: (row, found) for name, row in VARIANTS.items()}, learned, thresholds)
    for root in options.stores:
        found = listed(maps.stored(root), None)
        filtered = listed(Maps(models, options.work, prefilter=True).stored(root), None)
        variants = {name: (row, found) for name, row in VARIANTS.items()}
        variants |= {name: (row, filtered) for name, row in FILTERED.items()}
        measure(root.name, variants, learned, thresholds)


def listed(patients: Iterator[Patient], total: int | None) -> list[Patient]:
    """All of them, with a progress bar."""
    return list(tqdm(patients, total=total, mininterval=10))


def fitted(patients: Sequence[Patient]) -> tuple[LearnedFusion, dict[str, float]]:
    """The fusion, and each variant's threshold at `PRECISION`."""
    lesson = FusionLesson(NAMES)
    for one in patients:
        lesson.look(one.maps, one.column.distance_mm, one.column.nodes)  # type: ignore[arg-type]
    learned = lesson.fit()
    return learned, {
        name: operating_thresholds(swept(patients, row, learned))[PRECISION] for name, row in VARIANTS.items()
    }


def swept(patients: Sequence[Patient], row: Row, learned: LearnedFusion) -> Counts:
    """What the maps of a row find at every threshold; candidates in the tumor count."""
    return Counts.of(
        [
            sweep(one.fused(row, learned), one.column.nodes).with_missed(one.column.nodes_outside())  # type: ignore[arg-type]
            for one in patients
        ]
    )


@dataclass(frozen=True)
class Found:
    """The candidates of one patient as (score, hit) pairs, and where they lie.

    Attributes:
        in_tumor, below: False candidates and hits whose center lies in the tumor, or below the lungs.
    """

    pairs: Scored
    in_tumor: tuple[int, int]
    below: tuple[int, int]


def found_in(patient: Patient, row: Row, learned: LearnedFusion, threshold: float) -> Found:
    """What a row finds in a patient."""
    column = patient.column
    candidates, labels = find_candidates(
        patient.fused(row, learned), threshold, column, in_tumor=row.in_tumor
    )
    fate = match(labels, column.nodes, np.array([one.score for one in candidates]))
    pairs = fate.scored()
    base = -np.inf if patient.base_mm is None else patient.base_mm
    inside = np.array([(one.distance_mm or 0.0) <= 0 for one in candidates], dtype=bool)
    below = np.array([one.center_mm[2] < base for one in candidates], dtype=bool)
    counts = [
        (int((where & fate.false_positive).sum()), int((where & fate.true_positive).sum()))
        for where in (inside, below)
    ]
    missed = pairs.n_nodes + column.nodes_outside()
    return Found(Scored(pairs.scores, pairs.hits, missed), *counts)


def measure(
    name: str,
    variants: Mapping[str, tuple[Row, Sequence[Patient]]],
    learned: LearnedFusion,
    thresholds: Mapping[str, float],
) -> None:
    """Prints the tables of one test: figures, then paired differences from the first variant."""
    patients = variants[FIRST][1]
    weights = resamples(len(patients), DRAWS)
    nodes = sum(len(np.unique(one.column.nodes)) - 1 + one.column.nodes_outside() for one in patients)
    sys.stdout.write(
        f"\n{name}: {len(patients)} patients, {nodes} nodes; candidates at precision {PRECISION}\n"
    )
    figures, counts = {}, []
    for variant, (row, patients) in variants.items():
        threshold = thresholds[variant.removesuffix(", prefilter")]
        told = [found_in(one, row, learned, threshold) for one in patients]
        figures[variant] = froc_figures([one.pairs for one in told], weights)
        if row.in_tumor:
            figures[variant]["mRecall"] = distribution([swept(patients, row, learned)], mean_recall, weights)
        hits = sum(int(one.pairs.hits.sum()) for one in told)
        false = sum(int((~one.pairs.hits).sum()) for one in told)
        places = [tuple(map(sum, zip(*(getattr(one, at) for one in told), strict=True))) for at in PLACES]
        counts.append((variant, hits, false, *(f"{wrong} and {right}" for wrong, right in places)))
    first = figures[FIRST]
    apart = {
        variant: {one: value - first[one] for one, value in row.items()}
        for variant, row in figures.items()
        if variant != FIRST
    }
    heads = list(first)
    for title, rows in (("", figures), ("difference from the maximum", apart)):
        cells = [
            (variant, *(interval(row[one]) if one in row else "" for one in heads))
            for variant, row in rows.items()
        ]
        print_table((title, *heads), cells)
    print_table(
        ("", "found", "false", "false and found in the tumor", "false and found below the lungs"), counts
    )


PLACES = ("in_tumor", "below")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """In Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    sys.stdout.write("\n" + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines))
    sys.stdout.flush()


def froc_figures(pairs: Sequence[Scored], weights: np.ndarray) -> dict[str, Distribution]:
    """Sensitivity at `FALSE` false positives per patient and mFROC, of the cohort and of resamples."""
    lines = [np.ones(len(pairs)), *weights]
    values = []
    for line in lines:
        curve = froc([one for one, times in zip(pairs, line, strict=True) for _ in range(int(times))])
        values.append([*curve.at(FALSE), curve.mean()])
    columns = np.array(values).T
    names = [*(f"@{at:g}" for at in FALSE), "mFROC"]
    return {
        name: Distribution(float(column[0]), column[1:], column[:1])
        for name, column in zip(names, columns, strict=True)
    }


def interval(one: Distribution) -> str:
    """A figure with its 95 % interval."""
    found = one.interval()
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    main()
