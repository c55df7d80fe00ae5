"""The ontology table becomes implications and exclusions of the 171 tags."""

import numpy as np
import pytest

from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.ontology import Ontology, read_ontology
from small.deeplesion import write_table
from small.reference_data import reference_folder


def one_hot(*names: str) -> np.ndarray:
    labels = np.zeros((1, len(TAG_NAMES)), dtype=bool)
    labels[0, [TAG_INDEX[name] for name in names]] = True
    return labels


def names(labels: np.ndarray) -> set[str]:
    return {TAG_NAMES[i] for i in np.flatnonzero(labels[0])}


def test_parents_are_followed_to_the_end_also_through_terms_that_are_no_tags(tmp_path):
    rows = {
        "lung nodule": ("", "lung base", ""),
        "lung base": ("", "somewhere in the lung", ""),
        "somewhere in the lung": ("", "lung | chest", ""),
    }
    ontology = read_ontology(write_table(tmp_path / "o.xlsx", rows))
    assert names(ontology.expand(one_hot("lung nodule"))) == {"lung nodule", "lung base", "lung", "chest"}
    assert names(ontology.expand(one_hot("chest", "cyst"))) == {"chest", "cyst"}


def test_a_term_is_the_child_of_the_term_that_lists_it(tmp_path):
    ontology = read_ontology(write_table(tmp_path / "o.xlsx", {"bone": ("", "", "rib| spine")}))
    assert names(ontology.expand(one_hot("spine"))) == {"spine", "bone"}


def test_what_excludes_a_term_excludes_all_that_implies_it_in_both_directions(tmp_path):
    rows = {
        "chest": ("abdomen", "", ""),
        "lung": ("", "chest", ""),
        "liver": ("", "abdomen", ""),
        "liver mass": ("", "liver", ""),
    }
    ontology = read_ontology(write_table(tmp_path / "o.xlsx", rows))
    assert names(ontology.excluded(one_hot("lung"))) == {"abdomen", "liver", "liver mass"}
    assert names(ontology.excluded(one_hot("liver mass"))) == {"chest", "lung"}
    assert names(ontology.excluded(one_hot("cyst"))) == set()


def test_terms_that_one_term_implies_together_do_not_exclude_each_other(tmp_path):
    rows = {
        "mediastinum": ("neck", "", ""),
        "supraclavicular lymph node": ("", "mediastinum | neck", ""),
        "thyroid gland": ("", "neck", ""),
    }
    ontology = read_ontology(write_table(tmp_path / "o.xlsx", rows))
    assert "neck" not in names(ontology.excluded(one_hot("mediastinum")))
    assert not (ontology.implied & ontology.exclusive).any()
    assert names(ontology.excluded(one_hot("thyroid gland"))) == set()


def test_no_lesions_expand_to_none(tmp_path):
    ontology = read_ontology(write_table(tmp_path / "o.xlsx", {}))
    assert ontology.expand(np.zeros((0, len(TAG_NAMES)), bool)).shape == (0, len(TAG_NAMES))


def test_other_files_are_refused_in_words(tmp_path):
    with pytest.raises(ValueError, match=r"no ontology at .*lesion_ontology_181022\.xlsx"):
        read_ontology(tmp_path / "missing.xlsx")
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="cannot be read as an Excel table"):
        read_ontology(broken)
    text = tmp_path / "table.csv"
    text.write_text("term")
    with pytest.raises(ValueError, match="cannot be read as an Excel table"):
        read_ontology(text)
    other = write_table(tmp_path / "other.xlsx", {}, columns=("term", "a", "b", "c"))
    with pytest.raises(ValueError, match="has no column term_exclusive, term_parents, term_children"):
        read_ontology(other)
    short = write_table(tmp_path / "short.xlsx", {}, tags=TAG_NAMES[1:])
    with pytest.raises(ValueError, match=r"no row for 1 of the 171 tags \(chest\)"):
        read_ontology(short)


def test_the_distributed_table_is_read_without_contradictions():
    ontology: Ontology = read_ontology(reference_folder("lesanet-labels") / "lesion_ontology_181022.xlsx")
    subcarinal = ontology.expand(one_hot("subcarinal lymph node"))
    expected = {"subcarinal lymph node", "mediastinum lymph node", "mediastinum", "lymph node", "chest"}
    assert names(subcarinal) == expected
    assert {"abdomen", "lung", "bone"} <= names(ontology.excluded(subcarinal))
    assert (ontology.exclusive == ontology.exclusive.T).all()
    assert not (ontology.expand(ontology.implied) & ontology.excluded(ontology.implied)).any()
