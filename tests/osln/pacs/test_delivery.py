"""Labels to a real PACS and back, voxel by voxel; and a PACS that is away while labels are submitted."""

import time

import nibabel as nib
import numpy as np
import pytest
import requests

from local_orthanc import LocalOrthanc
from osln.dicom.nodes import TUMOR
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.pacs.delivery import series_on_pacs
from osln.store.revisions import label_revisions
from small.deliveries import NODES, in_file_order, label, of, segs, send, submit
from small.dicom import AXIAL, FLIPPED, OBLIQUE, ct_slices
from small.pacs import CASE, empty, fresh_store, store_study
from small.study import regions

pytestmark = pytest.mark.pacs


def by_images(dataset, slices):
    """The voxels of an object by the CT images that its frames refer to, without any geometry."""
    number = {str(image.SOPInstanceUID): k for k, image in enumerate(slices)}
    mask = np.zeros((20, 16, 12), np.uint8)
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        mask[:, :, number[str(image.ReferencedSOPInstanceUID)]] |= pixels.T
    return mask


@pytest.fixture
def store(pacs, tmp_path):
    return fresh_store(pacs, tmp_path / "mirror")


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
def test_submitted_nodes_lie_on_the_pacs_voxel_by_voxel_named_by_content(pacs, tmp_path, affine):
    empty(pacs)
    store_study(pacs, tmp_path / "turned", affine=affine)
    store = fresh_store(pacs, tmp_path / "mirror")
    submit(store, tmp_path, [(1, NODES[0]), (1, NODES[1])])
    assert send(store) == 1

    (dataset,) = segs(pacs)
    read = read_seg(dataset, series_on_pacs(store.mirror, CASE))
    np.testing.assert_array_equal(in_file_order(store, read), of(*NODES))
    np.testing.assert_array_equal(in_file_order(store, read, "lymph node 1"), of(NODES[0]))
    np.testing.assert_array_equal(in_file_order(store, read, "lymph node 2"), of(NODES[1]))
    # The file's slices run to the head, those of the flipped CT were written from there.
    as_written = of(*NODES)[:, :, :: -1 if affine[2, 2] < 0 else 1]
    np.testing.assert_array_equal(by_images(dataset, ct_slices(affine=affine)), as_written)
    assert read.creator == "Anna Nadel^" and dataset.PatientID == "H-123456"
    first = ct_slices()[0]
    assert dataset.StudyInstanceUID == first.StudyInstanceUID and dataset.PatientName == first.PatientName


def test_fresh_mirror_sees_what_an_earlier_one_approved(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    submit(store, tmp_path, [(1, NODES[1])], by="Berta")
    assert send(store) == 2

    other = fresh_store(pacs, tmp_path / "other")
    other.take_labels()

    assert other.get_labeled_images() == [CASE]
    final = nib.load(other.get_label_uri(CASE, "final"))
    np.testing.assert_array_equal(np.asarray(final.dataobj), of(NODES[1]))
    np.testing.assert_allclose(final.affine, nib.load(other.get_image_uri(CASE)).affine)
    head = label_revisions(other.root, CASE, "final").head()
    assert (head.source, head.by) == ("pacs", "Berta")
    other.take_labels()
    assert label_revisions(other.root, CASE, "final").head() == head
    assert send(other) == 0, "what came from the PACS does not go back to it"


def test_label_of_a_patient_without_nodes_is_stored_and_comes_back(pacs, store, tmp_path):
    submit(store, tmp_path, [])
    assert send(store) == 1

    other = fresh_store(pacs, tmp_path / "other")
    other.take_labels()

    assert other.get_labeled_images() == [CASE]
    assert not np.asarray(nib.load(other.get_label_uri(CASE, "final")).dataobj).any()


def test_tumor_that_was_drawn_goes_back_as_an_object_of_its_own(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0]), (2, NODES[1])])
    assert send(store) == 2

    (dataset,) = segs(pacs, TUMOR)
    read = read_seg(dataset, series_on_pacs(store.mirror, CASE))
    np.testing.assert_array_equal(in_file_order(store, read, "tumor"), of(NODES[1]))
    assert dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "86049000"
    other = fresh_store(pacs, tmp_path / "other")
    other.take_labels()
    np.testing.assert_array_equal(
        np.asarray(nib.load(other.get_label_uri(CASE, "gtv")).dataobj), of(NODES[1])
    )


