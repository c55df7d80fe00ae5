"""Cohorts from folders of label maps and probability maps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from osln.evaluation.figures import ScoredPatients
from osln.evaluation.scores import Scores, file_beside, own_scores, read_scores, scores_of, with_own
from osln.files.images import split_suffix
from osln.imaging.grid import Grid, Volume, read_volume
from osln.imaging.instances import CONNECTIVITY, instances
from osln.imaging.labelmaps import whole_numbers
from osln.imaging.single_nodes import as_stored, single_nodes
from osln.metrics.criteria import Criterion
from osln.metrics.matching import Matching, find_overlaps, match
from osln.metrics.sweep import Sweep, sweep


@dataclass(frozen=True)
class MapFolders:
    """Folders with one image for each case, named by the case; and how to read them.

    Attributes:
        predictions: Label maps with one value for each prediction; with `level`, probability maps.
        truth: Label maps with one value for each node.
        scores: CSV (case, label, score) or JSON ({case: {label: score}}); else the file `scores.csv` or
            `scores.json` beside the predictions is taken.
        probabilities: Probability maps whose mean inside a prediction is its score.
        level: Predictions are the 26-connected components of `predictions >= level`, scored by their mean.
        ignored: Label maps of findings that make a prediction neither true nor false; a case without
            a file has none.
        split_truth: Nodes are the 26-connected components of each value of the truth.
        whole_truth: One node for each value; else several parts of a value are refused, because nobody knows
            whether they are nodes.
        whole_predictions: One prediction for each value; else the 26-connected components of a prediction
            map of a single value are predictions of their own, unless a file has scores by value.
        only_common: Leave cases out that are in one folder only, instead of refusing them.
        in_part: Cases that are left out, because their truth is known in part.
        approved: Of cases whose truth is the approved label of a store: the map that tells its nodes apart,
            or None, so that its parts are nodes, as they are in training.
        rejected: Of cases whose label map also shows what was rejected: the value, which is no prediction.
        failed: Cases whose last detection failed: what lies there is older, or half written.
        notes: Sentences about the predictions that stand with every figure.
        results: Of cases that have a result of `detect` beside them: the scores in it, by value of the label
            map; None where that shows what was kept alone. They count as scores beside the predictions do.
    """

    predictions: Path
    truth: Path
    scores: Path | None = None
    probabilities: Path | None = None
    level: float | None = None
    ignored: Path | None = None
    split_truth: bool = False
    whole_truth: bool = False
    whole_predictions: bool = False
    only_common: bool = False
    in_part: Sequence[str] = ()
    approved: Mapping[str, Path | None] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Sequence[str] = ()
    notes: Sequence[str] = ()
    results: Mapping[str, Mapping[int, float] | None] = field(default_factory=dict)


def map_cohort(
    folders: MapFolders,
    criterion: Criterion,
    watched: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> ScoredPatients:
    """Reads and matches all cases.

    Args:
        folders: What to read.
        criterion: Row of `CRITERIA`.
        watched: Passes on the cases, and may show how far it is.

    Returns:
        The matched cohort; with `level`, also the stage-one counts of each case.

    Raises:
        ValueError: Folders whose cases do not match, files that cannot be read, grids that differ, scores
            that are missing, left over, repeated or not finite. The message names the case and what to do.
    """
    if folders.level is not None and not 0 < folders.level <= 1:
        raise ValueError(f"the level of a probability map lies above 0 and up to 1, got {folders.level:g}")
    found, true = case_files(folders.predictions), case_files(folders.truth)
    cases, left_out = _common_cases(folders, found, true)
    scores, told = _scores(folders, cases)
    notes = [*folders.notes, *told]
    if partial := [case for case in cases if case in folders.in_part]:
        left_out = [
            *left_out,
            f"cases that were submitted in part: {', '.join(partial)}; complete their review",
        ]
        cases = [case for case in cases if case not in partial]
        if not cases:
            raise ValueError(f"every case was submitted in part, and nothing can be judged: {left_out[-1]}")
    maps = case_files(folders.probabilities) if folders.probabilities else {}
    ignored = case_files(folders.ignored) if folders.ignored else {}
    if strangers := sorted(set(ignored) - set(true)):
        raise ValueError(
            f"{folders.ignored} has files of cases that {folders.truth} lacks: {', '.join(strangers)}"
        )
    matchings: dict[str, Matching] = {}
    sweeps: dict[str, Sweep] = {}
    if older := [case for case in cases if case in folders.failed]:
        raise ValueError(
            f"the last run of detect failed in case {', '.join(older[:3])}, and what lies in "
            f"{folders.predictions} is older or half written: run it again, or take its files away"
        )
    parted = torn = without = 0
    several: list[str] = []
    for case in watched(cases):
        reference = _read(case, "truth", true[case])
        grid = reference.grid
        nodes = _nodes(case, reference, folders)
        if case not in folders.approved and _torn(nodes):
            several.append(case)
        image = _read(case, "prediction", found[case], grid)
        if folders.level is not None:
            prob = _probability(case, image)
            labels = ndimage.label(prob >= np.float32(folders.level), CONNECTIVITY)[0]
            values: np.ndarray | None = instances(labels).means(prob)
            if not ignored:
                sweeps[case] = sweep(prob, nodes, criterion=criterion, spacing_mm=grid.spacing_mm)
        else:
            labels = _labels(case, "prediction", image)
            if case in folders.rejected:
                labels = np.where(labels == folders.rejected[case], 0, labels)
                without += 1
            if scores is None and not folders.whole_predictions:
                labels, of_one_value = _parted(labels)
                parted += of_one_value
                torn += not of_one_value and _torn(labels)
            values = (
                _mean_probabilities(case, labels, maps, grid) if maps else scores_of(case, labels, scores)
            )
        matchings[case] = match(labels, nodes, values, criterion, grid.spacing_mm)
        if case in ignored:
            other = _labels(case, "ignored findings", _read(case, "ignored findings", ignored[case], grid))
            hitting = find_overlaps(labels, other, replace(criterion, radius=None)).hitting
            matchings[case] = matchings[case].ignoring(hitting)
    if several and not folders.whole_truth:
        raise ValueError(
            f"the truth of {len(several)} of {len(cases)} cases holds a value in several parts "
            f"({', '.join(several[:3])}): --split-truth takes each part of a value for a node, --whole-truth "
            "each value for one"
        )
    if parted:
        notes.append(
            f"{parted} of {len(cases)} predictions hold one value in several parts: each part was taken for "
            "a prediction of its own; --whole-predictions takes them for one"
        )
    if torn:
        notes.append(
            f"{torn} of {len(cases)} predictions hold several values, some of them in several parts: each "
            "value was taken for one prediction"
        )
    if without:
        notes.append(f"rejected candidates in {without} label maps were left out")
    if ignored and folders.level is not None:
        notes.append("the sweep of the voxel threshold does not know ignored findings, so it was left out")
    return ScoredPatients.of(matchings, sweeps or None, left_out, notes)


def case_files(folder: Path) -> dict[str, Path]:
    """Image files of a folder by case.

    Raises:
        ValueError: There is no such folder, it holds no image, or two images of one case.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is not a folder: expected one with an image for each case, as case.nii.gz"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        case, suffix = split_suffix(path)
        if not suffix or not path.is_file():
            continue
        # Slicer's segmentations end with two suffixes.
        case = case.removesuffix(".seg") if suffix.lower() == ".nrrd" else case
        if case in found:
            raise ValueError(f"{found[case].name} and {path.name} in {folder} are both case {case}: keep one")
        found[case] = path
    if not found:
        raise ValueError(f"{folder} holds no image: expected one for each case, as case.nii.gz")
    return found


