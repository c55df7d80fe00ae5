"""The 171 lesion tags of LesaNet in the order of its scores.

Names and order are those of `term_list` in `text_mined_labels_171_and_split.json`, which the authors
distribute with LesaNet (Yan et al. 2019, "Holistic and comprehensive annotation of clinically significant
findings on diverse CT images: learning from radiology reports and label ontology", CVPR). The class says
what a tag tells of a lesion: where it lies ("body part"), what it is ("type") or how it looks
("attribute"). Parents and exclusions of the tags are not here: they stand in the authors' ontology file,
which carries RadLex's license and is needed for training only.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TAG_TABLE = Path(__file__).resolve().parent / "data" / "lesanet_tags.csv"

with TAG_TABLE.open(encoding="utf-8", newline="") as _file:
    _ROWS = list(csv.DictReader(_file))

TAG_NAMES: tuple[str, ...] = tuple(row["name"] for row in _ROWS)
"""Tag of each score, first to last."""

TAG_CLASSES: dict[str, str] = {row["name"]: row["class"] for row in _ROWS}
"""Class of each tag: "body part", "type" or "attribute"."""

TAG_INDEX: dict[str, int] = {name: index for index, name in enumerate(TAG_NAMES)}


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
