"""How many approved nodes of a case are proximal and how many distal: what splits are balanced by."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from osln.rows.experiments import PROXIMAL_MM
from osln.store.approved import approved_study
from osln.store.layout import companions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strata:
    """Nodes of a patient by zone.

    Attributes:
        proximal: At most 70 mm from the tumor.
        distal: Further away.
    """

    proximal: int
    distal: int

    def __add__(self, other: "Strata | None") -> "Strata":
        return self if other is None else Strata(self.proximal + other.proximal, self.distal + other.distal)


def strata_of(root: Path, case: str) -> Strata | None:
    """The approved nodes of a case by zone; None without a label or a tumor, where a file cannot be read, and
    where the case was reviewed in part, so that nobody knows how many there are.

    A node belongs to the zone of its center.
    """
    try:
        study = approved_study(companions(root, case))
    except (ValueError, OSError) as error:
        logger.info("The nodes of case %s are not known to balance the splits: %s", case, error)
        return None
    if study.nodes is None or study.tumor is None or study.part is not None:
        return None
    labels = study.nodes.array
    index = np.unique(labels[labels > 0])
    if not len(index):
        return Strata(0, 0)
    centers = study.nodes.grid.index_to_mm(np.array(ndimage.center_of_mass(labels > 0, labels, index)))
    tumor = study.tumor.grid.index_to_mm(np.argwhere(study.tumor.array))
    near = int((cKDTree(tumor).query(centers)[0] <= PROXIMAL_MM).sum())
    return Strata(near, len(index) - near)
