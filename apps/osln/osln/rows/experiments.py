"""Every network and every row of the paper as data: the table that all other code iterates over.

A row's name is the same string in the results table, on the command line, in file names and in the
viewer's menu. A new experiment is one line here. A changed hyper-parameter for a single run is
`dataclasses.replace(row, ...)`, never a subclass. Only the standard library is imported, so that
command lines can show their choices at once. Sizes and recipes lie in `presets`.
"""

from dataclasses import dataclass

from osln.rows.presets import PRESETS as PRESETS
from osln.rows.presets import Preset as Preset
from osln.rows.presets import StageTwo as StageTwo

OFFERED_FALSE_POSITIVES = ("0.5", "1", "2", "3", "4", "6")
"""Per patient, in words as they are stored and shown; 3 is what is used unless asked otherwise."""

CONTEXT = ("stage_one_score", "distance_mm", "radius_mm", "x_mm", "y_mm", "z_mm")
"""Columns of a context: mean probability, signed distance to the tumor, radius, place seen from the tumor."""
CONTEXT_INPUTS = len(CONTEXT) + 1
"""Numbers that a network is given: the zone besides."""

PROXIMAL_MM = 70.0
"""Largest distance to the tumor boundary that is tumor-proximal (paper, section 4.2)."""

OPERATING_PRECISION = 0.15
"""Precision of the fused map at which stage one hands its candidates to stage two (paper, section 4.3)."""
OPERATING_POINT = f"{OPERATING_PRECISION:.2f}"
"""That precision in words as it is stored and shown."""
OFFERED_PRECISIONS = {f"{value:.2f}": value for value in (0.10, OPERATING_PRECISION, 0.20, 0.30)}
"""Precisions that a threshold is measured for, by the words in which they are stored and shown."""

CT = ("ct",)
EARLY_FUSION = ("ct", "pet", "distance")


@dataclass(frozen=True)
class Segmenter:
    """One stage-one network: a stream (CT or early fusion) in a zone.

    Attributes:
        name: Key in `SEGMENTERS`.
        inputs: Channels in order: "ct", "pet", "distance".
        zone: "proximal", "distal", or "all" for an unstratified network.
        backbone: "unet" (3D U-Net), "se-unet", "hrnet" or "psnn".
        gate: "hard" or "soft" for one U-Net with a head for each zone, between which the distance to the
            tumor chooses or blends (not in the paper); None for a network with one head.
    """

    name: str
    inputs: tuple[str, ...]
    zone: str
    backbone: str = "unet"
    gate: str | None = None

    @property
    def needs_pet(self) -> bool:
        return "pet" in self.inputs

    @property
    def needs_tumor(self) -> bool:
        return "distance" in self.inputs or self.zone != "all"


SEGMENTERS = {
    segmenter.name: segmenter
    for segmenter in (
        Segmenter("ct-proximal", CT, "proximal"),
        Segmenter("ct-distal", CT, "distal"),
        Segmenter("ef-proximal", EARLY_FUSION, "proximal"),
        Segmenter("ef-distal", EARLY_FUSION, "distal"),
        Segmenter("ct", CT, "all"),
        Segmenter("ef", EARLY_FUSION, "all"),
        *(
            Segmenter(f"{stream}-{backbone}", inputs, "all", backbone)
            for backbone in ("se-unet", "hrnet", "psnn")
            for stream, inputs in (("ct", CT), ("ef", EARLY_FUSION))
        ),
        *(Segmenter(f"gated-{gate}", EARLY_FUSION, "all", gate=gate) for gate in ("hard", "soft")),
    )
}


@dataclass(frozen=True)
class Classifier:
    """One stage-two network: what it sees of a candidate (paper, section 4.5 and Table 2).

    Attributes:
        name: Key in `CLASSIFIERS`.
        title: What viewers and tables show.
        inputs: Channels of the local patch; empty for a network without local module.
        tags: Whether it is given the 171 tags of the tagger (LesaNet).
        context: Whether it is given what stage one knows: score, size, and place seen from the tumor.
        network: "glnet", "set-glnet" (the candidates of a patient are judged together) or "random-views".
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    tags: bool
    context: bool = False
    network: str = "glnet"

    @property
    def needs_pet(self) -> bool:
        return "pet" in self.inputs


CLASSIFIERS = {
    classifier.name: classifier
    for classifier in (
        Classifier("glnet", "GLNet: CT + PET + tags", ("ct", "pet"), tags=True),
        Classifier("local-ct-pet", "CT + PET", ("ct", "pet"), tags=False),
        Classifier("local-ct", "CT", CT, tags=False),
        Classifier("tag", "tags", (), tags=True),
        Classifier("random-views", "random views", CT, tags=False, network="random-views"),
        # Not in the paper.
        Classifier("glnet-context", "GLNet + score, size and place", ("ct", "pet"), tags=True, context=True),
        Classifier(
            "local-context", "CT + PET + score, size and place", ("ct", "pet"), tags=False, context=True
        ),
        Classifier(
            "set-glnet", "GLNet over the set", ("ct", "pet"), tags=False, context=True, network="set-glnet"
        ),
    )
}

NETWORKS = (*SEGMENTERS, *CLASSIFIERS)
"""Names of every network of the paper's stages."""
TAGGER = "lesanet"
"""Name of the tagger, whose tags networks of stage two read."""
VERSIONED = (*NETWORKS, TAGGER)
"""Names of everything whose weights have versions."""


