"""The likeliest lesion tags of a candidate, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from osln.rows.tags import TAG_CLASSES, TAG_NAMES


def top_tags(probabilities: Sequence[float] | np.ndarray, count: int = 5) -> list[dict[str, Any]]:
    """The likeliest tags of one lesion, by falling probability.

    Args:
        probabilities: (171,) in the order of `TAG_NAMES`.
        count: How many tags; at most 171 are returned, none for 0.

    Returns:
        JSON values: [{"tag": name, "class": class, "probability": number}]. Of equal probabilities the tag
        that stands first in `TAG_NAMES` comes first.

    Raises:
        ValueError: If there are not 171 finite probabilities, or the count is negative.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(TAG_NAMES),) or not np.isfinite(values).all():
        raise ValueError(
            f"expected {len(TAG_NAMES)} finite probabilities of one lesion, got shape {values.shape}"
            + ("" if np.isfinite(values).all() else " with NaN or infinity")
        )
    if count < 0:
        raise ValueError(f"expected a number of tags of at least 0, got {count}")
    order = np.argsort(-values, kind="stable")[:count]
    return [
        {"tag": TAG_NAMES[i], "class": TAG_CLASSES[TAG_NAMES[i]], "probability": float(values[i])}
        for i in order
    ]
