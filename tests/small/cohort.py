"""Stores of tiny approved patients, and cohorts and plans of them for tests of the tables."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from osln.imaging.grid import Volume
from osln.imaging.lung_column import LungColumn
from osln.networks.lesanet import LesaNet
from osln.reproduction.plan import Plan
from osln.rows.experiments import PRESETS, Preset
from osln.tagging.tagger import save_tagger
from small import candidates as small_candidates
from small import columns as small_columns
from small import store as small_store

SPLITS = {"train": 4, "validation": 2, "test": 3, "stage two": 4}


def make_store(root: Path, splits: dict[str, int]) -> dict[str, list[str]]:
    """Approved cases with two nodes each, named and stored by their split; returns the ids."""
    nodes = np.zeros(small_store.SHAPE, dtype=np.uint8)
    nodes[small_store.NODE] = nodes[small_store.FAINT_NODE] = 1
    cases = {split: [f"{split}-{index}" for index in range(count)] for split, count in splits.items()}
    for case in (case for named in cases.values() for case in named):
        small_store.make_case(root, case, faint=True)
        small_store.write(root / "labels" / "final" / f"{case}.nii.gz", nodes)
    table = {"seed": 0, "cases": {case: split for split, named in cases.items() for case in named}}
    (root / ".osln").mkdir(exist_ok=True)
    (root / ".osln" / "splits.json").write_text(json.dumps(table))
    return cases


@dataclass(frozen=True)
class TinyCohort:
    """Columns of balls, made in memory; a `osln.cohorts.cohort.Cohort`.

    Attributes:
        folder: Where files of prepared columns would lie.
        sizes: Patients of each split.
        folds: Stage two learns from the training patients, two at a time left out.
        nodes: Of a patient.
        every_node: One more is labelled, which does not count.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=lambda: dict(SPLITS))
    folds: bool = False
    nodes: int = 4
    every_node: bool = False

    trained_on = "phantom"
    seconds = 1.0
    left_out_cases = {"case-x": "no PET"}  # noqa: RUF012
    ct_mark = ""

    def cases(self, split: str) -> tuple[str, ...]:
        split = "train" if self.folds and split == "stage two" else split
        return tuple(f"{split.replace(' ', '-')}-{index}" for index in range(self.sizes[split]))

    def patients_of(self, split: str) -> tuple[str, ...]:
        return self.cases(split)

    def path(self, case: str) -> Path:
        return self.folder / ("columns" + "-every-node" * self.every_node) / case

    def column(self, case: str) -> LungColumn:
        path = self.path(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        seed = sum(map(ord, case))
        return small_columns.small_column(seed, case=case, nodes=self.nodes + self.every_node)

    def ct(self, case: str) -> Volume:
        column = self.column(case)
        return Volume(column.ct_hu, column.grid, column.grid)

    def taught(self, every_node: bool) -> "TinyCohort":
        return replace(self, every_node=every_node)

    def findings(self, case: str) -> tuple:
        return ()

    def fingerprint(self, case: str) -> str:
        return f"{case}/{self.nodes}" + "-every-node" * self.every_node

    def unseen_part(self, case: str) -> tuple[str, ...]:
        if not self.folds:
            return ()
        cases = self.cases("train")
        first = cases.index(case) // 2 * 2
        return cases[first : first + 2]


def tiny_preset(**changes: object) -> Preset:
    """Networks and classifiers that train in a second, under the name of the demo preset."""
    stage_two = replace(small_candidates.tiny_preset(patch=(8, 8, 8)).stage_two, epochs=2)
    return replace(small_columns.tiny_preset(stage_two=stage_two), **({"iterations": 40} | changes))


class NodesAndNoise:
    """Stands in for a predictor: the bright nodes are found, and six places without a node."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        pass

    def probability(self, column):
        prob = np.where(column.ct_hu > 20, 0.8, 0.0).astype(np.float32)
        for k in range(6):
            prob[2, 2, 10 * k + 3] = 0.9 - k / 100
        return prob


def make_plan(folder: Path, tables: tuple[str, ...] = ("1b",), **changes: object) -> Plan:
    """A plan of tiny patients and a tagger of random weights."""
    tagger = folder / "tagger.safetensors"
    if not tagger.is_file():
        torch.manual_seed(0)
        save_tagger(tagger, LesaNet(width=1, embedding=2), {"origin": "phantom", "trained_on": "phantom"})
    values = {
        "work": folder / "work",
        "cohort": TinyCohort(folder),
        "preset": PRESETS["demo"],
        "tables": tables,
        "seeds": 1,
        "tagger": tagger,
        "command": "./scripts/osln tables --table 1b",
    }
    return Plan(**(values | changes))
