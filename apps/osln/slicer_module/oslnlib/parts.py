"""Which node a drawn voxel belongs to. Arrays and frames are those of `review`."""

import numpy as np


def parts_of(drawn):
    """Voxels that are not 0, (N, 3), and the number of the part that each lies in.

    A part is 26-connected and of one value, since each segment is apart from the others.
    """
    voxels = np.argwhere(drawn)
    shape = [side + 2 for side in drawn.shape]
    values = drawn[tuple(voxels.T)]
    places = np.ravel_multi_index(tuple((voxels + 1).T), shape)  # Sorted, as argwhere is.
    root = np.arange(len(voxels))
    pairs = []
    for step in np.ndindex(3, 3, 3):
        apart = np.ravel_multi_index((1, 1, 1), shape) - np.ravel_multi_index(step, shape)
        if apart <= 0 or not len(voxels):
            continue
        at = np.minimum(np.searchsorted(places, places + apart), len(places) - 1)
        met = np.flatnonzero((places[at] == places + apart) & (values[at] == values))
        pairs.append(np.stack([met, at[met]]))
    one, other = np.concatenate(pairs, axis=1) if pairs else (root, root)
    while True:
        lowest = root.copy()
        np.minimum.at(lowest, one, root[other])
        np.minimum.at(lowest, other, root[one])
        lowest = lowest[lowest]
        if np.array_equal(lowest, root):
            return voxels, np.unique(root, return_inverse=True)[1].reshape(-1)
        root = lowest


def places_of(voxels, shape):
    """Voxels (N, 3) as numbers, (N,), sorted: equal for equal outlines."""
    return np.sort(np.ravel_multi_index(tuple(voxels.T), shape)) if len(voxels) else np.zeros(0, int)


def owners(drawn, affine, candidates, outlines=None, near=()):
    """Which node each drawn voxel belongs to.

    A candidate owns the part that has voxels of its outline or the voxel of its center; of several the one
    nearest to its center. What lies beside it is another node, however large its sphere is. A part of several
    goes voxel by voxel to the one whose sphere is nearest.

    Args:
        drawn: (i, j, k), 0 or the number of a segment of nodes.
        affine: (4, 4), voxel index to RAS mm.
        candidates: Each with `rank`, `center_mm` and `radius_mm`.
        outlines: Places (`places_of`) of the outlines that are known, by rank.
        near: Ranks of candidates that are known to be drawn: without such a part they own the one that is
            nearest to the center, if that lies within the radius or a voxel's diagonal.

    Returns:
        (voxels (N, 3), node (N,)): node is the number of a candidate, or len(candidates) + the number of
        the part for what no candidate owns.
    """
    voxels, part = parts_of(drawn)
    node = len(candidates) + part
    if not len(voxels):
        return voxels, node
    places = places_of(voxels, drawn.shape)  # In the order of the voxels.
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    reach = np.linalg.norm(affine[:3, :3].sum(axis=1))
    least = np.full(len(voxels), np.inf)
    for number, one in enumerate(candidates):
        radius = one["radius_mm"] or 0.0
        apart = np.linalg.norm(points - one["center_mm"], axis=1)
        center = np.rint(np.linalg.solve(affine, [*one["center_mm"], 1.0])[:3])
        held = (voxels == center).all(axis=1) | np.isin(places, (outlines or {}).get(one["rank"], ()))
        if held.any():
            nearest = np.where(np.isin(part, part[held]), apart, np.inf).argmin()
        elif one["rank"] in near and apart.min() <= max(radius, reach):
            nearest = apart.argmin()
        else:
            continue
        own = (part == part[nearest]) & (apart - radius < least)
        node[own] = number
        least[own] = (apart - radius)[own]
    return voxels, node
