"""When a prediction hits a node, and how figures are averaged: the default and its variants, by name.

What each word of a row means is defined in `osln.metrics.definitions`; the rows only choose. The first row of
each table is the default. A variant for one run is `dataclasses.replace` of a row.
"""

from dataclasses import dataclass

OVERLAPS = ("voxel", "iou", "center")
RADII = ("sphere", "axial", "box", None)
EXTRAS = ("ignored", "false")


@dataclass(frozen=True)
class Criterion:
    """When a prediction hits a node and what becomes of the predictions that come too late.

    Attributes:
        name: Key in `CRITERIA`.
        title: What the row stands for.
        overlap: "voxel": they share a voxel (marks: the spheres meet). "iou": intersection over union of at
            least `least_iou`. "center": the center of the prediction lies in the node (marks: nearer to
            the node's center than its radius).
        least_iou: Used with "iou" only.
        radius: Definition of the radius whose ratio, prediction over node, must lie within 0.5 to 1.5.
            "sphere": of the sphere of the same volume. "axial": half the longest diameter in an axial
            slice. "box": half the mean edge of the bounding box. None: no radius is asked for.
        one_node: A prediction finds at most one node.
        extras: What a prediction is that hits only nodes which better ones have found: "ignored", neither
            true nor false, or "false".
    """

    name: str
    title: str
    overlap: str = "voxel"
    least_iou: float = 0.0
    radius: str | None = "sphere"
    one_node: bool = False
    extras: str = "ignored"

    def __post_init__(self) -> None:
        for field, known in (("overlap", OVERLAPS), ("radius", RADII), ("extras", EXTRAS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is one of {known}, got {getattr(self, field)!r}")
        if not 0 <= self.least_iou <= 1 or (self.overlap == "iou") != (self.least_iou > 0):
            raise ValueError(
                f"least_iou lies above 0 and up to 1 with overlap 'iou' and is 0 with the others, got "
                f"{self.least_iou:g} with {self.overlap!r}"
            )


PAPER = Criterion("paper", "a common voxel, radius ratio 0.5 to 1.5, later hits ignored (default)")

CRITERIA = {
    row.name: row
    for row in (
        PAPER,
        Criterion(
            "one-to-one", "as paper, one prediction for one node, extras false", one_node=True, extras="false"
        ),
        Criterion("one-node", "as paper, a prediction finds at most one node", one_node=True),
        Criterion("iou-0.1", "IoU of at least 0.1 instead of a common voxel", overlap="iou", least_iou=0.1),
        Criterion("radius-axial", "radius: half the longest axial diameter", radius="axial"),
        Criterion("radius-box", "radius: half the mean edge of the bounding box", radius="box"),
        Criterion("overlap", "a common voxel, whatever the radius", radius=None),
        Criterion(
            "picai",
            "IoU of at least 0.1, any radius, at most one node (as picai_eval)",
            overlap="iou",
            least_iou=0.1,
            radius=None,
            one_node=True,
        ),
        Criterion("luna16", "center within the node's radius (as LUNA16)", overlap="center", radius=None),
    )
}


@dataclass(frozen=True)
class Averaging:
    """How a figure of a cohort is made from its patients.

    Attributes:
        name: Key in `AVERAGINGS`.
        title: What the row stands for.
        sensitivity: Of the FROC. "pooled": found nodes over all nodes. "macro": mean of the patients'
            sensitivities, over patients with nodes.
        precision: Patients of macro precision. "predicting": those with predictions. "all": also those
            without; their precision is 1 if they have no node either, else 0.
    """

    name: str
    title: str
    sensitivity: str = "pooled"
    precision: str = "predicting"

    def __post_init__(self) -> None:
        for field, known in (("sensitivity", ("pooled", "macro")), ("precision", ("predicting", "all"))):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is one of {known}, got {getattr(self, field)!r}")


PAPER_AVERAGING = Averaging("paper", "pooled FROC; macro precision over patients with predictions (default)")

AVERAGINGS = {
    row.name: row
    for row in (
        PAPER_AVERAGING,
        Averaging("macro-froc", "FROC of the mean of the patients' sensitivities", sensitivity="macro"),
        Averaging("all-patients", "macro precision over all patients", precision="all"),
    )
}
