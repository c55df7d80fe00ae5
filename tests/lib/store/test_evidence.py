import json
import os
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from lib.errors import UnknownCaseError
from lib.store import evidence as store_evidence
from lib.store.datastore import OslnDatastore
from osln.active.descriptors import NAMES
from osln.active.evidence import CaseEvidence
from small.evidence import candidate, evidence
from small.store import make_case, tumor, write

TWO = CaseEvidence(
    "p1", "w1", 0.5, (candidate(1, 0.9, features=(0.5, 2.0)), candidate(2, 0.1, features=(1.0, -1.0)))
)


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path, "p1")
    return OslnDatastore(tmp_path)


def marks(store):
    return store_evidence.marks(store.root, "p1")


def keep(store, evidence):
    store.keep_evidence("p1", evidence, marks(store))


def folder(store):
    return store.root / ".osln" / "p1"


def test_it_is_kept_without_its_features_which_lie_beside_it(store):
    keep(store, TWO)
    kept = store_evidence.kept(store.root, "p1")

    assert (kept.weights, kept.error) == ("w1", None)
    assert kept.evidence == TWO.without_features()
    assert store_evidence.features_of(store.root, "p1").tolist() == [[0.5, 2.0], [1.0, -1.0]]
    assert "features" not in (folder(store) / "evidence.json").read_text()


def test_before_the_first_there_is_none_and_a_damaged_file_is_as_none(store):
    assert store_evidence.kept(store.root, "p1") is None
    assert store_evidence.features_of(store.root, "p1") is None
    keep(store, TWO)
    (folder(store) / "evidence.json").write_text("{}")
    assert store_evidence.kept(store.root, "p1") is None


def test_what_is_written_again_is_read_again(store):
    keep(store, TWO)
    assert len(store_evidence.kept(store.root, "p1").evidence.candidates) == 2
    keep(store, replace(TWO, weights="w2", candidates=TWO.candidates[:1]))

    assert store_evidence.kept(store.root, "p1").weights == "w2"
    assert store_evidence.features_of(store.root, "p1").shape == (1, 2)


def test_a_failure_says_why_and_takes_the_place_of_the_evidence(store):
    keep(store, TWO)
    store_evidence.keep_failure(store, "p1", "w2", "case p1 has no PET", marks(store))
    kept = store_evidence.kept(store.root, "p1")

    assert (kept.weights, kept.error, kept.evidence) == ("w2", "case p1 has no PET", None)


def test_the_marks_change_with_the_images_and_not_with_the_nodes(store):
    before = store_evidence.marks(store.root, "p1")
    write(store.root / "labels" / "final" / "p1.nii.gz", tumor())
    assert store_evidence.marks(store.root, "p1") == before
    (store.root / "pet" / "p1.nii.gz").unlink()
    assert store_evidence.marks(store.root, "p1") != before


def test_the_marks_change_with_the_tumor_and_not_when_it_is_written_again(store):
    before, contour = store_evidence.marks(store.root, "p1"), store.root / "labels" / "gtv" / "p1.nii.gz"
    os.utime(contour, (1, 1))
    assert store_evidence.marks(store.root, "p1") == before, "as when it becomes a revision"
    write(contour, np.zeros_like(tumor()))
    assert store_evidence.marks(store.root, "p1") != before


def test_it_goes_with_its_prediction_and_nothing_is_kept_of_a_case_that_is_gone(store, tmp_path):
    keep(store, TWO)
    prediction = write(tmp_path / "sent" / "p1.nii.gz", tumor())
    store.save_label("p1", str(prediction), "original", {"params": {"candidates": []}})
    assert store_evidence.kept(store.root, "p1") is None
    keep(store, TWO)
    store.remove_label("p1", "original")
    assert not list(folder(store).glob("evidence*")) and not list(folder(store).glob("features*"))
    (store.root / "p1.nii.gz").unlink()
    store.refresh()
    with pytest.raises(UnknownCaseError):
        store_evidence.keep_evidence(store, "p1", evidence("p1", []), "")


def test_files_that_change_while_the_networks_run_make_it_out_of_date(store):
    read = marks(store)
    (store.root / "pet" / "p1.nii.gz").unlink()
    store.keep_evidence("p1", TWO, read)

    assert store_evidence.kept(store.root, "p1").marks == read != marks(store)


@pytest.mark.parametrize("gone", [FileNotFoundError("a folder"), ValueError("twins"), UnknownCaseError("p1")])
def test_a_stored_prediction_is_not_refused_because_its_evidence_cannot_be_kept(store, monkeypatch, gone):
    monkeypatch.setattr(store, "known", Mock(side_effect=gone))
    store.keep_evidence("p1", TWO, "")

    assert store_evidence.kept(store.root, "p1") is None


def test_a_descriptor_keeps_what_is_not_known(store):
    values = (*range(len(NAMES) - 1), float("nan"))
    store_evidence.keep_descriptor(store, "p1", values, None, marks(store))
    kept = store_evidence.kept_descriptor(store.root, "p1")

    assert np.array_equal(kept.values, values, equal_nan=True)
    assert kept.marks == store_evidence.marks(store.root, "p1")
    path = folder(store) / "descriptor.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"values": [1.0]}))
    assert store_evidence.kept_descriptor(store.root, "p1") is None
