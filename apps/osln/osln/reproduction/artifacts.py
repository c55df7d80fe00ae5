"""What a run of the tables keeps: where each thing lies, what it is made from, how, and for how long.

Everything lies under one folder in files whose names hold a key of all that they depend on: the cohort's
files, the recipe, the seed, the keys of what they are made from, and the code that makes them (`code`). So
tables, runs and later runs with other sizes share what is equal. Two things are not made anew when their code
changes: trainings, which the report names then, and prepared patients, whose makers have numbers of their
own (`GENERATOR_VERSION`, `column_file.FORMAT`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from osln.files.code import code_key
from osln.jobs.artifact import Artifact, with_needs
from osln.reproduction import code
from osln.reproduction.end_to_end import detect_nodes, train_end_to_end
from osln.reproduction.kept_training import keep_training
from osln.reproduction.plan import EVALUATED, Network, Plan
from osln.reproduction.stage_one import CaseMaps, count_nodes, make_maps, prepare_cases, train_network
from osln.reproduction.stage_two import (
    make_candidates,
    make_overlaps,
    make_tags,
    score_candidates,
    train_on_candidates,
)
from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from osln.rows.experiments import CLASSIFIERS, OPERATING_POINT, SEGMENTERS, Row
from osln.stage_two.candidate_sets import iou_path
from osln.weights.checkpoint import Checkpoint

FORMAT = 1
"""Of everything that is kept here, trainings among it; another one makes it anew."""
CHUNK = 16
"""Patients of one artifact."""
CANDIDATES_PER_PATIENT = 28
"""Of late fusion at precision .15 on phantoms, true nodes added; for the estimate of time alone."""
SECONDS = {"map": 0.5, "count": 0.15, "candidates": 0.06, "tag": 0.009, "slices": 0.28, "detect": 1.8}
"""What one core took with the demo preset: for a map, for a patient's counts and candidates, for a tag, for a
detector's training step and for its look at a patient. They weigh the progress bar and the order."""
STEP_SECONDS = {"unet": 0.3, "se-unet": 0.36, "hrnet": 0.06, "psnn": 0.16}
"""The same of a training step of 8 patches, by backbone."""
GATE_SHARE = {None: 1.0, "hard": 1.33, "soft": 1.33, "strata": 1.67}
"""How many times that it is with several heads: two take a third more."""
CANDIDATE_SECONDS = {
    "glnet": 0.0033,
    "set-glnet": 0.0048,
    "quality-glnet": 0.0033,
    "random-views": 0.0011,
    "numbers": 0.002,
}
"""The same of a candidate in a training step, by network; hardly anything where there is no patch."""


