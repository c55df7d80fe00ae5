"""The tag table is LesaNet's, in its order, and the likeliest tags can be told in words."""

import json
from collections import Counter

import numpy as np
import pytest

from osln.phantom.findings.tags import TAGS
from osln.rows.tags import TAG_CLASSES, TAG_INDEX, TAG_NAMES, TAG_TABLE
from osln.tagging.tags import top_tags
from small.reference_data import reference_folder


def test_there_are_171_different_tags_in_three_classes():
    assert len(TAG_NAMES) == len(set(TAG_NAMES)) == 171
    assert Counter(TAG_CLASSES.values()) == {"body part": 115, "type": 27, "attribute": 29}


def test_places_of_the_lymph_node_tags_in_the_order_of_the_scores():
    found = [index for index, name in enumerate(TAG_NAMES) if name.endswith("lymph node")]

    assert found == [
        3, 17, 30, 33, 44, 51, 58, 62, 70, 71, 77, 89, 91, 93, 104, 115, 120, 121, 123, 128, 149, 161
    ]  # fmt: skip
    assert TAG_INDEX["lymphadenopathy"] == 25


def test_the_index_column_counts_the_rows():
    lines = TAG_TABLE.read_text(encoding="utf-8").splitlines()

    assert lines[0] == "index,name,class"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(171))


def test_every_tag_of_the_phantom_is_one_of_lesanet():
    assert set(TAG_NAMES) >= TAGS


def test_names_and_order_are_those_that_the_authors_distribute():
    folder = reference_folder("lesanet-labels")
    terms = json.loads((folder / "text_mined_labels_171_and_split.json").read_text())["term_list"]

    assert list(TAG_NAMES) == terms


def test_the_likeliest_tags_come_first_with_class_and_probability():
    probabilities = np.zeros(171)
    probabilities[[3, 25, 72]] = 0.75, 0.5, 0.875

    assert top_tags(probabilities, count=3) == [
        {"tag": "tiny", "class": "attribute", "probability": 0.875},
        {"tag": "lymph node", "class": "body part", "probability": 0.75},
        {"tag": "lymphadenopathy", "class": "type", "probability": 0.5},
    ]


def test_equal_probabilities_keep_the_table_s_order():
    assert [row["tag"] for row in top_tags(np.full(171, 0.5), count=2)] == ["chest", "abdomen"]
    assert len(top_tags(np.full(171, 0.5))) == 5
    assert top_tags(np.full(171, 0.5), count=0) == []


def test_anything_but_171_finite_probabilities_is_refused():
    with pytest.raises(ValueError, match=r"171 finite probabilities of one lesion, got shape \(170,\)$"):
        top_tags(np.zeros(170))
    with pytest.raises(ValueError, match="with NaN or infinity"):
        top_tags(np.full(171, np.nan))
    with pytest.raises(ValueError, match="at least 0, got -1"):
        top_tags(np.zeros(171), count=-1)
