"""Phantom patients as training columns, kept in folders so that they are made once."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from osln.imaging import column_file
from osln.imaging.column_file import load_column, save_column
from osln.imaging.grid import Grid, Volume, canonical, read_volume
from osln.imaging.lung_column import LungColumn, compact, prepare
from osln.imaging.study import build_study
from osln.phantom import GENERATOR_VERSION, Phantom, PhantomParameters, RealisticParameters
from osln.phantom.findings.tags import TAGS_VERSION
from osln.phantom.parameters import BLIND, ZONED
from osln.phantom.patient.plan import grid_axes, plan_patient
from osln.phantom.patient.scan import axes_affine, image_ct, image_patient
from osln.phantom.planted.planting import PLANTING, plant
from osln.phantom.planted.real_ct import RealCt, survey
from osln.rows.experiments import Preset

FIRST_SEED = {
    "train": 100_000,
    "validation": 200_000,
    "test": 300_000,
    "stage two": 400_000,
    "tagger": 500_000,
    "clicks": 600_000,
}
"""First phantom seed of each split; patients of different splits never share a seed."""
CENTER_MM = (0.0, -10.0)
"""Where the lungs of the phantoms lie in x and y on average, as `prepare` would find them."""
LENGTH_MM = (0.0, 312.0)
KINDS: Mapping[str, tuple[PhantomParameters, ...]] = {
    "default": (PhantomParameters(),),
    "realistic": (RealisticParameters(),),
    "mixed": (PhantomParameters(), RealisticParameters()),
    "blind": (replace(PhantomParameters(), **BLIND),),
    "zoned": (replace(PhantomParameters(), **ZONED),),
}
"""Of the command line, by name (docs/experiments.md); of the mixed ones every second is realistic."""
PLANTED_SPLITS = ("train", "stage two")
"""Splits of which some patients are planted into real CTs, where such are given; no figure is of these."""
PLANTED_EVERY = 4
"""Of these splits, each so-manieth patient is, unless said: of mixed kinds always a default one."""
Spacing = tuple[float, float, float]
SECONDS = 1.5
"""One core for one phantom of the demo preset's grid."""


@dataclass(frozen=True)
class Patient:
    """A phantom as networks see it, and what is in it.

    Attributes:
        column: Compact column; `nodes` holds the instances that count.
        findings: Every node and every mimic: kind, center_mm (RAS), short_axis_mm, long_axis_mm, tags.
    """

    column: LungColumn
    findings: tuple[Mapping[str, Any], ...] = ()


