"""Results of a case on a real PACS as DICOM, without storing them there."""

import nibabel as nib
import numpy as np
import pytest

from osln.dicom.reading.segmentation import read_seg
from osln.pacs.delivery import series_on_pacs
from osln.pacs.exporting import export_prediction, export_stored
from small.deliveries import NODES, in_file_order, of, segs, send, submit
from small.export import FEET, HEAD, result
from small.pacs import CASE, fresh_store
from small.parts import submit_in_part

pytestmark = pytest.mark.pacs


@pytest.fixture
def store(pacs, tmp_path):
    return fresh_store(pacs, tmp_path / "mirror")


def voxels(store, dataset, *names):
    return in_file_order(store, read_seg(dataset, series_on_pacs(store.mirror, CASE)), *names)


def test_approved_nodes_are_given_and_not_stored_on_the_pacs(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0]), (1, NODES[1])])

    made = export_stored(store.mirror, CASE, "final", "seg")
    np.testing.assert_array_equal(voxels(store, made), of(*NODES))
    assert made.ContentLabel == "OSLN_APPROVED" and segs(pacs) == []
    structures = export_stored(store.mirror, CASE, "final", "rtstruct")
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["lymph node 1", "lymph node 2"]


def test_a_case_in_part_is_marked_if_asked_for_and_stays_here_until_it_is_complete(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    submit_in_part(store.root, CASE, undecided=[[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    with pytest.raises(ValueError, match="was reviewed in part, 1 candidates are undecided"):
        export_stored(store.mirror, CASE, "final", "seg")
    made = export_stored(store.mirror, CASE, "final", "seg", in_part=True)
    assert made.ContentLabel == "OSLN_IN_PART"
    np.testing.assert_array_equal(voxels(store, made), of(NODES[0]))
    assert send(store) == 1 and [int(one.InstanceNumber) for one in segs(pacs)] == [1]
    assert "goes to the PACS when it is complete" in store.about_delivery(CASE)["pacs"]["message"]
    store.announce(CASE, "final")
    submit_in_part(store.root, CASE, complete=True)
    assert send(store) == 1 and [int(one.InstanceNumber) for one in segs(pacs)] == [1, 3]


def test_prediction_keeps_the_names_and_scores_of_its_candidates(store, tmp_path):
    ct = nib.load(store.get_image_uri(CASE))
    nib.save(nib.Nifti1Image(of(FEET, HEAD), ct.affine), tmp_path / "found.nii.gz")

    made = export_prediction(store.mirror, CASE, tmp_path / "found.nii.gz", result(ct.affine))
    np.testing.assert_array_equal(voxels(store, made, "lymph node 1"), of(FEET))
    np.testing.assert_array_equal(voxels(store, made, "lymph node 2"), of(HEAD))
    assert made.ContentLabel == "OSLN_PREDICTED"
    assert made.SegmentSequence[1].SegmentDescription.startswith("GLNet score 0.60, distal")

    store.save_label(CASE, str(tmp_path / "found.nii.gz"), "original", {"params": result(ct.affine)})
    stored = export_stored(store.mirror, CASE, "prediction", "seg")
    np.testing.assert_array_equal(voxels(store, stored), of(FEET, HEAD))


@pytest.mark.parametrize(
    ("what", "form", "words"),
    [
        ("final", "seg", "has no approved nodes yet"),
        ("prediction", "seg", "no stored prediction with candidates"),
        ("all", "seg", "what is one of final, prediction, not 'all'"),
        ("final", "png", "format is one of seg, rtstruct, not 'png'"),
    ],
)
def test_what_cannot_be_exported_is_told(store, what, form, words):
    with pytest.raises(ValueError, match=words):
        export_stored(store.mirror, CASE, what, form)
