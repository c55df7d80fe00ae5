"""A case under review: what was decided, which voxels that takes away, and what is submitted.

Voxel arrays are (i, j, k) as Slicer has the CT, points RAS mm, affines (4, 4) from voxel index to RAS mm.
`drawn` is an array of 0 and the number of the segment of nodes that a voxel lies in.
"""

from __future__ import annotations

import time

import numpy as np

NODE, TUMOR = "lymph node", "tumor"
COLUMNS = ("", "state", "score", "SUVmax", "mm", "zone", "to tumor")


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


def owners(drawn, affine, candidates):
    """Which node each drawn voxel belongs to.

    A candidate owns the part that is nearest to its center, if that lies within its radius or a voxel's
    diagonal; a part of several goes voxel by voxel to the one whose sphere is nearest.

    Returns:
        (voxels (N, 3), node (N,)): node is the number of a candidate, or len(candidates) + the number of
        the part for what no candidate owns.
    """
    voxels, part = parts_of(drawn)
    node = len(candidates) + part
    if not len(voxels):
        return voxels, node
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    reach = np.linalg.norm(affine[:3, :3].sum(axis=1))
    least = np.full(len(voxels), np.inf)
    for number, one in enumerate(candidates):
        radius = one["radius_mm"] or 0.0
        apart = np.linalg.norm(points - one["center_mm"], axis=1)
        if apart.min() > max(radius, reach):
            continue
        own = (part == part[apart.argmin()]) & (apart - radius < least)
        node[own] = number
        least[own] = (apart - radius)[own]
    return voxels, node