def cohort_key(preset: Preset, parameters: PhantomParameters) -> str:
    """Short name of everything that the columns depend on besides the seed."""
    content = (
        column_file.FORMAT,
        GENERATOR_VERSION,
        asdict(parameters),
        preset.spacing_mm,
        preset.window,
        CENTER_MM,
        LENGTH_MM,
        *["prefilter"] * preset.prefilter,
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Background:
    """A real CT that patients are planted into, to learn from.

    What is in it besides is taken for no node. That is assumed: nodes of its own are not known, and a network
    learns to leave them out.

    Args:
        path: Image file, in HU, of a CT that shows both lungs or their bases.
    """

    path: Path

    @cached_property
    def key(self) -> str:
        """Of all that the planted patients depend on besides seed and grid."""
        digest = hashlib.sha256(repr((GENERATOR_VERSION, asdict(PLANTING))).encode())
        digest.update(self.path.read_bytes())
        return digest.hexdigest()[:12]

    def phantom(self, seed: int, every_node: bool = False) -> Phantom:
        """What is planted by a seed; nodes that do not count are labelled on demand.

        Raises:
            ValueError: The CT is none that can be planted into; says why.
        """
        try:
            return plant(_surveyed(self.path), seed, every_node=every_node)
        except ValueError as error:
            raise ValueError(f"{self.path} cannot be planted into: {error}") from error


@lru_cache(maxsize=4)
def _surveyed(path: Path) -> RealCt:
    return survey(read_volume(path))


def split_seeds(split: str, count: int) -> range:
    """Phantom seeds of the first `count` patients of a split."""
    return range(FIRST_SEED[split], FIRST_SEED[split] + count)


def make_patient(
    seed: int, preset: Preset, parameters: PhantomParameters | None = None, every_node: bool = False
) -> Patient:
    """Make a phantom and prepare it like a patient.

    Only the lung column is imaged, which is what `prepare` would cut out of the whole body. It is as
    wide as at inference, so that the networks see skin and back muscle too.

    Args:
        seed: The phantom's seed.
        preset: Gives the working grid.
        parameters: The phantom's numbers; the frozen ones if omitted.
        every_node: The nodes that do not count are labelled, too.
    """
    plan = plan_patient(seed, parameters or PhantomParameters())
    phantom = image_patient(plan, grid_axes(_imaged_box(preset), preset.spacing_mm), every_node=every_node)
    return as_patient(phantom, preset)


def fine_ct(seed: int, preset: Preset, parameters: PhantomParameters, spacing_mm: Spacing) -> Volume:
    """The CT of the phantom that `make_patient` makes, over the same box in voxels of another size."""
    axes = grid_axes(_imaged_box(preset), spacing_mm)
    image = image_ct(plan_patient(seed, parameters), axes)
    return canonical(image, Grid(image.shape, axes_affine(axes)))


def _imaged_box(preset: Preset) -> list[tuple[float, float]]:
    half = [0.5 * size * step for size, step in zip(preset.window, preset.spacing_mm, strict=True)]
    return [*((c - h, c + h) for c, h in zip(CENTER_MM, half[:2], strict=True)), LENGTH_MM]


def as_patient(phantom: Phantom, preset: Preset) -> Patient:
    """A phantom as networks see it."""
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    study = build_study(
        f"phantom-{phantom.seed}",
        canonical(phantom.ct_hu, grid),
        canonical(phantom.pet_suv, Grid(phantom.pet_suv.shape, phantom.pet_affine)),
        canonical(phantom.tumor, grid),
        canonical(phantom.nodes, grid),
    )
    kept = ("kind", "center_mm", "short_axis_mm", "long_axis_mm", "tags")
    return Patient(
        column=compact(prepare(study, preset)),
        findings=tuple(
            {name: value for name, value in finding.to_json().items() if name in kept}
            for finding in phantom.findings
        ),
    )


@dataclass(frozen=True)
class PhantomCohort:
    """Phantoms of one preset in folders; a `osln.cohorts.cohort.Cohort` if it knows its sizes.

    Args:
        root: Folder of these folders; a column has about 6 MB.
        preset: Gives the working grid.
        kinds: The phantom's numbers; of several, patients take turns by their seeds, planted ones included.
        sizes: Number of patients of each split.
        backgrounds: Real CTs by turns for some patients of `PLANTED_SPLITS`.
        ct_spacing_mm: Voxels of the CT that the tagger looks at, as a scanner would give it; the column's
            own if omitted. It is made whenever it is asked for.
        planted_every: Of `PLANTED_SPLITS`, each so-manieth patient is planted. It takes the place of the
            phantom of that seed: of two kinds, an even number replaces the first alone. Of mixed ones with 4
            half are realistic, a quarter default and a quarter planted; with 2 none is default.
        every_node: The nodes that do not count are labelled, too, in the same images.

    Raises:
        ValueError: There is no kind.
    """

    root: Path
    preset: Preset
    kinds: tuple[PhantomParameters, ...] = (PhantomParameters(),)
    sizes: Mapping[str, int] = field(default_factory=dict)
    backgrounds: tuple[Background, ...] = ()
    ct_spacing_mm: Spacing | None = None
    planted_every: int = PLANTED_EVERY
    every_node: bool = False

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("expected at least one kind of phantoms, got none")

    @property
    def name(self) -> str:
        """Of the kinds: a key of `KINDS`, or "other"."""
        return _name(self.kinds)

    def parts(self, split: str) -> Counter[str]:
        """How many of a split's patients are phantoms of each kind, by its name, and "planted"."""
        seeds = split_seeds(split, self.sizes.get(split, 0))
        return Counter("planted" if self.background(seed) else _name((self._kind(seed),)) for seed in seeds)

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Of each kind, so that cohorts share the patients that they have in common."""
        keys = (cohort_key(self.preset, kind) for kind in self.kinds)
        return tuple(self.root / f"phantoms-{key}{self._labels}" for key in keys)

    @property
    def _labels(self) -> str:
        return "-every-node" if self.every_node else ""

    def taught(self, every_node: bool) -> "PhantomCohort":
        """As `Cohort.taught`."""
        return replace(self, every_node=every_node)

    def patient(self, seed: int) -> Patient:
        """The patient of a seed, read from the folder or made and stored there."""
        path = self._path(seed)
        if path.is_file():
            column, more = load_column(path)
            if more.get("tags") == TAGS_VERSION:
                return Patient(column, tuple(more["findings"]))
        background = self.background(seed)
        if background is None:
            patient = make_patient(seed, self.preset, self._kind(seed), self.every_node)
        else:
            patient = as_patient(background.phantom(seed, self.every_node), self.preset)
        save_column(path, patient.column, {"findings": patient.findings, "tags": TAGS_VERSION})
        return patient

    def background(self, seed: int) -> Background | None:
        """The real CT that the patient of a seed is planted into; None for a phantom."""
        turn, rest = divmod(seed, self.planted_every)
        if not self.backgrounds or rest or _split_of(seed) not in PLANTED_SPLITS:
            return None
        return self.backgrounds[turn % len(self.backgrounds)]

    def _kind(self, seed: int) -> PhantomParameters:
        return self.kinds[seed % len(self.kinds)]

    def _path(self, seed: int) -> Path:
        background = self.background(seed)
        if background is not None:
            key = cohort_key(self.preset, PLANTING)
            return self.root / f"planted-{background.key}-{key}{self._labels}" / f"{seed}.npz"
        return self.folders[seed % len(self.folders)] / f"{seed}.npz"

    def patients(self, seeds: Iterable[int]) -> Iterator[Patient]:
        """The patients of several seeds, one after the other."""
        for seed in seeds:
            yield self.patient(seed)

    @property
    def trained_on(self) -> str:
        return "phantom"

    @property
    def seconds(self) -> float:
        return SECONDS

    @property
    def left_out_cases(self) -> Mapping[str, str]:
        return {}

    def cases(self, split: str) -> tuple[str, ...]:
        """Ids of a split's patients; those of "stage two" are no training patients of stage one."""
        return tuple(f"phantom-{seed}" for seed in split_seeds(split, self.sizes.get(split, 0)))

    def patients_of(self, split: str) -> tuple[str, ...]:
        """The patient of each case: another one each."""
        return self.cases(split)

    def path(self, case: str) -> Path:
        """File of a case's column."""
        return self._path(_seed(case))

    def column(self, case: str) -> LungColumn:
        """The case, made if need be."""
        path = self.path(case)
        # Of former tags, too: the images are the same.
        return load_column(path)[0] if path.is_file() else self.patient(_seed(case)).column

    def ct(self, case: str) -> Volume:
        """CT for the tagger: a planted patient's is the real one's, in its own voxels."""
        seed = _seed(case)
        if self.ct_spacing_mm is None:
            column = self.column(case)
            return Volume(column.ct_hu, column.grid, column.grid)
        if background := self.background(seed):
            phantom = background.phantom(seed)
            return canonical(phantom.ct_hu, Grid(phantom.ct_hu.shape, phantom.affine))
        return fine_ct(seed, self.preset, self._kind(seed), self.ct_spacing_mm)

    @property
    def ct_mark(self) -> str:
        """Of names of files that depend on the voxels of `ct`; empty if these are the column's."""
        return "x".join(f"{step:g}" for step in self.ct_spacing_mm or ())

    def findings(self, case: str) -> tuple[Mapping[str, Any], ...]:
        """Every node and every mimic of the case."""
        return self.patient(_seed(case)).findings

    def fingerprint(self, case: str) -> str:
        """What a case's column depends on."""
        return f"{self.path(case).parent.name}/{case}"

    def unseen_part(self, case: str) -> tuple[str, ...]:
        """Nobody: no network of stage one learns from the patients of stage two."""
        return ()


def _name(kinds: tuple[PhantomParameters, ...]) -> str:
    return next((name for name, those in KINDS.items() if those == kinds), "other")


def _split_of(seed: int) -> str | None:
    """The split that a seed belongs to, however many patients it has; None below the first."""
    first = {start: split for split, start in FIRST_SEED.items() if start <= seed}
    return first[max(first)] if first else None


def _seed(case: str) -> int:
    return int(case.removeprefix("phantom-"))