def _common_cases(
    folders: MapFolders, found: Mapping[str, Path], true: Mapping[str, Path]
) -> tuple[list[str], list[str]]:
    """Cases of both folders, and sentences about the others where they may be left out."""
    left_out, without = [], []
    for here, there, folder, lacking, what in (
        (
            found,
            true,
            folders.predictions,
            folders.truth,
            "predictions, all false ones where there is no node",
        ),
        (
            true,
            found,
            folders.truth,
            folders.predictions,
            "nodes, all missed ones where nothing was predicted",
        ),
    ):
        alone = sorted(set(here) - set(there))
        if alone:
            named = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
            left_out.append(f"cases of {folder} that {lacking} lacks: {named} ({len(alone)} of {len(here)})")
            without.append(what)
    if left_out and not folders.only_common:
        raise ValueError(
            f"the folders hold other cases: {'; '.join(left_out)}. Where nothing was predicted, or where "
            "there is no node, an empty label map says so (in a store: submit the case without nodes); "
            f"--only-common leaves these cases out, and with them their {' and their '.join(without)}"
        )
    left_out = [f"{one}, with their {what}" for one, what in zip(left_out, without, strict=True)]
    cases = sorted(set(found) & set(true))
    if not cases:
        raise ValueError(f"{folders.predictions} and {folders.truth} have no case in common")
    return cases, left_out


