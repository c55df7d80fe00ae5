"""Files that pass between the server and 3D Slicer, read and written by Slicer's own code (slicer-core)."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from small import slicer_store
from small import store as small_store
from small.slicer_plugin import Plugin
from small.slicer_process import SlicerCore, interpreter
from small.slicer_store import GEOMETRIES, PAINTED, TOUCHING, TUMOR, stored

pytestmark = pytest.mark.server

REJECTED = slicer_store.bright() & ~slicer_store.kept()


@pytest.fixture(scope="module")
def core(require, tmp_path_factory):
    """Slicer's process, before the server, which need not start where Slicer is missing."""
    running = SlicerCore(interpreter(require), tmp_path_factory.mktemp("core") / "slicer.log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def server(core, tmp_path_factory):
    with slicer_store.serving(tmp_path_factory.mktemp("slicer")) as running:
        yield running


@pytest.fixture(params=GEOMETRIES)
def case(request):
    return request.param


class Desk:
    """Slicer with a case's CT: its scene, and the module's side that talks to the server."""

    def __init__(self, core: SlicerCore, plugin: Plugin, case: str) -> None:
        self.core, self.plugin, self.folder = core, plugin, plugin.folder
        self.file_affine = GEOMETRIES[case]
        self.ct = core.open_ct(plugin.open({"id": case}), self.folder / "ct.npy")
        for name in plugin.info["labels"]:
            core.add(name)

    def run(self, extension: str = ".nrrd", model: str = "osln", **options) -> tuple[Path, dict]:
        """File and JSON of an inference."""
        options |= {"result_extension": extension, "result_dtype": "uint8"}
        file, result = self.plugin.client.infer(model, self.plugin.sample["id"], options)
        return Path(file), result

    def segment(self, name: str) -> np.ndarray:
        """Voxels of a segment of the scene."""
        self.core.segments(self.folder)
        return self.loaded(f"{name}.npy") > 0

    def loaded(self, file: str) -> np.ndarray:
        """What Slicer has, in the voxel order of the CT's file."""
        turn = _turn(self.ct["affine"], self.file_affine)
        return nib.apply_orientation(np.load(self.folder / file), turn)

    def paint(self, name: str, mask: np.ndarray) -> None:
        """Adds a mask in the voxel order of the CT's file to a segment."""
        turn = _turn(self.file_affine, self.ct["affine"])
        np.save(self.folder / "brush.npy", nib.apply_orientation(mask, turn))
        assert self.core.paint(name, self.folder / "brush.npy")

    def submit(self, file: Path, names: list[str]) -> dict:
        """Sends a file that Slicer has written, with the names of the scene's segments in order."""
        self.plugin.segments = dict.fromkeys(names)
        return self.plugin.submit(file)


def _turn(source, target) -> np.ndarray:
    return nib.orientations.ornt_transform(nib.io_orientation(source), nib.io_orientation(target))


@pytest.fixture
def desk(core, server, tmp_path, case):
    return Desk(core, Plugin(server.url, tmp_path), case)


def test_slicer_shows_the_ct_of_the_next_sample_where_the_store_has_it(desk, case):
    assert desk.ct["class"] == "vtkMRMLScalarVolumeNode"
    # The same voxels at the same places, though Slicer turns left-handed axes.
    turn = nib.orientations.inv_ornt_aff(_turn(desk.ct["affine"], GEOMETRIES[case]), desk.ct["shape"])
    np.testing.assert_allclose(desk.ct["affine"] @ turn, GEOMETRIES[case], atol=1e-4)
    assert np.linalg.det(np.array(desk.ct["affine"])[:3, :3]) > 0
    np.testing.assert_array_equal(desk.loaded("ct.npy"), small_store.ct(faint=True))


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_a_result_is_a_label_map_on_the_cts_voxels(desk, tmp_path, extension):
    file, result = desk.run(extension, show_rejected=True)
    node = desk.core.read_label_map(file, tmp_path / "result.npy")
    assert node["class"] == "vtkMRMLLabelMapVolumeNode"
    for key in ("shape", "spacing", "origin", "affine"):
        np.testing.assert_allclose(node[key], desk.ct[key], atol=1e-4, err_msg=key)
    values = desk.loaded("result.npy")
    assert result["label_names"] == {"lymph node": 1, "rejected candidate": 2}
    np.testing.assert_array_equal(values == 1, slicer_store.kept())
    np.testing.assert_array_equal(values == 2, REJECTED)


def test_a_seg_nrrd_result_is_a_segmentation_with_names_and_colors(desk):
    file, _ = desk.run(".seg.nrrd", show_rejected=True)
    assert desk.core.read_segmentation(file) == "vtkMRMLSegmentationNode"
    first, second = desk.core.segments(desk.folder)
    assert (first["name"], second["name"]) == ("lymph node", "rejected candidate")
    assert (first["value"], second["value"]) == (1, 2)
    np.testing.assert_allclose(np.multiply(first["color"], 255), (68, 172, 100), atol=1e-3)
    np.testing.assert_allclose(first["affine"], desk.file_affine, atol=1e-4)
    assert first["extent"] == [0, 39, 0, 35, 0, 23]
    np.testing.assert_array_equal(desk.segment("lymph node"), slicer_store.kept())
    np.testing.assert_array_equal(desk.segment("rejected candidate"), REJECTED)


def test_a_seg_nrrd_result_without_a_node_still_has_its_segment(desk):
    file, _ = desk.run(".seg.nrrd", score=1.0)
    desk.core.read_segmentation(file)
    assert [segment["name"] for segment in desk.core.segments(desk.folder)] == ["lymph node"]
    assert not desk.segment("lymph node").any()


def test_run_fills_the_segments_of_the_scene_also_when_a_value_is_absent(desk):
    for options, nodes, rejected in (
        ({}, slicer_store.kept(), REJECTED),
        ({"score": 1.0}, slicer_store.bright() & False, slicer_store.bright()),
        ({"score": 1e-6}, slicer_store.bright(), REJECTED & False),
    ):
        file, result = desk.run(show_rejected=True, **options)
        assert desk.core.import_label_map(file, list(result["label_names"]))
        np.testing.assert_array_equal(desk.segment("lymph node"), nodes)
        np.testing.assert_array_equal(desk.segment("rejected candidate"), rejected)
        assert not desk.segment("tumor").any()


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".seg.nrrd"])
def test_a_label_map_that_slicer_exports_is_stored_as_it_was_edited(server, desk, case, extension):
    file, result = desk.run(show_rejected=True)
    desk.core.import_label_map(file, list(result["label_names"]))
    desk.core.remove("rejected candidate")
    desk.core.add("Segment_1")
    desk.core.rename("Segment_1", "lymph node 2")
    desk.paint("lymph node 2", PAINTED)
    desk.paint("tumor", TUMOR)
    desk.core.order(["lymph node 2", "tumor", "lymph node"])
    names = desk.core.save_label_map(desk.folder / f"export{extension}")
    assert names == ["lymph node 2", "tumor", "lymph node"]
    desk.submit(desk.folder / f"export{extension}", names)
    np.testing.assert_array_equal(stored(server, case), slicer_store.kept() | PAINTED)
    np.testing.assert_array_equal(stored(server, case, "gtv"), TUMOR)


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "raw"])
@pytest.mark.parametrize("cropped", [True, False], ids=["cropped", "whole"])
def test_overlapping_segments_that_slicer_saves_are_stored_apart(server, desk, case, cropped, compressed):
    nodes = TOUCHING
    desk.paint("lymph node", nodes)
    desk.paint("tumor", TUMOR)
    names = desk.core.save_segmentation(desk.folder / "scene.seg.nrrd", cropped, compressed)
    header = (desk.folder / "scene.seg.nrrd").read_bytes().partition(b"\n\n")[0]
    assert b"dimension: 4" in header and b"kinds: list domain domain domain" in header
    assert (b"ReferenceImageExtentOffset:=0 0 0" in header) != cropped
    desk.submit(desk.folder / "scene.seg.nrrd", names)
    np.testing.assert_array_equal(stored(server, case), nodes)
    np.testing.assert_array_equal(stored(server, case, "gtv"), TUMOR)


