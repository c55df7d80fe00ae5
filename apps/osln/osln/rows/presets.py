"""How large the networks are and how they are trained: on a cohort with a GPU, or on two CPU cores."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class HighResolution:
    """How large HRNet is in a preset.

    Attributes:
        width: Channels of the branch with the highest resolution; each further branch has twice as many.
        modules: Modules of each stage; stage n has n branches, each of half the resolution of the last.
        blocks: Residual blocks of a branch in a module.
    """

    width: int
    modules: tuple[int, ...]
    blocks: int


@dataclass(frozen=True)
class RandomViews:
    """How large the 2.5D classifier of random views is in a preset, and how it looks.

    Attributes:
        pixels: Of a view's side.
        edges_mm: Sides that a view may have.
        translations: Places of a view at test, the first of them the candidate's center.
        shift_mm: Farthest place from the center.
        rotations: Directions of a view at test, the first of them the image's axes.
        trained: Views of a candidate in a training step.
        widths: Channels of the two convolutions and the two locally connected layers.
        hidden: Width of the fully connected layer.
    """

    pixels: int
    edges_mm: tuple[float, ...]
    translations: int
    shift_mm: float
    rotations: int
    trained: int
    widths: tuple[int, int, int, int]
    hidden: int

    @property
    def count(self) -> int:
        """Views of a candidate at test."""
        return len(self.edges_mm) * self.translations * self.rotations


@dataclass(frozen=True)
class SetAttention:
    """How large the attention over a patient's candidates is.

    Attributes:
        width: Numbers of a candidate.
        heads, layers: Of the transformer encoder.
        dropout: Share left out in a training step.
    """

    width: int
    heads: int
    layers: int
    dropout: float


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
        views: Size of the classifier of random views.
        attention: Size of the attention over a patient's candidates.
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
    views: RandomViews
    attention: SetAttention


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
        hrnet: Size of HRNet, which has no levels of `widths`.
        stage_two: The same of GLNet.
        prefilter: CT and PET are blurred before a change to larger voxels (`resampling.prefilter_sigma`).
            What a new network is trained with; trained weights keep their own setting.
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
    hrnet: HighResolution
    stage_two: StageTwo
    prefilter: bool = False

    def has_voxels_of(self, other: "Preset") -> bool:
        """Whether both have the same working grid."""
        return (self.spacing_mm, self.window) == (other.spacing_mm, other.window)

    def prepares_as(self, other: "Preset") -> bool:
        """Whether a patient is prepared alike for both: networks that answer together see one column."""
        return self.has_voxels_of(other) and self.prefilter == other.prefilter

    def cuts_as(self, other: "Preset") -> bool:
        """Whether candidates are handed to stage two alike: one column, and one patch of it."""
        ours, theirs = self.stage_two, other.stage_two
        return self.prepares_as(other) and (ours.patch, ours.margin) == (theirs.patch, theirs.margin)


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
            # Stages, modules and blocks of the published HRNet; with 16 channels about as many weights as
            # the U-Net has.
            hrnet=HighResolution(width=16, modules=(1, 1, 4, 3), blocks=4),
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
                # Roth et al. 2016: 4 scales, 5 translations, 5 rotations, 100 views.
                views=RandomViews(
                    pixels=32,
                    edges_mm=(30.0, 35.0, 40.0, 45.0),
                    translations=5,
                    shift_mm=3.0,
                    rotations=5,
                    trained=8,
                    widths=(64, 64, 64, 32),
                    hidden=512,
                ),
                attention=SetAttention(width=128, heads=4, layers=2, dropout=0.1),
            ),
        ),
        # For a small GPU, or a night on a CPU: `demo`'s recipe with twice the widths on voxels of a third of
        # the volume, so that the short axis of a 5 mm node is three voxels instead of two. Window and local
        # patch have the other presets' millimeters; a training patch has demo's 80 mm, less the border that
        # zero padding spoils anyway.
        Preset(
            name="standard",
            spacing_mm=(1.5, 1.5, 2.5),
            window=(152, 152, 64),
            patch=(48, 48, 32),
            widths=((16, 16), (32, 32), (64, 64), (128, 128)),
            batch=8,
            iterations=2000,
            learning_rate=2e-3,
            betas=(0.9, 0.99),
            weight_decay=5e-4,
            positive_weight=20.0,
            output_bias=-4.0,
            # Two branches: a third one would see two slices of a patch.
            hrnet=HighResolution(width=24, modules=(1, 1), blocks=4),
            stage_two=StageTwo(
                patch=(32, 32, 20),
                margin=5,
                jitter=2,
                widths=(16, 32, 64, 128),
                features=256,
                dropout=0.3,
                batch=32,
                epochs=6,
                learning_rate=1e-3,
                views=RandomViews(
                    pixels=32,
                    edges_mm=(30.0, 35.0, 40.0, 45.0),
                    translations=2,
                    shift_mm=3.0,
                    rotations=2,
                    trained=4,
                    widths=(32, 32, 32, 16),
                    hidden=128,
                ),
                attention=SetAttention(width=64, heads=4, layers=2, dropout=0.1),
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
            # Two branches: a third one would see two voxels of a patch.
            hrnet=HighResolution(width=16, modules=(1, 1), blocks=2),
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
                views=RandomViews(
                    pixels=32,
                    edges_mm=(30.0, 35.0, 40.0, 45.0),
                    # Two of each, as in the authors' own demonstration: 16 views.
                    translations=2,
                    shift_mm=3.0,
                    rotations=2,
                    trained=4,
                    widths=(16, 16, 16, 8),
                    hidden=64,
                ),
                attention=SetAttention(width=64, heads=4, layers=2, dropout=0.1),
            ),
        ),
    )
}
# By the paper's recipe `demo`'s networks learn next to nothing in as many steps. With their own rate, or with
# a last bias that begins at a node's rarity (the paper names none), they do: docs/results-recipe.md. Four
# times the widths get a quarter of that rate, as twice the widths get half of it in `standard`. Not run.
PRESETS["paper-fast"] = replace(PRESETS["paper"], name="paper-fast", learning_rate=1e-3, output_bias=-4.0)
# What finer voxels are worth without wider networks: `demo`'s networks on `standard`'s grid.
PRESETS["fine"] = replace(
    PRESETS["standard"],
    name="fine",
    widths=PRESETS["demo"].widths,
    learning_rate=PRESETS["demo"].learning_rate,
    hrnet=PRESETS["demo"].hrnet,
    stage_two=replace(
        PRESETS["standard"].stage_two,
        widths=PRESETS["demo"].stage_two.widths,
        views=PRESETS["demo"].stage_two.views,
    ),
)
# What wider networks are worth without finer voxels: `standard`'s widths on `demo`'s grid.
PRESETS["wide"] = replace(
    PRESETS["demo"],
    name="wide",
    widths=PRESETS["standard"].widths,
    learning_rate=PRESETS["standard"].learning_rate,
    hrnet=PRESETS["standard"].hrnet,
)
DEFAULT_PRESET = "demo"
"""Of what is trained from scratch unless another is named; the shipped weights are of it."""