def _scores(folders: MapFolders, cases: list[str]) -> tuple[Scores | None, list[str]]:
    sources = (folders.level, folders.probabilities, folders.scores)
    if sum(source is not None for source in sources) > 1:
        raise ValueError(
            "scores come from a file, from probability maps, or by a level: give one of the three"
        )
    own = own_scores(folders.results, cases)
    if folders.level is not None or folders.probabilities is not None:
        return None, []
    path = folders.scores or file_beside(folders.predictions)
    if path is None and not own:
        return None, ["no scores were given: all predictions count alike, so the curve has a single point"]
    scores = read_scores(path) if path else {}
    strangers = sorted(set(scores) - set(cases))
    if path and strangers and not folders.only_common:
        raise ValueError(f"{path.name} has scores of cases without a label map: {', '.join(strangers[:5])}")
    if path and (folders.scores or path.suffix != ".json"):
        return scores, []
    return with_own(scores, own)


def _read(case: str, what: str, path: Path, grid: Grid | None = None) -> Volume:
    try:
        volume = read_volume(path)
    except ValueError as error:
        raise ValueError(f"case {case}, {what}: {error}") from error
    if grid is not None and not volume.grid.matches(grid):
        raise ValueError(
            f"case {case}: the {what} lies on another grid than the truth (shape {volume.grid.shape}, "
            f"spacing {np.round(volume.grid.spacing_mm, 3).tolist()} mm, against {grid.shape}, "
            f"{np.round(grid.spacing_mm, 3).tolist()} mm, or another place): write both on one grid"
        )
    return volume


def _labels(case: str, what: str, volume: Volume) -> np.ndarray:
    try:
        return whole_numbers(volume.array)
    except ValueError as error:
        raise ValueError(f"case {case}, {what}: {error}") from error


def _nodes(case: str, truth: Volume, folders: MapFolders) -> np.ndarray:
    """A value for each node of the truth."""
    nodes = _labels(case, "truth", truth)
    if case in folders.approved and not folders.whole_truth:
        apart = folders.approved[case]
        what = "map of its nodes"
        kept = None if apart is None else _labels(case, what, _read(case, what, apart, truth.grid))
        nodes = as_stored(nodes, kept)
    return single_nodes(nodes)[0] if folders.split_truth else nodes


def _parted(labels: np.ndarray) -> tuple[np.ndarray, bool]:
    """A map of one value with its connected parts apart, and whether there are several."""
    if len(np.unique(labels[labels != 0])) != 1:
        return labels, False
    parts, n = ndimage.label(labels != 0, CONNECTIVITY)
    return (parts, True) if n > 1 else (labels, False)


def _torn(labels: np.ndarray) -> bool:
    """Whether a value of a map lies in several connected parts."""
    return single_nodes(labels)[1] > len(np.unique(labels[labels != 0]))


def _mean_probabilities(case: str, labels: np.ndarray, maps: Mapping[str, Path], grid: Grid) -> np.ndarray:
    if case not in maps:
        raise ValueError(f"case {case} has no probability map: give one for each case")
    return instances(labels).means(_probability(case, _read(case, "probability map", maps[case], grid)))


def _probability(case: str, volume: Volume) -> np.ndarray:
    prob = volume.array
    finite = np.isfinite(prob).all()
    if not finite or prob.min() < 0 or prob.max() > 1:
        found = f"{prob.min():g} to {prob.max():g}" if finite else "NaN or infinite ones"
        raise ValueError(f"case {case}: a probability map holds finite values from 0 to 1, this one {found}")
    return prob
