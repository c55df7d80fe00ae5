"""Candidates of a patient as stage two learns from them and is judged by them, without the images.

A set holds everything that the rest of stage two needs: patches, what is true, and how candidates and
nodes overlap. It is made once for each case and kept as a file (`candidate_cache`).
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from osln.files.arrays import read_array, read_arrays, write_arrays
from osln.imaging.reviewed_part import DECIDED, UNDECIDED
from osln.metrics.matching import Overlaps, Scored, find_overlaps
from osln.rows.experiments import CONTEXT, StageTwo
from osln.stage_one.candidates import Detections
from osln.stage_two.context import candidate_context
from osln.stage_two.patches import Box, Patches, cut_patches
from osln.tagging.lesion_patch import lesion_places

LEFT_OUT = -1
"""Truth of a candidate that is neither a node nor none: it overlaps a node without hitting it, or nobody has
decided about it."""
LEAST_KNOWN = 0.5
"""Share of a candidate's voxels inside rejected ones that makes it none, where a review was in part."""


@dataclass(frozen=True)
class CandidateSet:
    """Candidates of one patient: m from stage one by falling score, then, for training, the true nodes.

    Attributes:
        case: Id of the case.
        patches: Local patches of all n; the context of added nodes is NaN.
        lesions: (n, 5) box x0, x1, y0, y1 and height z in RAS mm, by which the tagger finds them in the CT.
        stage_one_scores: (m,) mean probability.
        truth: (n,) int8: 1 for a hit or an added node, 0 for a false candidate, `LEFT_OUT`.
        overlaps: Of the m candidates with the nodes.
        iou: (n,) float32 as `node_iou` gives it; None where nobody asks for it. It lies in a file of its own.
        partial: Of a case that was submitted in part. No file holds it: whoever keeps the files knows.
    """

    case: str
    patches: Patches
    lesions: np.ndarray
    stage_one_scores: np.ndarray
    truth: np.ndarray
    overlaps: Overlaps
    iou: np.ndarray | None = None
    partial: bool = False

    @property
    def n_candidates(self) -> int:
        return len(self.stage_one_scores)

    def scored(self, scores: np.ndarray | None = None) -> Scored:
        """The (score, hit) pairs under these scores, (m,), or under those of stage one."""
        return self.overlaps.matching(self.stage_one_scores if scores is None else scores).scored()


def candidate_set(found: Detections, stage_two: StageTwo, *, add_nodes: bool) -> CandidateSet:
    """The set of a patient whose nodes are known.

    Args:
        found: Stage-one candidates; their column must hold the nodes as instances.
        stage_two: Gives patch and margin.
        add_nodes: Add every true node as a positive, whether stage one found it or not: for training.

    Raises:
        ValueError: The column has no node labels.
    """
    column = found.column
    if column.nodes is None:
        raise ValueError(f"case {column.case} has no approved nodes to compare with: review and submit it")
    overlaps = find_overlaps(found.labels, column.nodes).with_missed(column.nodes_outside())
    truth = np.zeros(len(found.candidates), dtype=np.int8)
    truth[_unknown(found)] = LEFT_OUT
    truth[overlaps.predicted] = LEFT_OUT
    truth[overlaps.predicted[overlaps.fits]] = 1
    boxes: list[Box] = [candidate.box for candidate in found.candidates]
    lesions = [lesion_places(found.labels, found.column.grid)]
    if add_nodes:
        nodes = [part for part in ndimage.find_objects(column.nodes.astype(np.int32)) if part is not None]
        boxes += [[(side.start, side.stop) for side in part] for part in nodes]
        truth = np.concatenate([truth, np.ones(len(nodes), dtype=np.int8)])
        lesions.append(lesion_places(column.nodes, found.column.grid))
    # Stage one has no score of an added node, found or not.
    context = np.full((len(boxes), len(CONTEXT)), np.nan, dtype=np.float32)
    context[: len(found.candidates)] = candidate_context(found.candidates, column)
    return CandidateSet(
        case=column.case,
        patches=replace(cut_patches(column, boxes, stage_two), context=context),
        lesions=np.concatenate(lesions),
        stage_one_scores=np.array([candidate.score for candidate in found.candidates], dtype=np.float64),
        truth=truth,
        overlaps=overlaps,
    )