def test_sending_a_revision_again_makes_no_second_object(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    send(store)
    for entry in (store.root / ".osln" / "outbox").glob("*.json"):
        entry.unlink()
    store.announce(CASE, "final")

    assert send(store) == 1
    assert len(segs(pacs)) == 1


def test_older_approval_on_the_pacs_does_not_replace_a_newer_one_that_waits_here(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    send(store)
    other = fresh_store(pacs, tmp_path / "other")
    time.sleep(1.1)
    submit(other, tmp_path, [(1, NODES[1])])
    other.look()
    other.take_labels()

    final = nib.load(other.get_label_uri(CASE, "final"))
    np.testing.assert_array_equal(np.asarray(final.dataobj), of(NODES[1]))


def test_label_submitted_while_the_pacs_is_away_is_delivered_when_it_is_back(tmp_path, require):
    import local_orthanc

    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    with LocalOrthanc(tmp_path / "pacs") as pacs:
        store_study(pacs, tmp_path / "dicom")
        store = fresh_store(pacs, tmp_path / "mirror")
        file = label(store, [(1, NODES[0])], tmp_path)
        pacs.kill()

        store.save_label(CASE, str(file), "final", {"label_info": [{"name": "lymph node", "idx": 1}]})
        assert send(store) == 0
        waits = store.waiting()
        assert waits["waiting"] == 1 and "cannot be reached" in waits["last_error"]
        assert send(store) == 0, "the next try comes after a pause"

        # The program is started again before the PACS is.
        store = fresh_store(pacs, tmp_path / "mirror", look=False)
        assert store.waiting()["waiting"] == 1
        pacs.start()
        assert send(store, later=3600) == 1
        assert store.waiting() == {"waiting": 0, "last_error": ""} and len(segs(pacs)) == 1


def test_pacs_that_dies_in_the_middle_of_a_save_gets_the_label_later(tmp_path, require, monkeypatch):
    import local_orthanc

    if not local_orthanc.installed():
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    send_object = WebClient.store
    with LocalOrthanc(tmp_path / "pacs") as pacs:
        store_study(pacs, tmp_path / "dicom")
        store = fresh_store(pacs, tmp_path / "mirror")
        submit(store, tmp_path, [(1, NODES[0])])

        def dies_before(web, item):
            pacs.kill()
            return send_object(web, item)

        def dies_after(web, item):
            send_object(web, item)
            pacs.kill()
            return send_object(web, item)

        monkeypatch.setattr(WebClient, "store", dies_before)
        assert send(store) == 0 and store.waiting()["waiting"] == 1
        pacs.start()
        assert segs(pacs) == []
        monkeypatch.setattr(WebClient, "store", dies_after)
        assert send(store, later=3600) == 0 and store.waiting()["waiting"] == 1
        pacs.start()
        monkeypatch.setattr(WebClient, "store", send_object)
        assert send(store, later=3600) == 1
        assert len(segs(pacs)) == 1


def test_crash_between_revision_and_delivery_loses_nothing(pacs, store, tmp_path, monkeypatch):
    """The process dies after the revision was written and before anything else was."""

    def dies(case, tag, info):
        # That the contour of the study has become a revision is noted before.
        if tag == "final":
            raise KeyboardInterrupt

    monkeypatch.setattr(store, "register_label", dies)
    with pytest.raises(KeyboardInterrupt):
        submit(store, tmp_path, [(1, NODES[0])])

    assert send(fresh_store(pacs, tmp_path / "mirror")) == 1
    assert len(segs(pacs)) == 1


def test_label_is_accepted_although_images_and_pacs_are_gone(pacs, store, tmp_path, monkeypatch):
    file = label(store, [(1, NODES[0])], tmp_path)
    (store.root / f"{CASE}.nii.gz").unlink()
    monkeypatch.setattr(store.mirror, "web", WebClient("http://127.0.0.1:9/dicom-web", Credentials()))

    store.save_label(CASE, str(file), "final", {"label_info": [{"name": "lymph node", "idx": 1}]})

    np.testing.assert_array_equal(
        np.asarray(nib.load(store.get_label_uri(CASE, "final")).dataobj), of(NODES[0])
    )


def test_label_on_a_ct_that_the_pacs_has_exchanged_waits_and_says_why(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    instance = requests.get(f"{pacs.root}/instances", timeout=10).json()
    for one in instance:
        tags = requests.get(f"{pacs.root}/instances/{one}/simplified-tags", timeout=10).json()
        if tags["SeriesInstanceUID"] == CASE:
            requests.delete(f"{pacs.root}/instances/{one}", timeout=10).raise_for_status()
            break

    assert send(store) == 0
    assert "are not those that were labeled" in store.waiting()["last_error"]


def test_nodes_of_a_structure_set_are_not_sent_but_kept_as_a_revision(pacs, store, tmp_path):
    empty(pacs)
    store_study(pacs, tmp_path / "more", named=regions())
    store.look()
    submit(store, tmp_path, [(1, NODES[0])])

    assert send(store) == 1
    history = label_revisions(store.root, CASE, "final").history()
    assert [revision.source for revision in history] == ["submission", "external"]
