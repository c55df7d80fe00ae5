"""What `benchmarks.tags` compares, what that is made of, and the figures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.candidate_figures import SHOWN, figures, plain
from benchmarks.set_gain_networks import found_only
from benchmarks.tags_made import (
    EPOCHS,
    GRIDS,
    Asked,
    Taught,
    learn_tagger,
    score,
    write_lesions,
    write_partly_true,
    write_tags,
    write_true,
)
from osln.cohorts.phantoms import FIRST_SEED, split_seeds
from osln.jobs.artifact import Artifact
from osln.metrics.bootstrap import resamples
from osln.metrics.matching import Scored
from osln.phantom import GENERATOR_VERSION
from osln.phantom.findings.tags import TAGS_VERSION
from osln.reproduction.artifacts import files
from osln.rows.experiments import OPERATING_POINT
from osln.rows.tagger_recipe import TAGGER_RECIPES
from osln.simulation.cases import DEMO, StageOne, make_cases
from osln.simulation.cohorts import Site
from osln.stage_two.candidate_sets import CandidateSet, load_set
from osln.tagging.tagger import Tagger

FORMAT = 1
"""Of everything that is kept here; another one makes it anew."""
TAGGED = (GENERATOR_VERSION, TAGS_VERSION)
"""Of what has the phantoms' true tags in it."""
CHUNK = 8
"""Patients of one artifact."""
SECONDS = {"candidates": 3.0, "lesions": 5.0, "tags": 6.0, "epoch": 600.0, "glnet": 150.0}
"""About what one core takes for a patient, a tagger and a training; for the bar alone."""
TRUE, NONE = "true tags", "no tags"
PARTLY = {f"true {kind}": kind for kind in ("body part", "type", "attribute")}
"""The shipped tagger's tags with those of one kind taken from the phantom, by what a line calls them."""
SIZES = {"stage two": 240, "test": 96, "learned": 140, "judged": 20}
"""Patients that teach and test stage two, phantoms that teach a tagger and judge it."""
TAUGHT = {
    "shipped": None,
    "fine": Taught("fine", TAGGER_RECIPES["demo"]),
    "longer": Taught("working", replace(TAGGER_RECIPES["demo"], epochs=6)),
    "fine, longer": Taught("fine", replace(TAGGER_RECIPES["demo"], epochs=6)),
}
"""The taggers: None is the one that comes with the software, which learned like "fine" on the other grid."""
LINES = {
    ("shipped", "working"): "shipped tagger: learned and asked on the networks' voxels",
    ("shipped", "fine"): "... asked on fine voxels, as the server asks it",
    ("longer", "working"): "... learned three times as long",
    ("fine", "fine"): "learned and asked on fine voxels",
    ("fine, longer", "fine"): "... three times as long",
    ("true body part", ""): "the shipped tagger's, with true body parts",
    ("true type", ""): "... with true types",
    ("true attribute", ""): "... with true attributes",
    (TRUE, ""): "the phantom's true tags",
    (NONE, ""): "no tags",
}
Line = tuple[str, str]
"""Which tagger, on which of `GRIDS`; a key of `LINES`."""
FIRST = next(iter(LINES))
CLASSIFIERS_ASKED = ("tag", "glnet")
WITHOUT = "local-ct-pet"
"""GLNet without tags."""


