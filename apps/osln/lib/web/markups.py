"""Candidates as a file of 3D Slicer's module *Markups*: a click on a line of its list jumps to the node.

Reference: Slicer's JSON schema for markups, version 1.0.3.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
"""Slicer reads files of this name; nobody fetches it."""


def markups(offered: Mapping[str, Any]) -> dict[str, Any]:
    """One list of points, named by rank and score.

    Args:
        offered: From `lib.store.offered.offered`; points are RAS.

    Returns:
        The file's JSON; points are LPS, as it says. What the model does not keep, and what was rejected, is
        in the list and not drawn.
    """
    return {
        "@schema": SCHEMA,
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "locked": True,
                "labelFormat": "%N-%d",
                "controlPoints": [_point(one) for one in offered["candidates"]],
            }
        ],
    }


def _point(one: Mapping[str, Any]) -> dict[str, Any]:
    x, y, z = one["center_mm"]
    score = "" if one["score"] is None else f" ({one['score']:.2f})"
    decided = one["state"] not in (None, "undecided")
    return {
        "id": str(one["rank"]),
        "label": f"{one['rank']}{score}",
        "description": described(one),
        "position": [-x, -y, z],
        "selected": one["state"] != "rejected",
        "locked": True,
        "visibility": one["state"] != "rejected" if decided else one["kept"],
        "positionStatus": "defined",
    }


def described(one: Mapping[str, Any]) -> str:
    """What is known of a candidate, in words; only what is known."""
    parts = [
        one["state"] or ("" if one["kept"] else "not kept by the model"),
        "" if one["suv_max"] is None else f"SUVmax {one['suv_max']:.1f}",
        one["zone"] or "",
        "" if one["distance_mm"] is None else f"{one['distance_mm']:.0f} mm from the tumor",
    ]
    return ", ".join(part for part in parts if part)
