"""Labels as 3D Slicer's module submits them: renumbered, renamed, cropped, layered, on CTs of any direction.

Every case compares what is stored with what was drawn, voxel by voxel; nothing drawn is symmetric along an
axis, and no two segments are alike.
"""

import nibabel as nib
import numpy as np
import pytest

from osln.imaging.grid import Grid
from small import slicer_store
from small import store as small_store
from small.segmentation import segmentation
from small.slicer_plugin import Plugin
from small.slicer_store import GEOMETRIES, PAINTED, TOUCHING, TUMOR, stored

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with slicer_store.serving(tmp_path_factory.mktemp("slicer")) as running:
        yield running


@pytest.fixture(params=GEOMETRIES)
def case(request):
    return request.param


@pytest.fixture
def slicer(server, tmp_path, case):
    """The module with the case's CT in its scene."""
    plugin = Plugin(server.url, tmp_path)
    plugin.open({"id": case})
    return plugin


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".seg.nrrd"])
def test_deleted_added_and_reordered_segments_are_read_by_their_names(server, slicer, case, extension):
    slicer.extension = extension
    slicer.run("osln", show_rejected=True)
    assert list(slicer.segments) == ["lymph node", "tumor", "rejected candidate"]
    found = slicer.segments.pop("lymph node")
    slicer.segments.pop("rejected candidate")
    # The scene is now: tumor 1, a scribble that is not sent, a new segment 2, the nodes found 3.
    slicer.segments["tumor"] = TUMOR
    slicer.segments["foreground_scribbles"] = PAINTED
    slicer.segments["lymph node 2"] = PAINTED
    slicer.segments["Lymph Node"] = found
    slicer.submit()
    np.testing.assert_array_equal(stored(server, case), slicer_store.kept() | PAINTED)
    np.testing.assert_array_equal(stored(server, case, "gtv"), TUMOR)


def test_a_tumor_that_is_drawn_again_replaces_the_former_one_and_leaves_the_nodes(server, slicer, case):
    grown = TUMOR.copy()
    grown[24:26, 16:20, 10:13] = True
    for tumor, told in ((TUMOR, {"updated", "unchanged"}), (grown, {"updated"}), (grown, {"unchanged"})):
        slicer.segments = {"tumor": tumor, "lymph node": PAINTED}
        assert slicer.submit()["tumor"] in told
    before = stored(server, case)
    slicer.segments = {"lymph node": np.zeros_like(TUMOR), "tumor": TUMOR}
    assert "approved nodes are as before" in slicer.submit()["message"]
    np.testing.assert_array_equal(stored(server, case), before)
    np.testing.assert_array_equal(stored(server, case, "gtv"), TUMOR)


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "raw"])
@pytest.mark.parametrize("cropped", [False, True], ids=["whole", "cropped"])
def test_segments_that_overlap_are_stored_apart(server, slicer, case, tmp_path, cropped, compress):
    nodes = TOUCHING
    assert (nodes & TUMOR).any()
    grid, box = Grid(small_store.SHAPE, nib.load(slicer.ct).affine), np.s_[:, :, :]
    if cropped:
        grid, box = grid.crop((18, 8, 7), (17, 14, 11)), np.s_[18:35, 8:22, 7:18]
    slicer.segments = {"tumor": TUMOR, "lymph node": nodes}
    file = segmentation(
        tmp_path / "scene.seg.nrrd",
        [TUMOR[box], nodes[box]],
        grid.affine,
        [(0, 1, "tumor"), (1, 1, "lymph node")],
        compress=compress,
    )
    slicer.submit(file)
    np.testing.assert_array_equal(stored(server, case), nodes)
    np.testing.assert_array_equal(stored(server, case, "gtv"), TUMOR)


def test_a_patient_without_nodes_is_approved_by_an_empty_segment_and_by_nothing_else(server, slicer, case):
    slicer.segments = {"lymph node": PAINTED}
    slicer.submit()
    slicer.segments = {"tumor": np.zeros_like(TUMOR)}
    assert "an empty segment 'lymph node'" in slicer.message(slicer.submit)
    slicer.segments = {}
    assert "no segment was sent" in slicer.message(slicer.submit)
    assert stored(server, case).any()
    slicer.segments = {"lymph node": np.zeros_like(TUMOR), "tumor": np.zeros_like(TUMOR)}
    assert slicer.submit()["nodes"]["removed"] > 0
    assert not stored(server, case).any()


def test_a_segment_that_kept_slicers_own_name_is_refused_with_the_names_that_are_known(server, slicer, case):
    slicer.segments = {"lymph node": slicer_store.kept(), "Segment_1": PAINTED}
    message = slicer.message(slicer.submit)
    assert "the segment 'Segment_1' is not known here" in message and "'lymph node'" in message
    slicer.segments = {"lymph node": slicer_store.kept(), "Segment_1": np.zeros_like(TUMOR)}
    slicer.submit()
    np.testing.assert_array_equal(stored(server, case), slicer_store.kept())


def test_a_label_of_another_ct_is_refused(server, slicer, case, tmp_path):
    affine = nib.load(slicer.ct).affine.copy()
    affine[:3, 3] += 2.0
    file = small_store.write(tmp_path / "moved.nii.gz", PAINTED.astype(np.uint8), affine)
    slicer.segments = {"lymph node": PAINTED}
    assert "the label lies on another grid than the CT" in slicer.message(slicer.submit, file)


def test_the_reply_tells_the_annotator_what_was_understood(server, slicer, case):
    slicer.segments = {"lymph node": slicer_store.kept() | PAINTED}
    slicer.submit()
    slicer.segments = {"lymph node": slicer_store.kept()}
    reply = slicer.submit()
    assert reply["nodes"] == {"added": 0, "removed": 1, "changed": 0, "unchanged": 1}
    assert reply["message"] == (
        f"Stored as revision {reply['revision']}. 1 node; compared with revision {reply['revision'] - 1}: "
        "0 new, 1 left out, 0 changed, 1 unchanged."
    )
    info = slicer.client.datastore()["objects"][case]["labels"]["final"]["info"]
    assert info["client_id"] == "anna" and info["revision"] == reply["revision"]