@dataclass(frozen=True)
class Experiment:
    """A row of Table 1b or Table 2: which networks are asked and fused, and what scores the candidates.

    Attributes:
        name: Key in `EXPERIMENTS`; "osln" is the paper's method.
        title: What viewers and tables show.
        segmenters: Names in `SEGMENTERS`; networks of one zone are fused by max, zones by union.
        classifier: Name in `CLASSIFIERS`; None leaves the candidates with their stage-one score.
        turns: Turned and mirrored views of the patient that both stages answer for and average (not in the
            paper): 1 for none, 2, 4 or 8. Both stages take that many times as long. The operating points are
            those of the row without turns.
        served: Whether the server offers it; others are of interest to researchers, and no weights of them
            are shipped.
    """

    name: str
    title: str
    segmenters: tuple[str, ...]
    classifier: str | None = None
    turns: int = 1
    served: bool = True

    @property
    def needs_pet(self) -> bool:
        second = self.classifier is not None and CLASSIFIERS[self.classifier].needs_pet
        return second or any(SEGMENTERS[name].needs_pet for name in self.segmenters)

    @property
    def needs_tumor(self) -> bool:
        second = self.classifier is not None and CLASSIFIERS[self.classifier].context
        return second or any(SEGMENTERS[name].needs_tumor for name in self.segmenters)

    @property
    def needs_tags(self) -> bool:
        return self.classifier is not None and CLASSIFIERS[self.classifier].tags

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all networks that have to be trained."""
        return self.segmenters if self.classifier is None else (*self.segmenters, self.classifier)

    @property
    def stage_one(self) -> str:
        """Name of the row that ends with the candidates of this one, without turns."""
        return next(
            row.name for row in ROWS.values() if row.classifier is None and row.segmenters == self.segmenters
        )


LATE_FUSION = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
"""The four networks of the paper's Figure 3."""

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("osln", "LF, stratified, GLNet: the paper's method", LATE_FUSION, "glnet"),
        Experiment("lf-stratified", "LF, stratified: the paper's stage one", LATE_FUSION),
        *(
            Experiment(f"osln-{name}", f"LF, stratified, {CLASSIFIERS[name].title}", LATE_FUSION, name)
            for name in ("local-ct-pet", "local-ct", "tag")
        ),
        *(
            Experiment(
                f"osln-{name}",
                f"LF, stratified, {CLASSIFIERS[name].title}",
                LATE_FUSION,
                name,
                served=name == "set-glnet",
            )
            for name in ("set-glnet", "random-views", "glnet-context", "local-context")
        ),
        Experiment("ct", "CT", ("ct",)),
        Experiment("ef", "EF", ("ef",)),
        Experiment("lf", "LF", ("ct", "ef")),
        Experiment("ct-stratified", "CT, stratified", ("ct-proximal", "ct-distal")),
        Experiment("ef-stratified", "EF, stratified", ("ef-proximal", "ef-distal")),
        *(
            Experiment(
                f"{stream}-{backbone}", f"{stream.upper()}, {title}", (f"{stream}-{backbone}",), served=False
            )
            for backbone, title in (("se-unet", "SE-UNet"), ("hrnet", "HRNet"), ("psnn", "PSNN"))
            for stream in ("ct", "ef")
        ),
        # Not in the paper.
        Experiment("gated-hard", "one EF network, hard gate", ("gated-hard",), served=False),
        Experiment("gated-soft", "one EF network, soft gate", ("gated-soft",), served=False),
        Experiment("lf-gated-soft", "LF of CT and the soft gate", ("ct", "gated-soft"), served=False),
        Experiment("lf-turned", "LF, stratified, mean of 4 turns", LATE_FUSION, turns=4, served=False),
        Experiment(
            "osln-turned",
            "LF, stratified, GLNet, mean of 4 turns",
            LATE_FUSION,
            "glnet",
            turns=4,
            served=False,
        ),
    )
}

SINGLE_SEGMENTERS = {
    segmenter.name: Experiment(segmenter.name, f"network {segmenter.name} alone", (segmenter.name,))
    for segmenter in SEGMENTERS.values()
    if segmenter.name not in EXPERIMENTS
}
"""Rows that ask one zone's network alone, to look at what it contributes."""

ROWS = EXPERIMENTS | SINGLE_SEGMENTERS
"""Every row that can be asked, by name."""

SERVED_SEGMENTERS = tuple(
    name for name in SEGMENTERS if any(row.served and name in row.segmenters for row in ROWS.values())
)
SERVED_CLASSIFIERS = tuple(
    name for name in CLASSIFIERS if any(row.served and name == row.classifier for row in ROWS.values())
)
SERVED_NETWORKS = (*SERVED_SEGMENTERS, *SERVED_CLASSIFIERS)
"""Networks that the server's rows ask: those that weights are shipped of."""