class Review:
    """The candidates of a case and what was decided about each.

    Args:
        offered: From `Server.candidates`.
        affine: Of the CT.
        clock: Seconds that only grow.
    """

    def __init__(self, offered=None, affine=None, clock=time.monotonic):
        offered = offered or {"case": "", "model": None, "candidates": []}
        self.case, self.model, self.affine, self._clock = offered["case"], offered["model"], affine, clock
        self.all = [
            {**one, "state": one["state"] or "undecided", "seconds": 0.0} for one in offered["candidates"]
        ]
        self.listed = [one for one in self.all if one["kept"] or one["state"] != "undecided"]
        self.current = None
        self._erased = {}
        self._first = {}
        self._begun = self._since = clock()

    def started(self, drawn, *, predicted):
        """Remembers the outlines that are there.

        Args:
            drawn: What the segments are to hold.
            predicted: Whether it is the stored prediction, of which nothing stays that is not kept or was
                rejected before. What a person has drawn or approved stays as it is.

        Returns:
            `drawn` without what does not stay.
        """
        voxels, node = owners(drawn, self.affine, self.all)
        kept = drawn.copy()
        for number, one in enumerate(self.all):
            mine = voxels[node == number]
            if not predicted or (one in self.listed and one["state"] != "rejected"):
                self._first[one["rank"]] = _places(mine, drawn.shape)
                continue
            kept[tuple(mine.T)] = 0
            if len(mine):
                self._erased[one["rank"]] = mine
        return kept

    def step(self, by):
        """The listed candidate after (1) or before (-1) the current one, round and round, or None."""
        if not self.listed:
            return None
        at = self.listed.index(self.current) if self.current in self.listed else (-1 if by > 0 else 0)
        return self.select(self.listed[(at + by) % len(self.listed)])

    def select(self, one):
        """Makes a candidate the current one."""
        now = self._clock()
        if self.current is not None:
            self.current["seconds"] += now - self._since
        self._since, self.current = now, one
        return one

    def left(self):
        """Candidates that wait for a decision."""
        return [one for one in self.listed if one["state"] == "undecided"]

    def reject(self, drawn):
        """Rejects the current candidate; returns (bool) which drawn voxels are to be cleared."""
        one = self.current
        others = [other for other in self.listed if other["state"] != "rejected" or other is one]
        voxels, node = owners(drawn, self.affine, others)
        mine = voxels[node == next(n for n, other in enumerate(others) if other is one)]
        if len(mine):
            self._erased[one["rank"]] = mine
        one["state"] = "rejected"
        clear = np.zeros(drawn.shape, bool)
        clear[tuple(mine.T)] = True
        return clear

    def accept(self, drawn):
        """Accepts the current candidate; returns the voxels (N, 3) that rejecting took away, if free."""
        self.current["state"] = "accepted"
        again = self._erased.pop(self.current["rank"], np.zeros((0, 3), int))
        return again[drawn[tuple(again.T)] == 0]

    def submission(self, drawn, tumor=None, undecided="accepted"):
        """What is sent: label map (uint8 or uint16, a value for each node), `label_info`, review.

        Args:
            drawn: 0, or the number of the segment of nodes.
            tumor: Mask, where one was drawn; None otherwise. Nodes lie over it.
            undecided: "accepted": undecided candidates that are drawn are nodes; "rejected": they are not.

        Raises:
            ValueError: If an accepted candidate has no voxel.
        """
        self.select(self.current)
        held = [one for one in self.listed if one["state"] != "rejected"]
        voxels, node = owners(drawn, self.affine, held)
        values, info, entries = np.zeros(drawn.shape, np.uint16), [], []
        for number in np.unique([*range(len(held)), *node]).astype(int):
            mine = voxels[node == number]
            one = held[number] if number < len(held) else None
            value = None
            if len(mine) and (one is None or one["state"] != "undecided" or undecided == "accepted"):
                value = len(info) + 1
                values[tuple(mine.T)] = value
                info.append({"name": f"{NODE} {value}", "idx": value})
            entries.append(self._entry(one, value, mine, drawn.shape))
        gone = [one for one in self.listed if one["state"] == "rejected"]
        entries += [self._entry(one, None, voxels[:0], drawn.shape) for one in gone]
        info = info or [{"name": NODE, "idx": 1}]
        if tumor is not None and (tumor & (values == 0)).any():
            info.append({"name": TUMOR, "idx": len(info) + 1})
            values[tumor & (values == 0)] = info[-1]["idx"]
        review = {
            "complete": not self.left(),
            "seconds": round(self._clock() - self._begun, 2),
            "undecided": undecided,
            "model": self.model,
            "candidates": entries,
        }
        return values.astype(np.uint8) if values.max(initial=0) < 256 else values, info, review

    def _entry(self, one, value, mine, shape):
        if one is not None and one["state"] in ("accepted", "edited", "added") and value is None:
            raise ValueError(
                f"candidate {one['rank']} is {one['state']}, and the segment '{NODE}' has nothing there: "
                "draw it, or reject the candidate"
            )
        if one is None:
            center = mine.mean(axis=0) @ self.affine[:3, :3].T + self.affine[:3, 3]
            volume = len(mine) * abs(np.linalg.det(self.affine[:3, :3]))
            return {
                "id": f"drawn-{value}",
                "state": "added",
                "value": value,
                "center_mm": [round(float(along), 2) for along in center],
                "radius_mm": round(float((3 * volume / (4 * np.pi)) ** (1 / 3)), 2),
                "origin": "annotator",
            }
        names = ("center_mm", "radius_mm", "score", "stage_one_score", "suv_max", "distance_mm", "zone")
        first = self._first.get(one["rank"])
        changed = value is not None and first is not None and not np.array_equal(first, _places(mine, shape))
        state = "edited" if changed and one["state"] == "accepted" else one["state"]
        told = {"id": f"c{one['rank']}", "state": state, "value": value, "origin": "model"}
        return {**told, "seconds": round(one["seconds"], 2), **{name: one[name] for name in names}}


def _places(voxels, shape):
    return np.sort(np.ravel_multi_index(tuple(voxels.T), shape)) if len(voxels) else np.zeros(0, int)


def row(one):
    """A line of the table, by `COLUMNS`."""

    def shown(name, form):
        return "" if one[name] is None else format(one[name], form)

    size = "" if one["radius_mm"] is None else format(2 * one["radius_mm"], ".0f")
    figures = (shown("score", ".2f"), shown("suv_max", ".1f"), size)
    return (str(one["rank"]), one["state"], *figures, one["zone"] or "", shown("distance_mm", ".0f"))
