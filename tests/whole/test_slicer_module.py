"""The module OSLN of 3D Slicer against a real server, its scene in Slicer's own code (slicer-core)."""

import nibabel as nib
import numpy as np
import pytest

from slicer_module.oslnlib.review import Review
from slicer_module.oslnlib.server import Server, ServerError, nrrd
from small import slicer_store
from small.slicer_plugin import Plugin
from small.slicer_process import REPOSITORY, SlicerCore, interpreter
from small.slicer_store import GEOMETRIES, stored

pytestmark = pytest.mark.server

FOLDER = REPOSITORY / "apps" / "osln" / "slicer_module"
CASES = ("lps", "oblique", "sagittal")
WAITING = "lps.waiting"


@pytest.fixture(scope="module")
def core(require, tmp_path_factory):
    running = SlicerCore(interpreter(require), tmp_path_factory.mktemp("core") / "slicer.log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def running(core, tmp_path_factory):
    # The module asks the server's first model; of this one it is known what it answers.
    with slicer_store.serving(tmp_path_factory.mktemp("slicer"), (*CASES, WAITING), "osln") as running:
        yield running


class Desk:
    """The module with a case open, as its window leads through it."""

    def __init__(self, core, url, folder, case):
        self.core, self.folder, self.case = core, folder, case
        self.server = Server(url, "anna")
        core.open_ct(Plugin(url, folder).open({"id": case}), folder / "ct.npy")
        self.affine = np.array(core.module(FOLDER, "affine"))

    def list(self):
        """Lists what the server has found and draws it; returns the prediction as it is drawn."""
        file = self.server.file(
            "/datastore/label", self.folder, "found.nii.gz", label=self.case, tag="original"
        )
        self.core.read_label_map(file, self.folder / "found.npy")
        self.review = Review(self.server.candidates(self.case), self.affine)
        kept = self.review.started(np.load(self.folder / "found.npy"), predicted=True)
        self.tell("draw", kept, False)

    def drawn(self):
        """The segments of nodes, 0 or a number, and their names."""
        names = self.core.module(FOLDER, "drawn", self.folder / "drawn.npy")
        return np.load(self.folder / "drawn.npy"), names

    def tell(self, action, array, *more):
        """Has the scene do something with an array."""
        np.save(self.folder / "told.npy", array)
        self.core.module(FOLDER, action, self.folder / "told.npy", *more)

    def submit(self):
        values, info, review = self.review.submission(self.drawn()[0])
        base = self.server.revision(self.case)
        return self.server.submit(self.case, nrrd(values, self.affine), info, review, base)


@pytest.fixture(params=CASES)
def desk(core, running, tmp_path, request):
    desk = Desk(core, running.url, tmp_path, request.param)
    desk.server.find(desk.case)
    desk.list()
    return desk


def test_pet_and_candidates_lie_where_slicer_has_the_ct(core, desk, tmp_path):
    pet = desk.server.file("/osln/pet", tmp_path, image=desk.case)
    assert pet.name == f"{desk.case}-pet.nii.gz"
    node = core.read_label_map(pet, tmp_path / "pet.npy")
    np.testing.assert_allclose(node["affine"], desk.affine, atol=1e-4)

    file = desk.server.file("/osln/candidates", tmp_path, image=desk.case, format="mrk.json")
    points = core.read_markups(file)
    # The bright box is the one that is kept, and the first.
    box = np.argwhere(slicer_store.kept()).mean(axis=0)
    place = GEOMETRIES[desk.case][:3, :3] @ box + GEOMETRIES[desk.case][:3, 3]
    label, center, shown = points[0]
    assert label.startswith("1 (0.") and shown
    np.testing.assert_allclose(center, place, atol=0.5)
    assert [shown for *_, shown in points[1:]] == [False] * (len(points) - 1)


def test_a_rejected_node_leaves_the_segment_and_comes_back(desk):
    before, names = desk.drawn()
    assert names == ["lymph node"] and before.astype(bool).sum() == slicer_store.kept().sum()
    desk.review.step(1)
    desk.tell("clear", desk.review.reject(before))
    assert not desk.drawn()[0].any()
    desk.tell("add", desk.review.accept(desk.drawn()[0]))
    np.testing.assert_array_equal(desk.drawn()[0], before)


def test_what_is_decided_is_stored_voxel_by_voxel_with_its_decisions(running, desk):
    desk.review.step(1)
    desk.tell("clear", desk.review.reject(desk.drawn()[0]))
    desk.core.add("lymph node 2")
    painted = np.zeros(np.load(desk.folder / "ct.npy").shape, bool)
    painted[3:6, 4:6, 5:7] = True
    desk.tell("put", painted, "lymph node 2")
    reply = desk.submit()
    assert reply["revision"] == 1
    axes = [nib.orientations.io_orientation(one) for one in (desk.affine, GEOMETRIES[desk.case])]
    turn = nib.orientations.ornt_transform(*axes)
    np.testing.assert_array_equal(
        stored(running, desk.case), nib.orientations.apply_orientation(painted, turn)
    )
    told = desk.server.get("/osln/review", image=desk.case)
    states = [(one["state"], one["value"]) for one in told["review"]["candidates"]]
    assert states == [("added", 1), ("rejected", None)] and told["by"] == "anna"
    assert desk.server.candidates(desk.case)["candidates"][0]["state"] == "rejected"
    assert desk.submit()["unchanged"] is True


def test_approved_nodes_come_back_as_segments_of_their_own(desk):
    two = np.zeros(np.load(desk.folder / "ct.npy").shape, np.uint16)
    two[3:5, 4:6, 5:7], two[5:7, 4:6, 5:7] = 1, 2
    desk.tell("draw", two, True)
    drawn, names = desk.drawn()
    assert names == ["lymph node", "lymph node 1", "lymph node 2"]
    np.testing.assert_array_equal(drawn, np.where(two, two + 1, 0))


def test_what_is_drawn_is_the_same_after_it_was_painted_and_erased_again(desk):
    mask = np.zeros(np.load(desk.folder / "ct.npy").shape, bool)
    mask[7:9, 4:6, 5:7] = True
    desk.tell("put", mask, "lymph node")
    before = desk.core.module(FOLDER, "drawings")
    assert [name for *_, name, _ in before] == ["lymph node"]
    more = mask.copy()
    more[3:6, 4:6, 5:7] = True
    desk.tell("put", more, "lymph node")
    painted = desk.core.module(FOLDER, "drawings")
    assert painted != before
    desk.tell("put", mask, "lymph node")
    assert desk.core.module(FOLDER, "drawings") == before


def test_segments_of_one_name_and_of_other_names_count(desk):
    one, other = np.zeros((2, *np.load(desk.folder / "ct.npy").shape), bool)
    one[3:5, 4:6, 5:7] = other[7:9, 4:6, 5:7] = True
    for name, mask in (("first", one), ("second", other)):
        desk.core.add(name)
        desk.tell("put", mask, name)
        with pytest.raises(RuntimeError, match=f"the segment '{name}' is not known here"):
            desk.core.module(FOLDER, "refuse_unknown")
        desk.core.rename(name, "LN 2")
    desk.core.module(FOLDER, "refuse_unknown")
    drawn, names = desk.drawn()
    assert names == ["lymph node", "LN 2", "LN 2"]
    np.testing.assert_array_equal([drawn == 2, drawn == 3], [one, other])
    desk.core.add("gtv")
    desk.tell("put", one, "gtv")
    desk.core.module(FOLDER, "tumor", desk.folder / "tumor.npy")
    np.testing.assert_array_equal(np.load(desk.folder / "tumor.npy"), one)


def test_refusals_are_sentences(running):
    server = Server(running.url)
    with pytest.raises(ServerError, match="no case 'nobody' in the store"):
        server.get("/osln/case", image="nobody")
    assert server.training() == "no training is running"
    sample = server.next_sample("first")
    assert sample["id"] and sample["why"].startswith("first by name")
    with pytest.raises(ServerError, match="does not answer"):
        Server("http://127.0.0.1:9")