def node_iou(found: Detections, content: CandidateSet) -> np.ndarray:
    """Overlap of each candidate with its node: what a network that predicts it learns from.

    A node that an annotator accepted as stage one had drawn it gives 1.

    Args:
        found: The candidates that the set was made of.
        content: The set.

    Returns:
        (n,) float32 intersection over union in voxels: of a candidate that hits several nodes the largest,
        0 of a false one, 1 of an added node, NaN of one whose truth is `LEFT_OUT`.

    Raises:
        ValueError: The set was made of other candidates.
    """
    overlaps, nodes = content.overlaps, found.column.nodes
    scores = np.array([candidate.score for candidate in found.candidates])
    kept = content.stage_one_scores
    if nodes is None or scores.shape != kept.shape or not np.allclose(scores, kept):
        raise ValueError(
            f"the kept candidates of case {content.case} are not those that its maps give now: delete their "
            "file, it will be made anew"
        )
    iou = np.where(content.truth == LEFT_OUT, np.nan, 0).astype(np.float32)
    iou[content.n_candidates :] = 1
    pairs = zip(overlaps.predicted[overlaps.fits], overlaps.touched[overlaps.fits], strict=True)
    for prediction, node in pairs:
        candidate = found.labels == overlaps.prediction_labels[prediction]
        true = nodes == overlaps.node_labels[node]
        iou[prediction] = max(iou[prediction], (candidate & true).sum() / (candidate | true).sum())
    return iou


def _unknown(found: Detections) -> np.ndarray:
    """(n,) bool: candidates that a review in part does not decide, in the order of the candidates.

    One that reaches into an undecided one is not decided either.
    """
    count, known = len(found.candidates), found.column.known
    if known is None or not count:
        return np.zeros(count, dtype=bool)
    numbers = [candidate.id for candidate in found.candidates]
    decided, undecided = (
        ndimage.mean(known == value, found.labels, numbers) for value in (DECIDED, UNDECIDED)
    )
    return (np.asarray(decided) < LEAST_KNOWN) | (np.asarray(undecided) > 0)


def save_set(path: Path, content: CandidateSet) -> None:
    """Writes a set atomically."""
    arrays = {
        "ct_hu": content.patches.ct_hu,
        "boxes": content.patches.boxes,
        "lesions": content.lesions,
        "stage_one_scores": content.stage_one_scores,
        "truth": content.truth,
        "context": content.patches.context,
        **{f"overlaps_{part.name}": getattr(content.overlaps, part.name) for part in fields(Overlaps)},
    }
    if content.patches.pet_suv is not None:
        arrays["pet_suv"] = content.patches.pet_suv
    write_arrays(path, {"case": np.array(content.case), **arrays})


def iou_path(path: Path) -> Path:
    """File of the overlaps beside that of the set, which is the same for networks that do not read them."""
    return path.with_name(f"{path.stem}-iou.npy")


def load_set(path: Path, *, iou: bool = False) -> CandidateSet:
    """Inverse of `save_set`; with `iou`, what lies in `iou_path` is read too.

    Raises:
        ValueError: If a file is damaged or not there; says that it may be deleted.
    """
    content = _load_set(path)
    if not iou:
        return content
    beside = iou_path(path)
    try:
        values = read_array(beside)
        if values.shape != content.truth.shape:
            raise ValueError(f"{values.shape} overlaps of {content.truth.shape} candidates")
    except (OSError, ValueError) as error:
        raise ValueError(f"{beside} cannot be read ({error}): delete it, it will be made anew") from error
    return replace(content, iou=values)


def _load_set(path: Path) -> CandidateSet:
    try:
        stored = read_arrays(path)
        return CandidateSet(
            case=str(stored["case"]),
            patches=Patches(stored["ct_hu"], stored.get("pet_suv"), stored["boxes"], stored["context"]),
            lesions=stored["lesions"],
            stage_one_scores=stored["stage_one_scores"],
            truth=stored["truth"],
            overlaps=Overlaps(*(stored[f"overlaps_{part.name}"] for part in fields(Overlaps))),
        )
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it, it will be made anew") from error
