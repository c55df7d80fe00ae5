"""Every network and every row of the paper as data: the table that all other code iterates over.

A row's name is the same string in the results table, on the command line, in file names and in the
viewer's menu. A new experiment is one line here. A changed hyper-parameter for a single run is
`dataclasses.replace(row, ...)`, never a subclass. Only the standard library is imported, so that
command lines can show their choices at once.
"""

from dataclasses import dataclass

PROXIMAL_MM = 70.0
"""Largest distance to the tumor boundary that is tumor-proximal (paper, section 4.2)."""

CT = ("ct",)
EARLY_FUSION = ("ct", "pet", "distance")


@dataclass(frozen=True)
class StageTwo:
    """How large GLNet is in a preset and how it is trained.

    Attributes:
        patch: Local patch in voxels of the working grid (x, y, z).
        margin: Voxels of background that a large candidate keeps on each side.
        jitter: Largest shift of each face of a candidate's box in training, in voxels.
        widths: Channels of the four residual blocks.
        features: Numbers that each block contributes to the score.
        dropout: Share of the features that a training step leaves out.
        batch: Candidates in a training step.
        epochs: Passes through the candidates of a training from scratch.
        learning_rate: Of Adam.
    """

    patch: tuple[int, int, int]
    margin: int
    jitter: int
    widths: tuple[int, int, int, int]
    features: int
    dropout: float
    batch: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Preset:
    """How large the networks are and how they are trained.

    Attributes:
        name: Key in `PRESETS`.
        spacing_mm: Working grid (x, y, z) that studies are resampled to.
        window: Inference window in voxels (x, y, z); its x-y size is also that of the lung column.
        patch: Training patch in voxels (x, y, z).
        widths: Channels after the first and the second convolution of each resolution level.
        batch: Patches in a training step.
        iterations: Training steps of one network trained from scratch.
        learning_rate: Peak learning rate of RAdam.
        betas: RAdam's moment decays; its warm-up takes about 5 / (1 - beta2) steps.
        weight_decay: Decoupled weight decay.
        positive_weight: Weight of a node voxel in the cross-entropy.
        output_bias: Start of the last bias: the logit of a node's rarity.
        stage_two: The same of GLNet.
    """

    name: str
    spacing_mm: tuple[float, float, float]
    window: tuple[int, int, int]
    patch: tuple[int, int, int]
    widths: tuple[tuple[int, int], ...]
    batch: int
    iterations: int
    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    positive_weight: float
    output_bias: float
    stage_two: StageTwo


PRESETS = {
    preset.name: preset
    for preset in (
        # Paper, section 4.2; widths of the published 3D U-Net. 50 epochs over 84 patients of, by our
        # reading, 8 patches each: 50 * 84 * 8 / 8 steps.
        Preset(
            name="paper",
            spacing_mm=(1.0, 1.0, 2.5),
            window=(224, 224, 64),
            patch=(96, 96, 64),
            widths=((32, 64), (64, 128), (128, 256), (256, 512)),
            batch=8,
            iterations=4200,
            learning_rate=1e-4,
            betas=(0.9, 0.999),
            weight_decay=5e-4,
            positive_weight=1.0,
            output_bias=0.0,
            stage_two=StageTwo(
                patch=(48, 48, 32),
                margin=8,
                jitter=3,
                widths=(32, 64, 128, 256),
                features=256,
                dropout=0.0,
                batch=32,
                epochs=10,
                learning_rate=1e-4,
            ),
        ),
        # Small enough to learn on two CPU cores (docs/method.md).
        Preset(
            name="demo",
            spacing_mm=(2.5, 2.5, 3.0),
            window=(88, 88, 64),
            patch=(32, 32, 32),
            widths=((8, 8), (16, 16), (32, 32), (64, 64)),
            batch=8,
            iterations=800,
            learning_rate=4e-3,
            betas=(0.9, 0.99),
            weight_decay=5e-4,
            positive_weight=20.0,
            output_bias=-4.0,
            # Millimeters much as in the paper in the axial plane: 50 of patch, 8 of margin, 3 of jitter.
            stage_two=StageTwo(
                patch=(20, 20, 16),
                margin=3,
                jitter=1,
                widths=(8, 16, 32, 64),
                features=256,
                dropout=0.3,
                batch=32,
                epochs=6,
                learning_rate=1e-3,
            ),
        ),
    )
}


@dataclass(frozen=True)
class Segmenter:
    """One stage-one network: a stream (CT or early fusion) in a zone.

    Attributes:
        name: Key in `SEGMENTERS`.
        inputs: Channels in order: "ct", "pet", "distance".
        zone: "proximal", "distal", or "all" for an unstratified network.
    """

    name: str
    inputs: tuple[str, ...]
    zone: str

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
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    tags: bool

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
    )
}

NETWORKS = (*SEGMENTERS, *CLASSIFIERS)
"""Names of everything that has trained weights."""


@dataclass(frozen=True)
class Experiment:
    """A row of Table 1b or Table 2: which networks are asked and fused, and what scores the candidates.

    Attributes:
        name: Key in `EXPERIMENTS`; "osln" is the paper's method.
        title: What viewers and tables show.
        segmenters: Names in `SEGMENTERS`; networks of one zone are fused by max, zones by union.
        classifier: Name in `CLASSIFIERS`; None leaves the candidates with their stage-one score.
    """

    name: str
    title: str
    segmenters: tuple[str, ...]
    classifier: str | None = None

    @property
    def needs_pet(self) -> bool:
        second = self.classifier is not None and CLASSIFIERS[self.classifier].needs_pet
        return second or any(SEGMENTERS[name].needs_pet for name in self.segmenters)

    @property
    def needs_tumor(self) -> bool:
        return any(SEGMENTERS[name].needs_tumor for name in self.segmenters)

    @property
    def needs_tags(self) -> bool:
        return self.classifier is not None and CLASSIFIERS[self.classifier].tags

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all networks that have to be trained."""
        return self.segmenters if self.classifier is None else (*self.segmenters, self.classifier)

    @property
    def stage_one(self) -> str:
        """Name of the row that ends with the candidates of this one."""
        rows = (*EXPERIMENTS.values(), *SINGLE_SEGMENTERS.values())
        return next(row.name for row in rows if row.classifier is None and row.segmenters == self.segmenters)


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
        Experiment("ct", "CT", ("ct",)),
        Experiment("ef", "EF", ("ef",)),
        Experiment("lf", "LF", ("ct", "ef")),
        Experiment("ct-stratified", "CT, stratified", ("ct-proximal", "ct-distal")),
        Experiment("ef-stratified", "EF, stratified", ("ef-proximal", "ef-distal")),
    )
}

SINGLE_SEGMENTERS = {
    segmenter.name: Experiment(segmenter.name, f"network {segmenter.name} alone", (segmenter.name,))
    for segmenter in SEGMENTERS.values()
    if segmenter.name not in EXPERIMENTS
}
"""Rows that ask one zone's network alone, to look at what it contributes."""