@dataclass(frozen=True)
class Experiment:
    """All of it.

    Attributes:
        work: Folder of everything.
        sizes: As `SIZES`.
        seeds: Trainings of each network of stage two.
        taggers: Of `TAUGHT`.
        stage_one: Finds the candidates.
        tagger: The shipped one.
    """

    work: Path
    sizes: Mapping[str, int]
    seeds: int
    taggers: Sequence[str]
    stage_one: StageOne
    tagger: Path

    @cached_property
    def cases(self) -> dict[str, tuple[str, ...]]:
        """Patients of stage two by split."""
        return {
            split: tuple(f"phantom-{seed}" for seed in split_seeds(split, self.sizes[split]))
            for split in ("stage two", "test")
        }

    @cached_property
    def candidates(self) -> dict[str, tuple[Artifact, ...]]:
        """Of these, in parts."""
        found: dict[str, tuple[Artifact, ...]] = {}
        for split, cases in self.cases.items():
            parts = [cases[start : start + CHUNK] for start in range(0, len(cases), CHUNK)]
            found[split] = tuple(self._candidates(part) for part in parts)
        return found

    def _candidates(self, cases: Sequence[str]) -> Artifact:
        site = Site("one")
        paths = tuple(self.stage_one.path(self.work, site.parameters, OPERATING_POINT, one) for one in cases)
        make = partial(make_cases, dict.fromkeys(cases, site), self.stage_one, DEMO, self.work)
        return Artifact(
            f"candidates from {cases[0]}", paths, (), make, SECONDS["candidates"] * len(cases), True
        )

    def lesions(self, grid: str, split: str) -> Artifact:
        """What taggers learn from ("learned") or are judged by ("judged")."""
        first = FIRST_SEED["tagger"] + (self.sizes["learned"] if split == "judged" else 0)
        seeds = range(first, first + self.sizes[split])
        path = self.folder / f"lesions-{grid}-{key([*TAGGED, GRIDS[grid], list(seeds)])}.npz"
        make = partial(write_lesions, path, self.work, GRIDS[grid], seeds)
        return self._keep(
            Artifact(f"{split} lesions, {grid}", (path,), (), make, SECONDS["lesions"] * len(seeds))
        )

    def trained(self, name: str) -> Artifact | None:
        """A tagger; None for the shipped one."""
        taught = TAUGHT[name]
        if taught is None:
            return None
        learned, judged = (self.lesions(taught.grid, split) for split in ("learned", "judged"))
        about = [asdict(taught.recipe), learned.path.name, judged.path.name]
        path = self.folder / f"tagger-{key(about)}.safetensors"
        make = partial(learn_tagger, path, taught.recipe, learned.path, judged.path)
        cost = SECONDS["epoch"] * taught.recipe.epochs
        return self._keep(Artifact(f"tagger {name}", (path,), (learned, judged), make, cost, True))

    def tagger_path(self, name: str) -> Path:
        """Its file."""
        one = self.trained(name)
        return self.tagger if one is None else one.path

    def tags(self, line: Line, split: str) -> tuple[Artifact, ...]:
        """What a line reads of a split's candidates; of one grid all taggers are asked at once."""
        name, grid = line
        if name == NONE:
            return ()
        made = partial(self._partly, name) if name in PARTLY else partial(self._tags, grid)
        return tuple((self._true if name == TRUE else made)(one) for one in self.candidates[split])

    def tag_paths(self, line: Line, split: str) -> tuple[Path, ...]:
        """The files of these."""
        return tuple(self._tag_path(line, path) for path in files(self.candidates[split]) if line[0] != NONE)

    def _tag_path(self, line: Line, candidates: Path) -> Path:
        name, grid = line
        if name == TRUE:
            about = [TRUE, *TAGGED]
        elif name in PARTLY:
            about = [name, *TAGGED, Tagger.checksum(self.tagger), GRIDS[FIRST[1]]]
        else:
            tagger = self.tagger_path(name)
            about = [Tagger.checksum(tagger) if TAUGHT[name] is None else tagger.name, GRIDS[grid]]
        return candidates.with_name(f"{candidates.stem}-tags-{key(about)}.npy")

    def _true(self, candidates: Artifact) -> Artifact:
        paths = {path: self._tag_path((TRUE, ""), path) for path in candidates.paths}
        name = candidates.name.replace("candidates", TRUE, 1)
        return self._keep(Artifact(name, tuple(paths.values()), (candidates,), partial(write_true, paths)))

    def _partly(self, name: str, candidates: Artifact) -> Artifact:
        read = {
            self._tag_path((name, ""), path): (self._tag_path(FIRST, path), self._tag_path((TRUE, ""), path))
            for path in candidates.paths
        }
        needs = (self._tags(FIRST[1], candidates), self._true(candidates))
        make = partial(write_partly_true, read, PARTLY[name])
        return self._keep(Artifact(candidates.name.replace("candidates", name, 1), tuple(read), needs, make))

    def _tags(self, grid: str, candidates: Artifact) -> Artifact:
        asked = [name for name, on in LINES if on == grid and name in self.taggers]
        trained = [one for name in asked if (one := self.trained(name))]
        paths = {
            self.tagger_path(name): {path: self._tag_path((name, grid), path) for path in candidates.paths}
            for name in asked
        }
        kept = tuple(path for by in paths.values() for path in by.values())
        name = candidates.name.replace("candidates", f"{grid} tags", 1)
        make = partial(write_tags, GRIDS[grid], paths)
        cost = SECONDS["tags"] * len(candidates.paths)
        return self._keep(Artifact(name, kept, (candidates, *trained), make, cost, True))

    def scores(self, classifier: str, line: Line, seed: int) -> Artifact:
        """What a network that has learned from the tags of a line says of the test patients."""
        read = {split: (files(sets), self.tag_paths(line, split)) for split, sets in self.candidates.items()}
        names = [str(path.relative_to(self.work)) for pair in read.values() for kind in pair for path in kind]
        path = (
            self.folder
            / f"{classifier}-seed{seed}-{key([classifier, EPOCHS.get(classifier), seed, *names])}.json"
        )
        make = partial(score, path, Asked(classifier, seed), read["stage two"], read["test"])
        needs = tuple(one for split in read for one in (*self.candidates[split], *self.tags(line, split)))
        cost = SECONDS["glnet"] if classifier != "tag" else 10.0
        return self._keep(
            Artifact(f"{classifier}, {' '.join(line)} seed {seed}", (path,), needs, make, cost, True)
        )

    @cached_property
    def lines(self) -> list[tuple[str, Line]]:
        """Network of stage two, and what it reads."""
        read = [line for line in LINES if line[0] in (*self.taggers, *PARTLY, TRUE)]
        return [
            *((classifier, line) for classifier in CLASSIFIERS_ASKED for line in read),
            (WITHOUT, (NONE, "")),
        ]

    def wanted(self) -> list[Artifact]:
        """Everything that the report reads."""
        return [self.scores(*line, seed) for line in self.lines for seed in range(self.seeds)]

    def results(self) -> dict[str, Any]:
        """Figures and differences as JSON values."""
        tested = [found_only(load_set(path)) for path in files(self.candidates["test"])]
        weights = resamples(len(tested))
        found = {
            line: figures([self._scored(line, seed, tested) for seed in range(self.seeds)], weights)
            for line in self.lines
        }
        alone = figures([[one.scored() for one in tested]], weights)
        return {
            "patients": len(tested),
            "nodes": sum(one.scored().n_nodes for one in tested),
            "candidates": sum(one.n_candidates for one in tested),
            "stage one": plain(alone),
            "taggers": {
                name: Tagger.load(self.tagger_path(name)).metadata["mean_auc"] for name in self.taggers
            },
            "lines": [
                {
                    "classifier": classifier,
                    "line": line,
                    "figures": plain(found[classifier, line]),
                    "minus": plain(
                        {
                            name: found[classifier, line][name] - found[base(classifier)][name]
                            for name in SHOWN
                        }
                    ),
                }
                for classifier, line in self.lines
            ],
        }

    def _scored(self, line: tuple[str, Line], seed: int, tested: Sequence[CandidateSet]) -> list[Scored]:
        told = json.loads(self.scores(*line, seed).path.read_text())
        return [one.scored(np.array(told[one.case], dtype=np.float64)) for one in tested]

    @property
    def folder(self) -> Path:
        """Of what no other run shares."""
        return self.work / "tags"

    def _keep(self, one: Artifact) -> Artifact:
        return self._made.setdefault(one.name, one)

    @cached_property
    def _made(self) -> dict[str, Artifact]:
        return {}


def base(classifier: str) -> tuple[str, Line]:
    """What a network is compared with: GLNet with the shipped tags is the base of that without tags, too."""
    return ("tag" if classifier == "tag" else "glnet", FIRST)


def key(content: Sequence[Any]) -> str:
    """Short name of JSON values."""
    return hashlib.sha256(json.dumps([FORMAT, *content], default=str).encode()).hexdigest()[:12]
