"""Sizes and training recipes of the lesion tagger as data; only the standard library is imported."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TaggerRecipe:
    """Size of a tagger and how it is trained.

    Attributes:
        name: Key in `TAGGER_RECIPES`.
        width, embedding: Of `LesaNet`.
        epochs: How often each lesion is seen; may be a fraction.
        batch: Lesions in a step.
        learning_rate: Of SGD; twice that for biases; a tenth after two thirds of the steps.
        momentum: Of SGD.
        weight_decay: Of everything but biases.
        largest_gradient: Norm to which the gradient is clipped.
        shift_px: The box moves by up to this many millimeters in plane.
        grow_px: Its sides move by up to this many millimeters.
        noise_hu: Standard deviation of noise that is added to each pixel.
    """

    name: str
    width: int
    embedding: int
    epochs: float
    batch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    largest_gradient: float = 10.0
    shift_px: int = 0
    grow_px: float = 0.0
    noise_hu: float = 0.0


TAGGER_RECIPES = {
    recipe.name: recipe
    for recipe in (
        # As the authors trained on DeepLesion.
        TaggerRecipe("paper", width=64, embedding=256, epochs=15, batch=128, learning_rate=0.01),
        # Between the two: twice as wide as the small one.
        TaggerRecipe(
            "standard",
            32,
            128,
            epochs=4,
            batch=32,
            learning_rate=0.02,
            shift_px=3,
            grow_px=2.0,
            noise_hu=10.0,
        ),
        # Small enough to learn on two CPU cores from some thousand lesions of phantoms.
        TaggerRecipe(
            "demo", 16, 64, epochs=2, batch=32, learning_rate=0.02, shift_px=3, grow_px=2.0, noise_hu=10.0
        ),
    )
}
TAGGER_RECIPES["fine"] = replace(TAGGER_RECIPES["demo"], name="fine")
TAGGER_RECIPES["wide"] = replace(TAGGER_RECIPES["demo"], name="wide")
# The preset's networks of stage one learn at another rate, its tagger as the published one.
TAGGER_RECIPES["paper-fast"] = replace(TAGGER_RECIPES["paper"], name="paper-fast")