@pytest.mark.parametrize("cropped", [True, False], ids=["cropped", "whole"])
def test_a_segmentation_without_a_voxel_approves_a_patient_without_nodes(server, desk, case, cropped):
    desk.paint("lymph node", PAINTED)
    desk.submit(desk.folder / "a.nii.gz", desk.core.save_label_map(desk.folder / "a.nii.gz"))
    assert stored(server, case).any()
    desk.core.remove("lymph node")
    desk.core.add("lymph node")
    names = desk.core.save_segmentation(desk.folder / "b.seg.nrrd", cropped, True)
    assert desk.submit(desk.folder / "b.seg.nrrd", names)["nodes"]["removed"] == 1
    assert not stored(server, case).any()


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_a_ct_that_slicer_saves_is_the_case_that_the_store_has(server, desk, case, extension):
    before = (server.studies / f"{case}.nii.gz").read_bytes()
    desk.core.save_ct(desk.folder / f"saved{extension}")
    assert desk.plugin.client.upload_image(str(desk.folder / f"saved{extension}"), case)["image"] == case
    assert (server.studies / f"{case}.nii.gz").read_bytes() == before


def test_an_approved_label_can_be_opened_and_edited_again(server, desk, case):
    desk.paint("lymph node", PAINTED)
    desk.submit(desk.folder / "first.nrrd", desk.core.save_label_map(desk.folder / "first.nrrd"))
    approved = desk.plugin.client.download_label(case, "final")
    np.testing.assert_allclose(nib.load(approved).affine, GEOMETRIES[case], atol=1e-4)
    desk.core.import_label_map(approved, ["lymph node"])
    np.testing.assert_array_equal(desk.segment("lymph node"), PAINTED)
    desk.paint("lymph node", slicer_store.kept())
    reply = desk.submit(desk.folder / "again.nrrd", desk.core.save_label_map(desk.folder / "again.nrrd"))
    assert reply["nodes"] == {"added": 1, "removed": 0, "changed": 0, "unchanged": 1}
    np.testing.assert_array_equal(stored(server, case), slicer_store.kept() | PAINTED)
