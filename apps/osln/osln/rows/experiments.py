"""Every network and every row of the paper as data: the table that all other code iterates over.

A row's name is the same string in the results table, on the command line, in file names and in the
viewer's menu. A new experiment is one line here. A changed hyper-parameter for a single run is
`dataclasses.replace(row, ...)`, never a subclass. Only the standard library is imported, so that
command lines can show their choices at once. Sizes and recipes lie in `presets`,
numbers that hold for every row in `constants`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from osln.rows.constants import CONTEXT as CONTEXT
from osln.rows.constants import CONTEXT_INPUTS as CONTEXT_INPUTS
from osln.rows.constants import NUMBER_INPUTS as NUMBER_INPUTS
from osln.rows.constants import OFFERED_FALSE_POSITIVES as OFFERED_FALSE_POSITIVES
from osln.rows.constants import OFFERED_PRECISIONS as OFFERED_PRECISIONS
from osln.rows.constants import OPERATING_POINT as OPERATING_POINT
from osln.rows.constants import OPERATING_PRECISION as OPERATING_PRECISION
from osln.rows.constants import PROXIMAL_MM as PROXIMAL_MM
from osln.rows.constants import UNMEASURED as UNMEASURED
from osln.rows.presets import DEFAULT_PRESET as DEFAULT_PRESET
from osln.rows.presets import PRESETS as PRESETS
from osln.rows.presets import Preset as Preset
from osln.rows.presets import StageTwo as StageTwo

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
            tumor chooses or blends; "strata" for four heads that are blended (none in the paper); None for a
            network with one head.
        every_node: Of generated patients it learns every node, those that do not count, too: it finds, and
            stage two decides (not in the paper). From patients it learns what is labelled, as all do.
    """

    name: str
    inputs: tuple[str, ...]
    zone: str
    backbone: str = "unet"
    gate: str | None = None
    every_node: bool = False

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
        *(Segmenter(f"gated-{gate}", EARLY_FUSION, "all", gate=gate) for gate in ("hard", "soft", "strata")),
        *(
            Segmenter(f"gated-{gate}-nodes", EARLY_FUSION, "all", gate=gate, every_node=True)
            for gate in ("hard", "soft")
        ),
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
        network: "glnet", "set-glnet" (the candidates of a patient are judged together), "quality-glnet" (the
            score is multiplied by a predicted overlap), "random-views" or "numbers" (a regression on what CT
            and PET show in and around the box in numbers, with the context; no patch).
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    tags: bool
    context: bool = False
    network: str = "glnet"

    @property
    def needs_pet(self) -> bool:
        return "pet" in self.inputs or self.network == "numbers"

    @property
    def needs_overlap(self) -> bool:
        """Whether it learns from each candidate's overlap with its node."""
        return self.network == "quality-glnet"


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
            "local-quality",
            "CT + PET + score, size and place, times predicted overlap",
            ("ct", "pet"),
            tags=False,
            context=True,
            network="quality-glnet",
        ),
        Classifier(
            "set-glnet", "GLNet over the set", ("ct", "pet"), tags=False, context=True, network="set-glnet"
        ),
        Classifier(
            "numbers",
            "numbers of image, score, size and place",
            (),
            tags=False,
            context=True,
            network="numbers",
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
class Row:
    """What is run and measured: which networks are asked and fused, and what scores the candidates.

    Two rows are equal if they do the same, whatever they are called. The server knows those of `ROWS`; the
    tables know longer trainings, several copies, joint scores and end-to-end detectors besides.

    Attributes:
        name: Key in `ROWS`; "osln" is the paper's method. "" for a row that only the tables have.
        title: What viewers and tables show.
        segmenters: Names in `SEGMENTERS`; networks of one zone are fused by `fusion`, zones by union.
        classifier: Name in `CLASSIFIERS`; None leaves the candidates with their stage-one score.
        turns: Turned and mirrored views of the patient that both stages answer for and average (not in the
            paper): 1 for none, 2, 4 or 8. Both stages take that many times as long. The operating points are
            those of the row without turns.
        served: Whether the server offers it; others are of interest to researchers, and weights are shipped
            of those networks alone that a served row asks.
        detector: Name in `DETECTORS` of what takes the place of both stages.
        ranked: Candidates under their stage-one score are measured ("#" in the paper), not the map.
        length: Training steps of each network in units of the preset's.
        copies: Trainings of each network that are fused by their maximum.
        joint: Candidates are ranked by the sum of the log odds of both stages.
        handed_at: Precision of the fused map, one of `OFFERED_PRECISIONS`, at which stage one hands its
            candidates to stage two; the paper's unless said.
        fusion: How networks of one zone become one map: "max" (the paper's), "mean" (of their log odds) or
            "learned" (weights for each network and the distance, fitted on validation patients).
        in_tumor: False drops candidates whose center lies in the tumor contour (not in the paper). The
            operating points are those of the row that keeps them.
    """

    name: str = field(compare=False)
    title: str = field(compare=False)
    segmenters: tuple[str, ...] = ()
    classifier: str | None = None
    turns: int = 1
    served: bool = field(default=True, compare=False)
    detector: str | None = None
    ranked: bool = False
    length: int = 1
    copies: int = 1
    joint: bool = False
    handed_at: str = OPERATING_POINT
    fusion: str = "max"
    in_tumor: bool = True

    @property
    def needs_pet(self) -> bool:
        second = self.classifier is not None and CLASSIFIERS[self.classifier].needs_pet
        return second or any(SEGMENTERS[name].needs_pet for name in self.segmenters)

    @property
    def needs_tumor(self) -> bool:
        second = self.classifier is not None and CLASSIFIERS[self.classifier].context
        return second or not self.in_tumor or any(SEGMENTERS[name].needs_tumor for name in self.segmenters)

    @property
    def needs_tags(self) -> bool:
        return self.classifier is not None and CLASSIFIERS[self.classifier].tags

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all networks that have to be trained."""
        return self.segmenters if self.classifier is None else (*self.segmenters, self.classifier)

    @property
    def of_one_zone(self) -> bool:
        """It is one zone's network alone: to be looked at, not measured."""
        return len(self.segmenters) == 1 and SEGMENTERS[self.segmenters[0]].zone != "all"

    @property
    def stage_one(self) -> str:
        """Name of the row whose operating points count: its stage one without turns, every candidate kept."""
        return self._name_of_map(turns=1, in_tumor=True)

    @property
    def key(self) -> str:
        """What it does in a word: its name in the tables and in files, that of no other row."""
        if self.detector:
            return self.detector
        setting = self._name_of_map(self.turns, self.in_tumor)
        setting += f"-x{self.length}" if self.length > 1 else ""
        setting += f"-of-{self.copies}" if self.copies > 1 else ""
        setting += f"-at-{self.handed_at}" if self.handed_at != OPERATING_POINT else ""
        if self.classifier:
            return f"{setting}+{self.classifier}" + ("+score" if self.joint else "")
        return f"{setting}#" if self.ranked else setting

    @property
    def kind(self) -> str:
        """Which figures it has: "recall" (of a map) or "froc" (of scored candidates)."""
        return "froc" if self.classifier or self.detector or self.ranked else "recall"

    @property
    def setting(self) -> "Row":
        """The row that ends with what this one hands to stage two."""
        return self.changed(classifier=None, ranked=False, joint=False)

    @property
    def teacher(self) -> "Row":
        """The row whose candidates its classifier learns from: the same without turned views."""
        return self.changed(turns=1, joint=False)

    def handed(self, thresholds: Mapping[str, float]) -> float:
        """Of the thresholds by precision, that at which candidates are handed over.

        Where stage one was measured at one precision there is but one, the operating point's; where it
        never was, `UNMEASURED`.
        """
        return thresholds.get(self.handed_at, thresholds.get(OPERATING_POINT, UNMEASURED))

    @property
    def units(self) -> int:
        """Training steps of all its networks of stage one together, in units of the preset's."""
        return len(self.segmenters) * self.length * self.copies

    def changed(self, **changes: Any) -> "Row":
        """The row of the tables that differs from this one in these attributes; no menu shows it."""
        return replace(self, name="", title="", served=False, **changes)

    def _name_of_map(self, turns: int, in_tumor: bool) -> str:
        plain = Row("", "", self.segmenters, turns=turns, fusion=self.fusion, in_tumor=in_tumor)
        return next(row.name for row in ROWS.values() if row == plain)


HANDED = "handed"
"""In a network's metadata: key of the row whose candidates it has learned from."""

LATE_FUSION = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
"""The four networks of the paper's Figure 3."""
GATED = ("gated-hard", "gated-soft", "gated-strata")
"""Early fusion, each in one network with heads between which the distance to the tumor chooses or blends."""

ROWS = {
    row.name: row
    for row in (
        Row("osln", "LF, stratified, GLNet: the paper's method", LATE_FUSION, "glnet"),
        Row("lf-stratified", "LF, stratified: the paper's stage one", LATE_FUSION),
        *(
            Row(f"osln-{name}", f"LF, stratified, {CLASSIFIERS[name].title}", LATE_FUSION, name)
            for name in ("local-ct-pet", "local-ct", "tag")
        ),
        # Three networks find more nodes than the four of late fusion in the real CT of a chest, and as many
        # in phantoms (docs/results-shipped.md).
        *(
            Row(
                f"osln-{name}",
                f"three gated EF networks by mean log odds, {CLASSIFIERS[name].title}",
                GATED,
                name,
                fusion="mean",
            )
            for name in ("set-glnet", "numbers")
        ),
        *(
            Row(f"osln-{name}", f"LF, stratified, {CLASSIFIERS[name].title}", LATE_FUSION, name, served=False)
            for name in ("random-views", "glnet-context", "local-context", "local-quality")
        ),
        Row("ct", "CT", ("ct",)),
        Row("ef", "EF", ("ef",)),
        Row("lf", "LF", ("ct", "ef")),
        Row("ct-stratified", "CT, stratified", ("ct-proximal", "ct-distal")),
        Row("ef-stratified", "EF, stratified", ("ef-proximal", "ef-distal")),
        *(
            Row(f"{stream}-{backbone}", f"{stream.upper()}, {title}", (f"{stream}-{backbone}",), served=False)
            for backbone, title in (("se-unet", "SE-UNet"), ("hrnet", "HRNet"), ("psnn", "PSNN"))
            for stream in ("ct", "ef")
        ),
        # Not in the paper.
        Row("gated-hard", "one EF network, hard gate", ("gated-hard",), served=False),
        Row("gated-soft", "one EF network, soft gate", ("gated-soft",), served=False),
        Row("gated-strata", "one EF network, four soft strata", ("gated-strata",), served=False),
        *(
            Row(
                f"gated-{gate}-nodes",
                f"one EF network, {gate} gate, taught every node",
                (f"gated-{gate}-nodes",),
                served=False,
            )
            for gate in ("hard", "soft")
        ),
        Row("lf-gated-soft", "LF of CT and the soft gate", ("ct", "gated-soft"), served=False),
        Row("lf-mean", "LF by mean log odds, stratified", LATE_FUSION, fusion="mean", served=False),
        Row("gated-mean", "three gated EF networks by mean log odds", GATED, fusion="mean", served=False),
        Row(
            "gated-nodes-mean",
            "three gated EF networks, two of them taught every node, by mean log odds",
            ("gated-soft", "gated-soft-nodes", "gated-hard-nodes"),
            fusion="mean",
            served=False,
        ),
        Row("lf-learned", "LF by learned weights, stratified", LATE_FUSION, fusion="learned", served=False),
        Row("lf-outside", "LF, stratified, outside the tumor", LATE_FUSION, in_tumor=False, served=False),
        Row(
            "lf-learned-outside",
            "LF by learned weights, stratified, outside the tumor",
            LATE_FUSION,
            fusion="learned",
            in_tumor=False,
            served=False,
        ),
        Row("lf-turned", "LF, stratified, mean of 4 turns", LATE_FUSION, turns=4, served=False),
        Row(
            "osln-turned",
            "LF, stratified, GLNet, mean of 4 turns",
            LATE_FUSION,
            "glnet",
            turns=4,
            served=False,
        ),
        # One network alone, to look at what it contributes.
        *(
            Row(name, f"network {name} alone", (name,))
            for name, segmenter in SEGMENTERS.items()
            if segmenter.zone != "all"
        ),
    )
}
"""Every row that can be asked, by name."""

SERVED_SEGMENTERS = tuple(
    name for name in SEGMENTERS if any(row.served and name in row.segmenters for row in ROWS.values())
)
SERVED_CLASSIFIERS = tuple(
    name for name in CLASSIFIERS if any(row.served and name == row.classifier for row in ROWS.values())
)
DEFAULT_ROW = "osln-set-glnet"
"""The row that is asked where nobody has chosen one (docs/results-shipped.md says why)."""
SERVED_NETWORKS = (*SERVED_SEGMENTERS, *SERVED_CLASSIFIERS)
"""Networks that the server's rows ask: those that weights are shipped of."""
