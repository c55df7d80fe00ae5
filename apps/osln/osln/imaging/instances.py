"""The objects of a label map: their voxels, sizes, centers and radii.

Objects are small beside the volume, so everything after one pass over it works on their voxels alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)
"""26 neighbors."""

BLOCK_BYTES = 1024
"""Label maps are nearly all background: blocks of this size are looked at as a whole first."""


@dataclass(frozen=True)
class Instances:
    """Objects of one label map.

    Attributes:
        labels: (n,) values of the objects, ascending.
        sizes: (n,) voxels of each.
        owner: (v,) object of each occupied voxel.
        index: (3, v) place of each occupied voxel; in no particular order.
    """

    labels: np.ndarray
    sizes: np.ndarray
    owner: np.ndarray
    index: np.ndarray

    def radius_mm(self, definition: str, spacing_mm: np.ndarray | None) -> np.ndarray:
        """(n,) radius of each object.

        Args:
            definition: "sphere", "axial" or "box", see `osln.metrics.criteria.Criterion`.
            spacing_mm: (3,) voxel size; may be None for "sphere", whose result then is in voxel units.

        Raises:
            ValueError: The definition needs the voxel size.
        """
        if definition == "sphere":
            voxel = 1.0 if spacing_mm is None else float(np.prod(spacing_mm))
            return radius_mm(self.sizes * voxel)
        if spacing_mm is None:
            raise ValueError(f"the radius {definition!r} needs the voxel size: give spacing_mm")
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        if definition == "box":
            return self._edges(spacing).mean(axis=0) / 2
        parts = np.split(
            self.index[:, np.argsort(self.owner, kind="stable")], np.cumsum(self.sizes)[:-1], axis=1
        )
        return (
            np.array([_axial_diameter_mm(part, spacing) for part in parts]) / 2
            if len(self.labels)
            else np.zeros(0)
        )

    def centers(self) -> np.ndarray:
        """(n, 3) voxel nearest to each object's center of mass."""
        sums = [np.bincount(self.owner, along, minlength=len(self.labels)) for along in self.index]
        return np.rint(np.stack(sums, axis=1) / self.sizes[:, None]).astype(np.intp)

    def means(self, values: np.ndarray) -> np.ndarray:
        """(n,) mean of an image inside each object.

        Args:
            values: (X, Y, Z) on the label map's grid.
        """
        inside = values[tuple(self.index)].astype(np.float64)
        return np.bincount(self.owner, inside, minlength=len(self.labels)) / self.sizes

    def _edges(self, spacing: np.ndarray) -> np.ndarray:
        edges = np.zeros((3, len(self.labels)))
        for axis, along in enumerate(self.index):
            low = np.full(len(self.labels), np.iinfo(np.intp).max)
            high = np.full(len(self.labels), -1)
            np.minimum.at(low, self.owner, along)
            np.maximum.at(high, self.owner, along)
            edges[axis] = (high - low + 1) * spacing[axis]
        return edges


def radius_mm(volume_mm3: np.ndarray | float) -> np.ndarray:
    """Radius of the sphere of the same volume, (3V / 4 pi)^(1/3)."""
    return np.cbrt(np.asarray(volume_mm3, dtype=np.float64) * 3 / (4 * np.pi))


def instances(labels: np.ndarray) -> Instances:
    """The objects of a label map.

    Args:
        labels: (X, Y, Z), 0 is background; any memory order.

    Returns:
        The objects; empty arrays if there are none.
    """
    # A file's voxels mostly come as a flipped and transposed view. Walking such a view in its own order of
    # axes takes ten times as long as walking the memory, so the places are turned instead of the volume.
    order = np.argsort([-abs(step) for step in labels.strides], kind="stable")
    turned = labels.transpose(order)
    backward = [step < 0 for step in turned.strides]
    flat = turned[tuple(slice(None, None, -1 if back else 1) for back in backward)].ravel()
    occupied = _occupied(flat)
    index = np.empty((3, len(occupied)), dtype=np.intp)
    for axis, back, place, size in zip(
        order, backward, np.unravel_index(occupied, turned.shape), turned.shape, strict=True
    ):
        index[axis] = size - 1 - place if back else place
    values, owner, sizes = np.unique(flat[occupied], return_inverse=True, return_counts=True)
    return Instances(values, sizes, owner, index)


def _occupied(flat: np.ndarray) -> np.ndarray:
    """Ascending positions of the values that are not 0: `np.flatnonzero`, at the speed of the memory."""
    per_block = BLOCK_BYTES // flat.itemsize
    whole = flat.size // per_block * per_block
    blocks = flat[:whole].reshape(-1, per_block)
    used = np.flatnonzero(blocks.view(np.uint64).max(axis=1))
    block, place = np.divmod(np.flatnonzero(blocks[used] != 0), per_block)
    return np.concatenate([used[block] * per_block + place, whole + np.flatnonzero(flat[whole:] != 0)])


def _axial_diameter_mm(index: np.ndarray, spacing: np.ndarray) -> float:
    """Longest diameter in a slice of the third axis, (3, v) voxels, between middles of voxel edges."""
    longest = 0.0
    for z in np.unique(index[2]):
        plane = index[:2, index[2] == z].T.astype(np.float64)
        edges = np.concatenate([plane + step for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))])
        corners = edges[ConvexHull(edges).vertices] * spacing[:2]
        longest = max(longest, float(pdist(corners).max()))
    return longest
