"""The 171 lesion tags of LesaNet in the order of its scores.

Names and order are those of `term_list` in `text_mined_labels_171_and_split.json`, which the authors
distribute with LesaNet (Yan et al. 2019, "Holistic and comprehensive annotation of clinically significant
findings on diverse CT images: learning from radiology reports and label ontology", CVPR). The class says
what a tag tells of a lesion: where it lies ("body part"), what it is ("type") or how it looks
("attribute"). Parents and exclusions of the tags are not here: they stand in the authors' ontology file,
which carries RadLex's license and is needed for training only.
"""

import csv
from pathlib import Path

TAG_TABLE = Path(__file__).resolve().parents[1] / "data" / "lesanet_tags.csv"

with TAG_TABLE.open(encoding="utf-8", newline="") as _file:
    _ROWS = list(csv.DictReader(_file))

TAG_NAMES: tuple[str, ...] = tuple(row["name"] for row in _ROWS)
"""Tag of each score, first to last."""
TAG_CLASSES: dict[str, str] = {row["name"]: row["class"] for row in _ROWS}
"""Class of each tag: "body part", "type" or "attribute"."""
TAG_INDEX: dict[str, int] = {name: index for index, name in enumerate(TAG_NAMES)}
