"""A case under review: what was decided, which voxels that takes away, and what is submitted.

Voxel arrays are (i, j, k) as Slicer has the CT, points RAS mm, affines (4, 4) from voxel index to RAS mm.
`drawn` is an array of 0 and the number of the segment of nodes that a voxel lies in.
"""

from __future__ import annotations

import time

import numpy as np

from .names import NODE, TUMOR
from .parts import owners, places_of

COLUMNS = ("", "state", "score", "SUVmax", "mm", "zone", "to tumor")
DRAWN = ("accepted", "edited", "added")
"""States of a candidate of which something has to be drawn."""


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
        self._submitted = self._states()

    def started(self, drawn, *, predicted):
        """Remembers the outlines that are there.

        Args:
            drawn: What the segments are to hold.
            predicted: Whether it is the stored prediction, of which nothing stays that is not kept or was
                rejected before. What a person has drawn or approved stays as it is.

        Returns:
            `drawn` without what does not stay.
        """
        if predicted:
            # What was not kept is not drawn as a rule, and must not take from a kept one beside it.
            near = {one["rank"] for one in self.all if one["kept"]}
            voxels, node = owners(drawn, self.affine, self.all, near=near)
        else:
            voxels, node = self._owners(drawn, self.all)
        kept = drawn.copy()
        for number, one in enumerate(self.all):
            mine = voxels[node == number]
            if not predicted or (one in self.listed and one["state"] != "rejected"):
                self._first[one["rank"]] = places_of(mine, drawn.shape)
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

    def unsubmitted(self):
        """Whether decisions were made that are not submitted."""
        return self._states() != self._submitted

    def submitted(self):
        """The server has stored the decisions."""
        self._submitted = self._states()

    def reject(self, drawn):
        """Rejects the current candidate; returns (bool) which drawn voxels are to be cleared.

        Nothing is cleared a second time: what lies there then was drawn since.
        """
        one, clear = self.current, np.zeros(drawn.shape, bool)
        if one["state"] == "rejected":
            return clear
        one["state"] = "rejected"
        others = [other for other in self.listed if other["state"] != "rejected" or other is one]
        voxels, node = self._owners(drawn, others)
        mine = voxels[node == next(n for n, other in enumerate(others) if other is one)]
        if len(mine):
            self._erased[one["rank"]] = mine
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
        voxels, node = self._owners(drawn, held)
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

    def _states(self):
        return [one["state"] for one in self.all]

    def _owners(self, drawn, candidates):
        """`owners`; only what was decided to be a node may be one that was drawn beside its center."""
        near = {one["rank"] for one in candidates if one["state"] in DRAWN}
        return owners(drawn, self.affine, candidates, self._first, near)

    def _entry(self, one, value, mine, shape):
        if one is not None and one["state"] in DRAWN and value is None:
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
        changed = (
            value is not None and first is not None and not np.array_equal(first, places_of(mine, shape))
        )
        state = "edited" if changed and one["state"] == "accepted" else one["state"]
        told = {"id": f"c{one['rank']}", "state": state, "value": value, "origin": "model"}
        return {**told, "seconds": round(one["seconds"], 2), **{name: one[name] for name in names}}


def row(one):
    """A line of the table, by `COLUMNS`."""

    def shown(name, form):
        return "" if one[name] is None else format(one[name], form)

    size = "" if one["radius_mm"] is None else format(2 * one["radius_mm"], ".0f")
    figures = (shown("score", ".2f"), shown("suv_max", ".1f"), size)
    return (str(one["rank"]), one["state"], *figures, one["zone"] or "", shown("distance_mm", ".0f"))
