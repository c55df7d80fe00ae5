"""What an annotator is told of a label on its way to the PACS is about this label."""

import errno

import nibabel as nib
import numpy as np
import pytest

from osln.dicom.writing.segmentation import seg
from osln.store.final_copy import FinalCopy
from osln.store.revisions import ConflictError, label_revisions
from small.deliveries import NODES, segs, send
from small.dicom import ct_slices, uid
from small.memory_pacs import OTHER, memory_pacs, other_ct
from small.pacs import CASE, fresh_store
from small.parts import submit_in_part


@pytest.fixture
def pacs():
    with memory_pacs([*ct_slices(), *other_ct()]) as server:
        yield server


@pytest.fixture
def store(pacs, tmp_path):
    return fresh_store(pacs, tmp_path / "mirror")


@pytest.fixture
def submit(store, tmp_path):
    def store_nodes(case, node=NODES[0]):
        ct = nib.load(store.get_image_uri(case))
        array = np.zeros(ct.shape, np.uint8)
        array[node] = 1
        nib.save(nib.Nifti1Image(array, ct.affine), tmp_path / "label.nii.gz")
        info = {"label_info": [{"name": "lymph node", "idx": 1}], "client_id": "Anna"}
        store.save_label(case, str(tmp_path / "label.nii.gz"), "final", info)

    return store_nodes


def exchange(pacs):
    """Nothing that was drawn on the images of CASE can be sent any more."""
    for number, one in enumerate(one for one in pacs.objects if one.SeriesInstanceUID == CASE):
        one.SOPInstanceUID = uid(f"another {number}")


def message(store, case):
    return store.about_delivery(case)["pacs"]["message"]


def entry_of(store, case):
    return store.root / ".osln" / "outbox" / f"{case}.final.json"


def test_label_that_was_sent_is_told_so_whatever_waits_of_other_cases(pacs, store, submit):
    submit(CASE)
    exchange(pacs)
    send(store)
    submit(OTHER)
    assert message(store, OTHER) == "The label is kept here and on its way to the PACS."
    assert send(store) == 1

    assert store.about_delivery(OTHER)["pacs"] == {
        "waiting": 0, "last_error": "", "message": "The label is on the PACS.",
    }  # fmt: skip
    assert "goes to the PACS later: the images of the CT" in message(store, CASE)
    assert store.waiting()["waiting"] == 1 and CASE in store.waiting()["last_error"]


def test_case_in_part_stays_here_whatever_waits(pacs, store, submit):
    submit(OTHER)
    send(store)
    submit_in_part(store.root, OTHER, undecided=[[[0.0, 0, 0], [5, 5, 5]]])
    submit(CASE)

    assert message(store, OTHER).startswith("A case in part is kept here")


def test_label_whose_entry_was_removed_is_not_told_to_be_on_the_pacs(pacs, store, submit):
    submit(CASE)
    entry_of(store, CASE).unlink()

    assert send(store) == 0 and segs(pacs) == []
    assert "not on its way to the PACS, because its entry in .osln/outbox was removed" in message(store, CASE)


def test_label_that_was_given_up_is_told_so(pacs, store, submit):
    submit(CASE)
    path = entry_of(store, CASE)
    path.write_text(path.read_text().replace('"given_up": []', '"given_up": [1]'))

    assert send(store) == 0 and segs(pacs) == []
    assert message(store, CASE) == "The label is kept here; sending it to the PACS was given up."
    submit(CASE, NODES[1])
    assert send(store) == 1 and message(store, CASE) == "The label is on the PACS."


@pytest.mark.parametrize("file", ["entry", "head"])
def test_damaged_file_of_one_case_holds_up_no_other_case(pacs, store, submit, file):
    submit(CASE)
    submit(OTHER)
    path = entry_of(store, CASE) if file == "entry" else store.root / ".osln" / CASE / "head.json"
    path.write_text("{")

    assert send(store) == 1
    assert message(store, OTHER) == "The label is on the PACS."
    assert path.name in store.waiting()["last_error"]
    assert "not known whether the PACS has it" in message(store, CASE) and path.name in message(store, CASE)


def test_revision_that_cannot_be_sent_holds_up_no_newer_one(pacs, store, submit):
    submit(CASE)
    submit(CASE, NODES[1])
    label_revisions(store.root, CASE, "final").path(1).write_bytes(b"damaged")

    assert send(store) == 1 and [int(one.InstanceNumber) for one in segs(pacs)] == [2]
    told = store.about_delivery(CASE)["pacs"]
    assert told["message"] == "The label is on the PACS."
    assert told["waiting"] == 1 and "0001.nii.gz" in told["last_error"]


