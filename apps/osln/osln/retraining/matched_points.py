"""Operating points of a new network where too few validation patients could set them.

A threshold means nothing by itself: the same number cuts the maps or scores of another network elsewhere. A
new network gets the threshold that gives as many candidates per patient as the former one had, on cases that
nobody has labeled and neither has learned from.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from osln.files.images import split_suffix
from osln.imaging.lung_column import LungColumn, image_lacking, prepare
from osln.metrics.sweep import THRESHOLDS, sweep
from osln.rows.experiments import ROWS, SEGMENTERS, Preset, Row
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor
from osln.store.approved import approved_cases
from osln.store.known_patients import case_of, former_ids
from osln.store.layout import companions, load_study
from osln.store.patients import patients_of
from osln.store.splits import stored_splits
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore

MOST_CASES = 8
"""That networks look at, because each costs a pass of every one."""


def unlabeled_cases(root: Path) -> list[str]:
    """Cases of patients of whom none has an approved label or a split, in the order of a hash of their ids.

    A split stays where a label, or a case, was taken away: a network may have learned from it.
    """
    named = (split_suffix(path) for path in root.iterdir() if path.is_file())
    there = {case for case, suffix in named if suffix}
    known = {*approved_cases(root), *stored_splits(root)}
    patient_of = patients_of(root, [*there, *known, *former_ids(root, known)])
    taken = {patient for case, patient in patient_of.items() if case_of(case) in known}
    cases = [case for case in there if patient_of[case] not in taken]
    return sorted(cases, key=lambda case: hashlib.sha256(case.encode()).digest())


def unlabeled_columns(root: Path, segmenter: str, preset: Preset) -> list[LungColumn]:
    """Columns of the first `MOST_CASES` of `unlabeled_cases` that a network can use.

    Those that cannot be read, and those without an image that it needs, are passed over.
    """
    columns = []
    for case in unlabeled_cases(root):
        try:
            column = prepare(load_study(companions(root, case)), preset)
        except ValueError:
            continue
        if _usable(column, segmenter):
            columns.append(column)
        if len(columns) == MOST_CASES:
            break
    return columns


def match_operating_points(
    models: ModelStore,
    segmenter: str,
    former: Checkpoint,
    columns: Sequence[LungColumn],
    names: Iterable[str],
    device: str = "cpu",
) -> tuple[str, set[str]]:
    """Moves the thresholds of rows that ask a new network, so that as much is found.

    Args:
        models: Store of the weights; the thresholds are kept there.
        segmenter: The network whose version has changed.
        former: Its former version.
        columns: Patients without a label, on the grid of the networks' preset.
        names: Of the rows; those that were never measured are passed over.
        device: Where to run.

    Returns:
        A sentence that says what was done, "" if no row has a threshold or no patient can be used; and the
        rows whose thresholds were moved. A threshold at which the former network finds nothing stays.
    """
    rows = {
        name: row
        for name, row in ((name, ROWS[name]) for name in names)
        # The learned fusion of the former weights is kept with its thresholds until it is fitted again.
        if row.fusion != "learned"
        and models.now.thresholds(name)
        and all(map(models.published, row.segmenters))
    }
    used = {name: Predictor(models.load(name), device) for row in rows.values() for name in row.segmenters}
    before_it = Predictor(former, device)
    counts: dict[str, np.ndarray] = {}
    for column in columns:
        usable = [name for name in used if _usable(column, name)]
        maps = {name: used[name].probability(column) for name in usable}
        sides = (maps | {segmenter: before_it.probability(column)}, maps)
        for name, row in rows.items():
            if maps.keys() >= set(row.segmenters):
                asked = [{one: found[one] for one in row.segmenters} for found in sides]
                found = [_candidates(fused_map(row, maps_of, column.distance_mm)) for maps_of in asked]
                counts[name] = counts.get(name, 0) + np.stack(found)
    moved, kept = set[str](), list[str]()
    for name, (before, after) in counts.items():
        # Of what is in use: what was measured with the new one before, the store would give first.
        points = models.now.thresholds(name)
        silent = [key for key, at in points.items() if not comparable(before, after, at)]
        if len(silent) < len(points):
            unmeasured = not models.now.is_measured(name)
            models.set_thresholds(
                name, in_order(points, partial(matched, before, after)), stand_in=unmeasured
            )
            moved.add(name)
        if silent:
            kept.append(f"{name} at {', '.join(sorted(silent))}")
    cases = f"the {len(columns)} unlabeled cases that were looked at"
    told = []
    if moved:
        names = ", ".join(name for name in rows if name in moved)
        told.append(
            f"operating points of {names} were moved so that {cases} have as many candidates as before"
        )
    if kept:
        told.append(f"operating points of {', '.join(kept)} are kept: nothing is found there in {cases}")
    return "; ".join(told), moved


def in_order(points: Mapping[str, float], follow: Callable[[float], float]) -> dict[str, float]:
    """Operating points that each followed by itself; none comes below one that it was above."""
    found, highest = dict[str, float](), 0.0
    for key, at in sorted(points.items(), key=lambda item: item[1]):
        found[key] = highest = max(highest, follow(at))
    return found


def comparable(before: np.ndarray, after: np.ndarray, threshold: float) -> bool:
    """Whether counts as of `matched` tell where a threshold goes: something was found at it, and is now."""
    return bool(before[_nearest(threshold)] and after.any())


def matched(before: np.ndarray, after: np.ndarray, threshold: float) -> float:
    """The threshold at which the new counts come closest to the former one's at its own threshold.

    >>> before, after = np.zeros((2, len(THRESHOLDS)))
    >>> before[:50], after[:80] = 3, 3
    >>> matched(before, after, 0.5) == 0.5
    True
    >>> after[:60] = 9
    >>> matched(before, after, 0.5) == THRESHOLDS[60]
    True

    Candidates become fewer again where a low threshold lets them grow together; only thresholds from the one
    with the most candidates on are looked at, unless the one in use is below that of the former network.

    Args:
        before, after: (T,) candidates at each of `THRESHOLDS`.
        threshold: In use; the nearest of `THRESHOLDS` is taken.

    Returns:
        One of `THRESHOLDS`, of equals the nearest to the one in use. That itself where it is among them, so
        that a network that finds the same keeps it, and where the counts are not `comparable`.
    """
    if not comparable(before, after, threshold):
        return float(threshold)
    own = _nearest(threshold)
    apart = np.abs(after - before[own]).astype(float)
    if own >= before.argmax():
        apart[: int(after.argmax())] = np.inf
    equals = np.flatnonzero(apart == apart.min())
    found = int(equals[np.abs(equals - own).argmin()])
    return float(threshold if found == own else THRESHOLDS[found])


def _nearest(threshold: float) -> int:
    return int(np.argmin(np.abs(THRESHOLDS - threshold)))


def matched_score(before: np.ndarray, after: np.ndarray, score: float) -> float:
    """The score from which on as many candidates are kept as before.

    >>> matched_score(np.array([0.9, 0.8, 0.1]), np.array([0.5, 0.3, 0.2]), 0.7)
    0.3

    Args:
        before, after: (n,) scores of the same candidates by the former and the new network.
        score: In use with the former.

    Returns:
        Of the scores that keep as many, or where equal ones stay together the fewest that are more, the
        nearest to the one in use: that itself where it is among them, and where none was kept.
    """
    kept = int((before >= score).sum())
    if not kept:
        return float(score)
    lowest = np.sort(after)[::-1][kept - 1]
    below = after[after < lowest].max(initial=-1)
    # Scores are single precision: the next number above must still differ when compared with one.
    return float(np.clip(score, np.nextafter(np.float32(below), np.float32(2)), lowest))


def candidate_counts(
    row: Row, networks: Mapping[str, Predictor], columns: Sequence[LungColumn]
) -> np.ndarray:
    """(T,) candidates that networks find together in patients at each of `THRESHOLDS`.

    A patient that lacks an image of one of them is passed over.
    """
    counts = np.zeros(len(THRESHOLDS))
    for column in columns:
        if all(_usable(column, name) for name in networks):
            maps = {name: predictor.probability(column) for name, predictor in networks.items()}
            counts += _candidates(fused_map(row, maps, column.distance_mm))
    return counts


def _candidates(prob: np.ndarray) -> np.ndarray:
    """(T,) candidates of a fused map at each of `THRESHOLDS`."""
    return sweep(prob, np.zeros(prob.shape, dtype=np.uint8)).false_predictions


def _usable(column: LungColumn, segmenter: str) -> bool:
    return image_lacking(column, SEGMENTERS[segmenter]) is None
