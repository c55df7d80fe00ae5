"""The LesaNet tags that phantom findings can carry.

The names are copied from the 171 terms of LesaNet (`term_list` of `text_mined_labels_171_and_split.json`;
Yan et al. 2019, "Holistic and comprehensive annotation of clinically significant findings on diverse CT
images").
"""

from __future__ import annotations

TAGS_VERSION = 2
"""Of the tags of the same images, for caches. With 1 each node beside the tumor lay in the neck."""

NODE_TAGS = frozenset(
    {
        "lymph node", "chest", "abdomen", "upper abdomen", "neck", "mediastinum", "hilum", "retroperitoneum",
        "mediastinum lymph node", "abdomen lymph node", "retroperitoneum lymph node", "hilum lymph node",
        "right hilum lymph node", "left hilum lymph node", "subcarinal lymph node", "superior mediastinum",
        "superior mediastinum lymph node", "pretracheal lymph node", "aorticopulmonary window",
        "anterior mediastinum", "cardiophrenic", "retrocrural lymph node", "porta Hepatis lymph node",
        "paraaortic", "paracaval lymph node", "mesentery lymph node", "supraclavicular lymph node",
        "enlargement", "lymphadenopathy", "subcentimeter", "tiny", "large", "fat-containing", "oval",
    }
)  # fmt: skip
MIMIC_TAGS = frozenset(
    {"chest", "abdomen", "neck", "blood vessel", "cyst", "hypoattenuation", "muscle", "fat"}
)
TAGS = NODE_TAGS | MIMIC_TAGS

# Heights of the anatomical axis (mm above the field's lower edge) where the regions meet.
ABDOMEN_BELOW_MM = 100.0
NECK_ABOVE_MM = 270.0


def region_tag(z_mm: float) -> str:
    """Body region at an anatomical height: "abdomen", "chest" or "neck"."""
    if z_mm < ABDOMEN_BELOW_MM:
        return "abdomen"
    return "neck" if z_mm > NECK_ABOVE_MM else "chest"


def node_tags(
    station_tags: tuple[str, ...], z_mm: float, short_mm: float, long_mm: float, *, fatty_hilum: bool
) -> list[str]:
    """Tags that hold for a lymph node: its place, its size class and its form.

    Args:
        station_tags: tags of the station it sits in.
        z_mm: anatomical height.
        short_mm, long_mm: its axes; 10 mm is the usual limit of enlargement, 5 mm of a tiny node.
        fatty_hilum: whether it has a core of fat.

    Returns:
        Sorted tag names, all of them in `NODE_TAGS`.
    """
    tags = {"lymph node", region_tag(z_mm), *station_tags}
    if short_mm >= 10.0:
        tags |= {"enlargement", "lymphadenopathy"}
    if long_mm < 10.0:
        tags.add("subcentimeter")
    if long_mm < 5.0:
        tags.add("tiny")
    if short_mm >= 20.0:
        tags.add("large")
    if long_mm / short_mm >= 1.3:
        tags.add("oval")
    if fatty_hilum:
        tags.add("fat-containing")
    return sorted(tags)
