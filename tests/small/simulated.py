"""Made-up cases for tests of simulated annotation: a candidate's first number tells whether it is a node."""

from pathlib import Path

import numpy as np

from osln.metrics.matching import Overlaps
from osln.simulation.cases import Case
from small import evidence as small_evidence


def case(name: str, truth: list[int], *, missed: int = 0, path: Path = Path("none")) -> Case:
    """A case whose candidates are nodes (1), none (0) or neither (-1), with nodes that no candidate hits."""
    rng = np.random.default_rng(sum(map(ord, name)))
    numbers = rng.normal(0, 1, (len(truth), 39)).astype(np.float32)
    numbers[:, 0] += 6 * np.array(truth, dtype=np.float32)
    hits = [index for index, value in enumerate(truth) if value == 1]
    scores = [0.9 - 0.8 * index / max(len(truth), 1) for index in range(len(truth))]
    return Case(
        name=name,
        evidence=small_evidence.evidence(name, scores),
        numbers=numbers,
        truth=np.array(truth, dtype=np.int8),
        overlaps=Overlaps(
            np.arange(1, len(truth) + 1),
            np.arange(1, len(hits) + missed + 1),
            np.array(hits, dtype=int),
            np.arange(len(hits)),
            np.ones(len(hits), dtype=bool),
        ),
        looks=tuple(rng.normal(0, 1, 3).tolist()),
        path=path,
    )


def cohort(count: int) -> dict[str, Case]:
    """So many cases of ten candidates, two or three of them nodes, and a missed node in every other one."""
    rng = np.random.default_rng(count)
    found = {}
    for index in range(count):
        truth = [0] * 10
        for at in rng.permutation(10)[: 2 + index % 2]:
            truth[at] = 1
        name = f"case-{index:02d}"
        found[name] = case(name, truth, missed=index % 2)
    return found
