"""The end-to-end baseline of Table 2 as data: its rows and the numbers of its two sizes.

Only the standard library is imported, as in `experiments`.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Detector:
    """One end-to-end network: what it sees of an axial slice.

    Attributes:
        name: Key in `DETECTORS`.
        title: What tables show.
        inputs: Images that give each slice its channels, in order: "ct", "pet".
    """

    name: str
    title: str
    inputs: tuple[str, ...]

    @property
    def needs_pet(self) -> bool:
        return "pet" in self.inputs

    @property
    def needs_tumor(self) -> bool:
        return False


DETECTORS = {
    detector.name: detector
    for detector in (
        Detector("mulan-ct", "MULAN on CT", ("ct",)),
        Detector("mulan-ct-pet", "MULAN on CT + PET", ("ct", "pet")),
    )
}


@dataclass(frozen=True)
class DetectorRecipe:
    """Size of MULAN in a preset and how it is trained.

    Attributes:
        name: Key in `DETECTOR_RECIPES` and in `experiments.PRESETS`, which gives the working grid.
        pixel_mm: Size of the square pixels that axial slices are resampled to.
        first, growth, blocks: Of the DenseNet: channels of the first convolution, channels that a layer
            adds, layers of the three blocks.
        channels: Of the final map.
        box_features, tag_features: Numbers of the two fully connected layers of the box and the tag head.
        mask_channels: Of each convolution of the mask head.
        anchors_mm: Sides of the square anchors; two others of the same area have sides 1 : 2 and 2 : 1.
        anchor_overlap: Overlap (IoU) with a box from which an anchor is an example of it.
        margin_mm: Around a node's tight box in its slice.
        ranked: Likeliest anchors of a slice that are compared with each other, in training and at inference.
        proposals: Boxes that are left of them for the box head, in training and at inference.
        regions: Boxes of a slice that the box head learns from in a step; a quarter hold nodes at most.
        batch: Slices in a training step.
        empty_share: Share of a batch whose slices hold no node.
        iterations: Training steps from scratch.
        optimizer: "sgd", as published, or "radam", which needs fewer steps from random first weights.
        learning_rate: Twice that for biases; it falls as in `osln.learning.schedule.learning_rate`.
        largest_gradient: Norm to which the gradient is clipped.
        scale: Range of the random magnification in training.
        shift_px: Largest random shift in training.
        momentum: Of SGD.
        weight_decay: Biases do not decay.
    """

    name: str
    pixel_mm: float
    first: int
    growth: int
    blocks: tuple[int, int, int]
    channels: int
    box_features: int
    tag_features: int
    mask_channels: int
    anchors_mm: tuple[float, ...]
    anchor_overlap: float
    margin_mm: float
    ranked: tuple[int, int]
    proposals: tuple[int, int]
    regions: int
    batch: int
    empty_share: float
    iterations: int
    optimizer: str
    learning_rate: float
    largest_gradient: float = 10.0
    scale: tuple[float, float] = (0.8, 1.2)
    shift_px: int = 8
    momentum: float = 0.9
    weight_decay: float = 5e-4


DETECTOR_RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Sizes and numbers of the published system; its anchors of 16 to 96 pixels of 0.8 mm. The steps are
        # those of its 8 epochs over 22,478 slices.
        DetectorRecipe(
            name="paper",
            pixel_mm=0.8,
            first=64,
            growth=32,
            blocks=(6, 12, 24),
            channels=512,
            box_features=2048,
            tag_features=1024,
            mask_channels=256,
            anchors_mm=(12.8, 19.2, 25.6, 38.4, 76.8),
            anchor_overlap=0.7,
            margin_mm=4.0,
            ranked=(12_000, 6_000),
            proposals=(2000, 300),
            regions=64,
            batch=8,
            empty_share=0.25,
            iterations=22_500,
            optimizer="sgd",
            learning_rate=0.004,
        ),
        # Between the two, on slices of the `standard` preset's grid: twice as wide as `demo`.
        DetectorRecipe(
            name="standard",
            pixel_mm=1.0,
            first=32,
            growth=16,
            blocks=(4, 8, 12),
            channels=128,
            box_features=256,
            tag_features=128,
            mask_channels=32,
            anchors_mm=(12.8, 16.0, 20.0, 28.0),
            anchor_overlap=0.5,
            margin_mm=4.0,
            ranked=(2000, 800),
            proposals=(400, 100),
            regions=32,
            batch=4,
            empty_share=0.25,
            iterations=1500,
            optimizer="radam",
            learning_rate=0.002,
        ),
        # Small enough to learn on one CPU core in minutes (docs/method.md).
        DetectorRecipe(
            name="demo",
            pixel_mm=1.25,
            first=16,
            growth=12,
            blocks=(3, 4, 6),
            channels=64,
            box_features=128,
            tag_features=64,
            mask_channels=16,
            anchors_mm=(12.8, 16.0, 20.0, 28.0),
            anchor_overlap=0.5,
            margin_mm=4.0,
            ranked=(1000, 400),
            proposals=(200, 60),
            regions=32,
            batch=4,
            empty_share=0.25,
            iterations=600,
            optimizer="radam",
            learning_rate=0.003,
        ),
    )
}
# Its networks of stage one learn at another rate; the detector's is the published one.
DETECTOR_RECIPES["paper-fast"] = replace(DETECTOR_RECIPES["paper"], name="paper-fast")
# `demo`'s networks on `standard`'s grid: its slices' detector is that of the grid.
DETECTOR_RECIPES["fine"] = replace(DETECTOR_RECIPES["standard"], name="fine")
# `standard`'s networks on `demo`'s grid.
DETECTOR_RECIPES["wide"] = replace(DETECTOR_RECIPES["demo"], name="wide")
