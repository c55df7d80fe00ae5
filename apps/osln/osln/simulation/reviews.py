"""What the annotator of a simulation has said of a case, as stage one learns from it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from osln.imaging.lung_column import LungColumn
from osln.imaging.reviewed_part import ReviewedPart, known_voxels


@dataclass
class Review:
    """A case that was opened.

    Attributes:
        nodes: Labels of the true nodes that are outlined.
        rejected: (2, 3) lowest and highest corner of each place where there is none, RAS mm.
        undecided: Those of the candidates that were shown last and not judged, or are neither.
        complete: It was looked at as a whole: all nodes are outlined, and there is nothing else.
    """

    nodes: set[int] = field(default_factory=set)
    rejected: list[np.ndarray] = field(default_factory=list)
    undecided: list[np.ndarray] = field(default_factory=list)
    complete: bool = False

    def taught(self, column: LungColumn) -> LungColumn:
        """The patient with what was said and nothing else: the rest weighs nowhere (`known_voxels`).

        Args:
            column: With all true nodes.
        """
        if self.complete:
            return column
        assert column.nodes is not None
        nodes = np.where(np.isin(column.nodes, sorted(self.nodes)), column.nodes, 0).astype(
            column.nodes.dtype
        )
        part = ReviewedPart(_stacked(self.rejected), _stacked(self.undecided))
        return replace(column, nodes=nodes, known=known_voxels(part, nodes, column.grid))


def _stacked(boxes: Iterable[np.ndarray]) -> np.ndarray:
    return np.array(list(boxes), dtype=np.float64).reshape(-1, 2, 3)
