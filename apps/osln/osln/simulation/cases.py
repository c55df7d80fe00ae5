"""A patient of a simulation: candidates of the shipped stage one, kept with all that is asked of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from osln.active.descriptors import descriptor
from osln.active.evidence import CaseEvidence
from osln.active.gathering import case_evidence
from osln.cohorts.phantoms import make_patient
from osln.files.arrays import write_arrays, write_json
from osln.files.code import code_key
from osln.imaging.lung_column import LungColumn
from osln.jobs.worker import tell
from osln.metrics.matching import Overlaps, Scored
from osln.phantom import GENERATOR_VERSION, PhantomParameters
from osln.rows.experiments import PRESETS, ROWS, Preset
from osln.simulation.code import CANDIDATES
from osln.simulation.cohorts import Site
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_one.fusion import late_fusion, stream_means
from osln.stage_one.inference import Predictor
from osln.stage_two.candidate_sets import CandidateSet, candidate_set, load_set, save_set
from osln.stage_two.numbers import candidate_numbers
from osln.weights.checkpoint import load_checkpoint
from osln.weights.model_store import sha256_of

ROW = ROWS["lf-stratified"]
"""Stage one."""
DEMO = PRESETS["demo"]
"""Of the shipped weights."""
FORMAT = 1
"""Of everything that is kept here; another one makes it anew."""


@dataclass(frozen=True)
class StageOne:
    """Stage one as it is used.

    Attributes:
        weights: File of each network of `ROW`, by name.
        precisions: Threshold of the fused map by the precision that it was measured for, in words.
    """

    weights: Mapping[str, Path]
    precisions: Mapping[str, float]

    @classmethod
    def shipped(cls, folder: Path, precisions: Sequence[str]) -> "StageOne":
        """The weights that come with the software.

        Raises:
            ValueError: They are not there, or a precision was not measured.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            raise ValueError(f"no weights in {folder}: give the folder of a manifest.json")
        known = json.loads(path.read_text())["thresholds"][ROW.name]
        if unknown := [one for one in precisions if one not in known]:
            raise ValueError(
                f"no operating point at precision {unknown[0]}: there are those at {', '.join(known)}"
            )
        weights = {name: folder / f"{name}.pt" for name in ROW.segmenters}
        return cls(weights, {one: float(known[one]) for one in precisions})

    @cached_property
    def _key(self) -> list[str]:
        return [GENERATOR_VERSION, str(FORMAT), code_key(CANDIDATES), *map(sha256_of, self.weights.values())]

    def path(self, work: Path, parameters: PhantomParameters, precision: str, case: str) -> Path:
        """File of a patient's candidates at an operating point; its name depends on all they are made of."""
        content = repr((*self._key, asdict(parameters), self.precisions[precision], DEMO.name))
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
        return work / f"candidates-at-{precision}-{key}" / f"{case}.npz"


@dataclass(frozen=True)
class Case:
    """What a simulation keeps in memory of a patient; m candidates in the order of the evidence.

    Attributes:
        name: Its id.
        evidence: Of stage one alone.
        numbers: (m, 39) as `candidate_numbers` gives them.
        truth: (m,) int8: 1 for a hit, 0 for a false candidate, negative for neither.
        overlaps: Of the candidates with the nodes.
        looks: What `diverse` compares cases by.
        path: File of its `CandidateSet`, with the patches.
    """

    name: str
    evidence: CaseEvidence
    numbers: np.ndarray
    truth: np.ndarray
    overlaps: Overlaps
    looks: tuple[float, ...]
    path: Path

    @property
    def stage_one(self) -> np.ndarray:
        """(m,) scores of stage one."""
        return np.array([one.stage_one for one in self.evidence.candidates])

    @property
    def missed(self) -> int:
        """Nodes that no candidate hits: whoever looks at the whole case adds them."""
        hit = np.unique(self.overlaps.touched[self.overlaps.fits])
        return len(self.overlaps.node_labels) - len(hit)

    def scored(self, scores: np.ndarray) -> Scored:
        """The (score, hit) pairs under (m,) scores."""
        return self.overlaps.matching(scores).scored()

    def candidates(self) -> CandidateSet:
        """With patches, read from the file."""
        return load_set(self.path)


def make_cases(cases: Mapping[str, Site], stage_one: StageOne, preset: Preset, work: Path) -> None:
    """Generate patients, find their candidates and keep these; what is kept already is not made again.

    Args:
        cases: Where each patient comes from, by id.
        stage_one: Finds the candidates, at each of its operating points.
        preset: Of the networks.
        work: Where `StageOne.path` has its files.
    """
    networks = {name: Predictor(load_checkpoint(path)) for name, path in stage_one.weights.items()}
    for number, (case, site) in enumerate(cases.items(), start=1):
        paths = {one: stage_one.path(work, site.parameters, one, case) for one in stage_one.precisions}
        if not all(is_kept(path) for path in paths.values()):
            seed = int(case.removeprefix("phantom-"))
            column = make_patient(seed, preset, site.parameters).column
            maps = {name: network.probability(column) for name, network in networks.items()}
            prob = late_fusion(maps, column.distance_mm)
            for precision, path in paths.items():
                keep_case(path, column, maps, prob, stage_one.precisions[precision], preset)
        tell(number / len(cases))


def keep_case(
    path: Path,
    column: LungColumn,
    maps: Mapping[str, np.ndarray],
    prob: np.ndarray,
    threshold: float,
    preset: Preset,
) -> None:
    """Keep the candidates of a column, the numbers last: a case that has these is whole.

    Args:
        path: File of the candidates.
        column: With its nodes.
        maps: (x, y, z) probabilities by network.
        prob: (x, y, z) fused.
        threshold: Of the fused map.
        preset: Gives the patches.
    """
    candidates, labels = find_candidates(prob, threshold, column)
    streams = stream_means(maps, column.distance_mm, candidates, labels)
    found = Detections(ROW.name, threshold, candidates, labels, prob, column, {}, streams=streams)
    content = candidate_set(found, preset.stage_two, add_nodes=True)
    save_set(path, content)
    write_json(_evidence_path(path), case_evidence(found, column.case, "shipped").to_json())
    numbers = candidate_numbers(content.patches.first(content.n_candidates), preset.spacing_mm)
    write_arrays(_numbers_path(path), {"numbers": numbers, "descriptor": descriptor(column)})


def read_case(path: Path) -> Case:
    """What `keep_case` kept.

    Raises:
        ValueError: A file is damaged; says that it may be deleted.
    """
    content = load_set(path)
    evidence = CaseEvidence.from_json(json.loads(_evidence_path(path).read_text()))
    with np.load(_numbers_path(path)) as stored:
        numbers, looks = stored["numbers"], tuple(map(float, stored["descriptor"]))
    return Case(
        name=content.case,
        evidence=evidence,
        numbers=numbers,
        truth=content.truth[: content.n_candidates],
        overlaps=content.overlaps,
        looks=looks,
        path=path,
    )


def is_kept(path: Path) -> bool:
    """Whether `read_case` finds the case."""
    return _numbers_path(path).is_file()


def _evidence_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-evidence.json")


def _numbers_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-numbers.npz")
