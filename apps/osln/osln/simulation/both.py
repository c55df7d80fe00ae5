"""A run in which both stages learn: what is asked depends on a stage one that learned from the answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from osln.active.descriptors import descriptor
from osln.active.evidence import WindowEvidence
from osln.active.pool import Query, Waiting
from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import NUMBER_INPUTS
from osln.simulation.arms import Arm
from osln.simulation.cases import Case
from osln.simulation.cycle import Annotator, Point, Schedule, cycles
from osln.simulation.learners import OnNumbers, Scorer
from osln.simulation.retrained import Eye, Networks, Seen, is_known
from osln.simulation.reviews import Review
from osln.weights.checkpoint import Checkpoint


@dataclass
class Reviewer(Annotator):
    """Answers on images, so that what was said outlives the candidates that it was said about.

    Attributes:
        columns: All patients with their true nodes, by case.
        eye: Finds the candidates.
        reviews: Of the cases that were opened.
        told: Numbers (39,) and truth of each judged candidate as it was when it was judged: no network had
            learned from its place then, so that its score is one that new patients get, too.
    """

    columns: Mapping[str, LungColumn] = field(kw_only=True)
    eye: Eye = field(kw_only=True)
    reviews: dict[str, Review] = field(default_factory=dict)
    told: list[tuple[np.ndarray, int]] = field(default_factory=list)
    _seen: dict[str, Seen] = field(default_factory=dict)
    _into: dict[str, set[int]] = field(default_factory=dict)
    """By case, the windows that were looked into since the eye is the present one."""

    def renew(self, eye: Eye) -> None:
        """From now on the candidates are those of another network."""
        self.eye, self._seen, self._into = eye, {}, {}

    def look(self, case: str) -> Case:
        """As `Annotator.look`; what earlier reviews have decided counts as judged."""
        return self._look(case).case

    def _look(self, case: str) -> Seen:
        if case not in self._seen:
            seen = self.eye.look(self.columns[case], self.reviews.get(case))
            self._seen[case] = seen
            if case in self.decided:
                self.decided[case] = set(seen.judged)
        return self._seen[case]

    def descriptor(self, case: str) -> tuple[float, ...]:
        """As `Annotator.descriptor`."""
        return descriptor(self.columns[case])

    def waiting(self, case: Case, scores: np.ndarray) -> Waiting:
        """As `Annotator.waiting`, with the windows outside candidates: what they show teaches stage one."""
        told = super().waiting(case, scores)
        assert told.evidence is not None
        windows, review = case.evidence.windows, self.reviews.get(case.name)
        column = self.columns[case.name]
        into = self._into.get(case.name, set())
        seen = (
            index
            for index, one in enumerate(windows)
            if index in into or (review is not None and is_known(column, review, _window(one)))
        )
        evidence = replace(told.evidence, windows=windows)
        return replace(told, evidence=evidence, seen=frozenset(seen), descriptor=self.descriptor(case.name))

    def answer(self, query: Query, *, whole: bool) -> int:
        """As `Annotator.answer`; a window that is looked at on its own is a decision as well."""
        spent = super().answer(query, whole=whole)
        if whole:
            return spent
        windows = self._look(query.case).case.evidence.windows
        into = self._into.setdefault(query.case, set())
        new = [index for index in query.windows if index not in into]
        for index in new:
            self._look_into(query.case, _window(windows[index]))
        into |= set(new)
        return spent + len(new)

    def _look_into(self, case: str, corners: np.ndarray) -> None:
        """Outlines the nodes of a window that were not, or says that there is none."""
        column, review = self.columns[case], self.reviews[case]
        assert column.nodes is not None
        index = np.sort(column.grid.mm_to_index(corners), axis=0)
        low, high = np.ceil(index[0]).astype(int), np.floor(index[1]).astype(int) + 1
        part = column.nodes[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))]
        there = set(np.unique(part[part > 0]).tolist())
        if there - review.nodes:
            self.added += 1
        else:
            self.judged += 1
        if not there:
            review.rejected.append(corners)
        review.nodes |= there

    def judge(self, case: str, indices: Iterable[int], *, whole: bool) -> int:
        """As `Annotator.judge`, and keeps what stage one and stage two learn from it."""
        seen = self._look(case)
        new = sorted(set(indices) - self.decided.get(case, set()))
        spent = super().judge(case, new, whole=whole)
        review = self.reviews.setdefault(case, Review())
        review.complete |= whole
        truth, overlaps = seen.case.truth, seen.case.overlaps
        for index in new:
            if truth[index] >= 0:
                self.told.append((seen.case.numbers[index], int(truth[index])))
            if truth[index] == 0:
                review.rejected.append(seen.boxes[index])
            hit = overlaps.touched[(overlaps.predicted == index) & overlaps.fits]
            review.nodes |= set(overlaps.node_labels[hit].tolist())
        # One that is neither was judged, but nobody knows what to draw there.
        review.undecided = [
            box for index, box in enumerate(seen.boxes) if index not in self.decided[case] or truth[index] < 0
        ]
        return spent

    def taught(self) -> list[LungColumn]:
        """The opened patients as stage one learns from them, by name."""
        return [self.reviews[case].taught(self.columns[case]) for case in sorted(self.reviews)]


def _window(window: WindowEvidence) -> np.ndarray:
    """(2, 3) corners, RAS mm."""
    center, half = np.array(window.center_mm), window.size_mm / 2
    return np.stack([center - half, center + half])


def run_both(
    columns: Mapping[str, LungColumn],
    pool: Sequence[str],
    test: Sequence[str],
    arm: Arm,
    learner: OnNumbers,
    networks: Networks,
    schedule: Schedule,
    seed: int,
) -> Iterator[Point]:
    """The points of a run in which both stages learn.

    The start is outlined without any network, from whose patients the first one learns. After each round
    stage one goes on from where it was, and stage two learns from scratch.

    Args:
        columns: All patients with their nodes, by case.
        learner: Of stage two.
        networks: Of stage one.

    The others are those of `osln.simulation.cycle.cycles`.
    """
    unlabeled = [columns[case] for case in test]
    blind = Eye(None, unlabeled, networks.recipe.candidates, networks.preset)
    latest: list[Checkpoint] = []

    def learn(reviewer: Reviewer, number: int) -> Scorer:
        initial = latest[-1] if latest else None
        # Another seed in each round: the same one would draw the same patches again.
        latest[:] = [networks.learned(reviewer.taught(), initial, 1000 * seed + number)]
        reviewer.renew(Eye(latest[0], unlabeled, networks.recipe.candidates, networks.preset))
        numbers = np.array([one for one, _ in reviewer.told], dtype=np.float32).reshape(-1, NUMBER_INPUTS)
        truth = np.array([is_node for _, is_node in reviewer.told], dtype=np.int8)
        return learner.fitted(numbers, truth, seed)

    return cycles(Reviewer({}, columns=columns, eye=blind), learn, pool, test, arm, schedule, seed)