def test_object_that_the_pacs_refuses_holds_up_no_newer_one(pacs, store, submit):
    submit(CASE)
    submit(CASE, NODES[1])
    sent = []

    def refuses_the_first(handler):
        sent.append(1)
        handler.server.stow = None
        handler.send_json({}, 413)

    pacs.stow = refuses_the_first
    assert send(store) == 1 and [int(one.InstanceNumber) for one in segs(pacs)] == [2] and sent == [1]
    assert send(store, later=3600) == 1


def test_error_that_nobody_thought_of_is_noted_and_holds_up_nobody(pacs, store, submit, monkeypatch):
    submit(CASE)
    submit(OTHER)
    monkeypatch.setattr("osln.pacs.delivery.seg", slips_for_one_case())

    assert send(store) == 1
    assert "cannot be written as a DICOM object (AttributeError: slip)" in message(store, CASE)


def slips_for_one_case():
    def slips(nodes, ct, uids):
        if ct.series_uid == CASE:
            raise AttributeError("slip")
        return seg(nodes, ct, uids)

    return slips


@pytest.mark.parametrize(
    "values",
    [
        {"SliceThickness": ""},
        {"PatientSex": "unknown"},
        {"PatientBirthDate": "00000000"},
        {"StudyDate": "20201345"},
        {"StudyTime": "9:50"},
    ],
)
def test_value_that_the_standard_does_not_allow_keeps_no_label_back(tmp_path, values):
    with memory_pacs(ct_slices(**values)) as pacs:
        store = fresh_store(pacs, tmp_path / "mirror")
        ct = nib.load(store.get_image_uri(CASE))
        nib.save(nib.Nifti1Image(np.zeros(ct.shape, np.uint8), ct.affine), tmp_path / "none.nii.gz")
        info = {"label_info": [{"name": "lymph node", "idx": 1}]}
        store.save_label(CASE, str(tmp_path / "none.nii.gz"), "final", info)

        assert send(store) == 1
        (one,) = segs(pacs)
        (keyword,) = values
        if keyword == "SliceThickness":
            measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
            assert float(measures.SliceThickness) == abs(float(ct.header.get_zooms()[2]))
        else:
            assert not one.get(keyword), "written empty"


def test_segmentation_that_could_not_be_taken_is_tried_again_later(
    pacs, store, submit, tmp_path, monkeypatch
):
    submit(CASE)
    send(store)
    other = fresh_store(pacs, tmp_path / "other")
    instead = []

    def fails(*args):
        instead.append(args)
        raise ValueError("the images are others for a while")

    monkeypatch.setattr("lib.pacs.datastore.take_label", fails)
    other.take_labels()
    other.take_labels()
    assert len(instead) == 1, "not with every listing"
    monkeypatch.undo()
    other._not_taken = dict.fromkeys(other._not_taken, 0.0)
    other.take_labels()
    assert other.get_labeled_images() == [CASE]


def test_label_that_somebody_is_writing_is_taken_with_the_next_listing(
    pacs, store, submit, tmp_path, monkeypatch
):
    submit(CASE)
    send(store)
    other = fresh_store(pacs, tmp_path / "other")

    def busy(*args):
        raise ConflictError("somebody else is writing")

    monkeypatch.setattr("lib.pacs.datastore.take_label", busy)
    other.take_labels()
    monkeypatch.undo()
    other.take_labels()
    assert other.get_labeled_images() == [CASE]


def test_a_case_that_somebody_else_has_listed_comes_into_the_store(pacs, tmp_path):
    pacs.objects = ct_slices()
    store = fresh_store(pacs, tmp_path / "mirror")
    assert store.list_images() == [CASE]
    pacs.objects += other_ct()
    # As where an image that is fetched was taken away since.
    store.mirror.listing.refresh()

    store.look()

    assert set(store.list_images()) == {CASE, OTHER}


def test_a_first_label_whose_copy_waits_stays_in_the_index_without_the_images(store, submit, monkeypatch):
    def refuse(_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FinalCopy, "publish", refuse)
    submit(CASE)
    (store.root / f"{CASE}.nii.gz").unlink()
    store.refresh()
    assert store.get_labeled_images() == [CASE]