class Artifacts:
    """Everything that the rows of a plan are made of; asked twice for one thing, it gives the same object.

    Args:
        plan: What is run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cohort = plan.cohort
        self._made: dict[str, Artifact] = {}
        self._file_names: dict[str, str] = {}

    def of(self, row: Row) -> tuple[Artifact, ...]:
        """What a row's figures are read from, of every seed."""
        found: list[Artifact] = []
        for seed in range(self.plan.seeds):
            if row.detector:
                found.append(self.findings(row, seed))
                continue
            found.append(self.counts(row, seed))
            if row.kind == "froc":
                found += (one for split in EVALUATED for one in self.candidates(row, seed, split))
            if row.classifier:
                found.append(self.scores(row, seed))
        return tuple(found)

    def all(self) -> tuple[Artifact, ...]:
        """What all rows' figures are read from."""
        return tuple(one for row in self.plan.rows for one in self.of(row))

    def rows_without(self, failures: Mapping[str, Exception]) -> dict[Row, str]:
        """The rows that need an artifact that failed, with its name and what it raised."""
        found = {}
        for row in self.plan.rows if failures else ():
            if name := next((name for name in with_needs(self.of(row)) if name in failures), None):
                found[row] = f"{name}: {failures[name]}"
        return found

    def patients(self, split: str, wanted: Iterable[str], every_node: bool = False) -> tuple[Artifact, ...]:
        """The prepared columns of a split in parts: those that hold one of the cases wanted."""
        cohort = self.cohort.taught(every_node)
        found = []
        for part in _chunks(cohort.cases(split)):
            if not set(part).isdisjoint(wanted):
                paths = tuple(cohort.path(case) for case in part)
                make, cost = partial(prepare_cases, cohort, part), cohort.seconds * len(part)
                name = f"patients {part[0]}" + (" with every node" if cohort != self.cohort else "")
                found.append(self._keep(Artifact(name, paths, (), make, cost)))
        return tuple(found)

    def training(self, network: Network) -> Artifact:
        """A network of stage one."""
        if found := self._made.get(network.name):
            return found
        preset, segmenter = self.plan.preset, SEGMENTERS[network.segmenter]
        cases = [case for case in self.cohort.cases("train") if case not in network.left_out]
        steps = network.length * preset.iterations
        cohort = self.cohort.taught(segmenter.every_node)
        recipe = {name: value for name, value in asdict(preset).items() if name != "stage_two"}
        learner = asdict(segmenter)
        # Trainings that were kept before there was a choice had no filter, and learned the nodes that count.
        for content, name in ((recipe, "prefilter"), (learner, "every_node")):
            if not content[name]:
                del content[name]
        marks = [cohort.fingerprint(case) for case in cases]
        key = _key(learner, recipe, steps, network.seed, marks)
        folder = f"networks/{segmenter.name}-x{network.length}-seed{network.seed}-{key}"
        train = partial(train_network, segmenter, preset, cohort, cases, steps)
        cost = STEP_SECONDS[segmenter.backbone] * steps * GATE_SHARE[segmenter.gate]
        needs = self.patients("train", cases, segmenter.every_node)
        return self._training(network.name, folder, needs, train, network.seed, cost)

    def map_path(self, network: Network, case: str, turns: int = 1) -> Path:
        """File of a network's map of a case, or of the mean over so many turned views of it."""
        kind = "maps" if turns == 1 else f"maps-of-{turns}-turns"
        folder = self.training(network).path.parent / f"{kind}-{_code(code.MAPS)}"
        return folder / f"{self._file_name(case)}.npz"

    def maps(self, network: Network, cases: Sequence[str], splits: Sequence[str], turns: int = 1) -> Artifact:
        """A network's maps of these cases of some splits."""
        training = self.training(network)
        name = f"maps of {network.name} from {cases[0]}" + (f" in {turns} turns" if turns > 1 else "")
        if found := self._made.get(name):
            return found
        paths = {case: self.map_path(network, case, turns) for case in cases}
        needs = (training, *(one for split in splits for one in self.patients(split, cases)))
        make = partial(make_maps, self.cohort, training.path, paths, turns)
        cost = SECONDS["map"] * len(cases) * turns
        return self._keep(Artifact(name, tuple(paths.values()), needs, make, cost, True))

    def fused(self, row: Row, seed: int, case: str) -> CaseMaps:
        """The maps that are fused to a row's of a case of any split."""
        networks = self.plan.networks(row, seed, case)
        return tuple((one.segmenter, self.map_path(one, case, row.turns)) for one in networks)

    def counts(self, row: Row, seed: int) -> Artifact:
        """What the fused maps of a row's setting find in the evaluated patients."""
        row = row.setting.changed(handed_at=OPERATING_POINT)
        if row.fusion == "learned":
            raise ValueError(f"{row.key} cannot be a row of the tables: they fit no fusion")
        name = f"counts of {row.key} seed {seed}"
        if found := self._made.get(name):
            return found
        cases = {split: self.cohort.cases(split) for split in EVALUATED}
        evaluated = [case for split in EVALUATED for case in cases[split]]
        maps = [self.maps(one, evaluated, EVALUATED, row.turns) for one in self.plan.networks(row, seed)]
        key = _key(self._folders(self.plan.networks(row, seed)), row.turns, *map(self._marks, cases.values()))
        folder = self.plan.work / "settings" / f"{row.key}-seed{seed}-{key}"
        path = folder / f"counts-{_code(code.COUNTS)}.npz"
        fused = {
            split: {case: self.fused(row, seed, case) for case in asked} for split, asked in cases.items()
        }
        make = partial(count_nodes, self.cohort, row, fused, path)
        return self._keep(Artifact(name, (path,), tuple(maps), make, SECONDS["count"] * len(evaluated)))

    def candidates(self, row: Row, seed: int, split: str) -> tuple[Artifact, ...]:
        """Candidates of a row's setting; of "stage two" those of networks that have not seen the patient."""
        return tuple(
            self._candidates(row.setting, seed, split, cases) for cases in _chunks(self.cohort.cases(split))
        )

    def _candidates(self, row: Row, seed: int, split: str, cases: Sequence[str]) -> Artifact:
        name = f"candidates of {row.key} seed {seed} from {cases[0]}"
        if found := self._made.get(name):
            return found
        counts = self.counts(row, seed)
        asked: dict[Network, list[str]] = {}
        paths = {}
        for case in cases:
            networks = self.plan.networks(row, seed, case)
            for network in networks:
                asked.setdefault(network, []).append(case)
            # Candidates that were kept before there was a choice have no mark.
            mark = () if row.handed_at == OPERATING_POINT else (row.handed_at,)
            cut = _key(self._folders(networks), asdict(self.plan.preset.stage_two), *mark)
            folder = counts.path.parent / f"candidates-{cut}-{_code(code.CANDIDATES)}"
            paths[case] = folder / f"{self._file_name(case)}.npz"
        taught = split == "stage two"
        maps = [self.maps(network, by, (split,)) for network, by in asked.items()] if taught else []
        fused = {case: self.fused(row, seed, case) for case in cases}
        make = partial(
            make_candidates,
            self.cohort,
            self.plan.preset.stage_two,
            row,
            counts.path,
            fused,
            paths,
            taught,
        )
        needs = (counts, *maps)
        return self._keep(
            Artifact(name, tuple(paths.values()), needs, make, SECONDS["candidates"] * len(cases))
        )

    def overlaps(self, row: Row, seed: int) -> tuple[Artifact, ...]:
        """How well candidates that teach a row's classifier lie on their nodes; nothing if it reads none."""
        if not row.classifier or not CLASSIFIERS[row.classifier].needs_overlap:
            return ()
        parts = _chunks(self.cohort.cases("stage two"))
        found = self.candidates(row, seed, "stage two")
        return tuple(self._overlaps(row.setting, seed, *pair) for pair in zip(parts, found, strict=True))

    def _overlaps(self, row: Row, seed: int, cases: Sequence[str], candidates: Artifact) -> Artifact:
        # The candidates' masks are not kept: they are made of the same maps again.
        fused = {case: self.fused(row, seed, case) for case in cases}
        paths = dict(zip(cases, candidates.paths, strict=True))
        make = partial(make_overlaps, self.cohort, row, self.counts(row, seed).path, fused, paths)
        name = candidates.name.replace("candidates", "overlaps", 1)
        kept = tuple(map(iou_path, candidates.paths))
        cost = SECONDS["candidates"] * len(cases)
        return self._keep(Artifact(name, kept, (candidates, *candidates.needs), make, cost))

    def tags(self, row: Row, seed: int, split: str) -> tuple[Artifact, ...]:
        """Tags of the candidates of a row's setting; nothing if its classifier reads none."""
        if not row.classifier or not CLASSIFIERS[row.classifier].tags:
            return ()
        return tuple(self._tags(found) for found in self.candidates(row, seed, split))

    def _tags(self, candidates: Artifact) -> Artifact:
        # Tags that were kept before there was a choice of voxels have no mark.
        mark = self.cohort.ct_mark and f"-{self.cohort.ct_mark}"
        ending = f"tags-{self.plan.tagger_sha256[:12]}{mark}-{_code(code.TAGS)}.npy"
        paths = {path: path.with_name(f"{path.stem}-{ending}") for path in candidates.paths}
        name = candidates.name.replace("candidates", "tags", 1)
        make = partial(make_tags, self.plan.tagger, self.cohort, paths)
        cost = SECONDS["tag"] * CANDIDATES_PER_PATIENT * len(paths)
        return self._keep(Artifact(name, tuple(paths.values()), (candidates,), make, cost, True))

    def classifier(self, row: Row, seed: int) -> Artifact:
        """A row's classifier; the same for its joint row and that of turned views."""
        row = row.teacher
        name = f"classifier {row.key} seed {seed}"
        if found := self._made.get(name):
            return found
        plan, classifier = self.plan, CLASSIFIERS[str(row.classifier)]
        learned = (self.candidates(row, seed, "stage two"), self.tags(row, seed, "stage two"))
        sets, tags = map(files, learned)
        key = _key(
            asdict(classifier),
            asdict(plan.preset.stage_two),
            # A training is kept when code changes: its candidates' folder as it is called without.
            [str(path.relative_to(plan.work)).replace(f"-{_code(code.CANDIDATES)}/", "/") for path in sets],
            plan.tagger_sha256 + self.cohort.ct_mark if classifier.tags else "",
        )
        folder = f"classifiers/{row.setting.key}+{classifier.name}-seed{seed}-{key}"
        train = partial(train_on_candidates, classifier, plan.preset, sets, tags, plan.tagger)
        teaching = len(sets) * CANDIDATES_PER_PATIENT * plan.preset.stage_two.epochs
        cost = CANDIDATE_SECONDS[classifier.network] * teaching * (1.0 if classifier.inputs else 0.02)
        needs = (*learned[0], *learned[1], *self.overlaps(row, seed))
        return self._training(name, folder, needs, train, seed, cost)

    def scores(self, row: Row, seed: int) -> Artifact:
        """Scores that a row's classifier gives to the evaluated patients' candidates."""
        row = replace(row, joint=False)
        name = f"scores of {row.key} seed {seed}"
        if found := self._made.get(name):
            return found
        classifier = self.classifier(row, seed)
        setting = self.counts(row, seed).path.parent.name
        path = classifier.path.with_name(f"scores-{setting}-{_code(code.SCORES)}.json")
        read = {
            split: (self.candidates(row, seed, split), self.tags(row, seed, split)) for split in EVALUATED
        }
        given = {split: (files(sets), files(tags)) for split, (sets, tags) in read.items()}
        make = partial(score_candidates, classifier.path, given, row.turns, path)
        needs = (classifier, *(one for pair in read.values() for kind in pair for one in kind))
        patients = sum(len(sets) for sets, _ in given.values())
        cost = CANDIDATE_SECONDS["glnet"] * patients * CANDIDATES_PER_PATIENT / 3 * row.turns
        return self._keep(Artifact(name, (path,), needs, make, cost, True))

    def detector(self, row: Row, seed: int) -> Artifact:
        """An end-to-end detector."""
        plan, cases = self.plan, self.cohort.cases("train")
        detector = DETECTORS[str(row.detector)]
        name = f"detector {detector.name} seed {seed}"
        if found := self._made.get(name):
            return found
        key = _key(
            asdict(detector),
            asdict(DETECTOR_RECIPES[plan.preset.name]) | {"iterations": plan.detector_steps},
            (plan.preset.spacing_mm, plan.preset.window),
            *(self._marks(self.cohort.cases(split)) for split in ("train", *EVALUATED)),
        )
        folder = f"detectors/{detector.name}-seed{seed}-{key}"
        train = partial(train_end_to_end, detector, plan.preset, self.cohort, plan.detector_iterations)
        cost = SECONDS["slices"] * plan.detector_steps
        return self._training(name, folder, self.patients("train", cases), train, seed, cost)

    def findings(self, row: Row, seed: int) -> Artifact:
        """What an end-to-end detector finds in the evaluated patients."""
        detector = self.detector(row, seed)
        path = detector.path.with_name(f"found-{_code(code.FINDINGS)}.json")
        cases = {split: self.cohort.cases(split) for split in EVALUATED}
        needs = (detector, *(one for split in EVALUATED for one in self.patients(split, cases[split])))
        make = partial(detect_nodes, self.cohort, cases, detector.path, path)
        cost = SECONDS["detect"] * sum(map(len, cases.values()))
        return self._keep(Artifact(f"nodes of {row.detector} seed {seed}", (path,), needs, make, cost, True))

    def _training(
        self,
        name: str,
        folder: str,
        needs: tuple[Artifact, ...],
        train: Callable[..., Checkpoint],
        seed: int,
        cost: float,
    ) -> Artifact:
        path = self.plan.work / folder / "weights.pt"
        learned_by = code_key(code.TRAINED[name.split()[0]])
        make = partial(keep_training, path, seed, self.cohort.trained_on, train, code=learned_by)
        return self._keep(Artifact(name, (path,), needs, make, cost, True))

    def _keep(self, one: Artifact) -> Artifact:
        return self._made.setdefault(one.name, one)

    def _folders(self, networks: Iterable[Network]) -> list[str]:
        return [self.training(network).path.parent.name for network in networks]

    def _file_name(self, case: str) -> str:
        if case not in self._file_names:
            self._file_names[case] = f"{case}-{_key(self.cohort.fingerprint(case))[:8]}"
        return self._file_names[case]

    def _marks(self, cases: Iterable[str]) -> list[str]:
        return [self.cohort.fingerprint(case) for case in cases]


def files(artifacts: Iterable[Artifact]) -> tuple[Path, ...]:
    """Their files, in order."""
    return tuple(path for one in artifacts for path in one.paths)


def _chunks(cases: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(cases[start : start + CHUNK]) for start in range(0, len(cases), CHUNK)]


def _code(parts: tuple[str, ...]) -> str:
    return code_key(parts)[:8]


def _key(*content: Any) -> str:
    text = json.dumps([FORMAT, *content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
