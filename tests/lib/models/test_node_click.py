import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from lib.models import node_click
from lib.models.batch import Batch
from osln.clicks.answering import Answerer
from small import app as small_app
from small import store as small_store
from small.clicks import Bright

AT = [11, 21, 8]
"""A voxel of the file inside the bright box."""
NODE = small_store.ct() > 100


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return small_app.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def ask(tmp_path, template):
    """Asks a server whose clicks are answered with what is bright."""
    asking = small_app.Asking(tmp_path, template)
    asking.tasks["node-click"].in_use = lambda: Answerer(Bright(110.0), Bright(110.0))
    yield asking
    asking.clean()


def click(ask, case: str = "p1", **options):
    return ask("node-click", case, **({"foreground": [AT]} | options))


def voxels(answer) -> np.ndarray:
    """The label map in the voxel order of its file."""
    return sitk.GetArrayFromImage(sitk.ReadImage(answer["file"])).T


def test_it_is_of_the_kind_that_viewers_offer_for_clicks(ask):
    info = ask.tasks["node-click"].info()
    assert (info["type"], info["dimension"], info["labels"]) == ("deepgrow", 3, {"lymph node": 1})
    assert "not for clinical use" in info["description"] and info["config"] == {}


def test_without_weights_the_classical_way_answers(tmp_path, template):
    asking = small_app.Asking(tmp_path, template)
    answer = click(asking)
    asking.clean()
    assert answer["params"]["method"] == "classical"


def test_the_clicked_box_is_answered_on_the_voxels_of_the_ct_file(ask):
    answer = click(ask)
    np.testing.assert_array_equal(voxels(answer), NODE)
    node = answer["params"]["node"]
    np.testing.assert_allclose(
        node["center_mm"], (small_store.AFFINE_LPS @ (11.5, 21, 8.5, 1))[:3], atol=1e-3
    )
    assert node["volume_mm3"] == pytest.approx(24 * 18.75) and node["suv_max"] == pytest.approx(1.0)
    np.testing.assert_allclose(node["box_mm"], [[26.25, -6.25, -7.5], [36.25, 1.25, -1.5]], atol=1e-3)
    assert answer["params"]["label_names"] == {"lymph node": 1}


def test_indices_and_millimeters_are_the_same_clicks(ask):
    mm = (small_store.AFFINE_LPS @ (*AT, 1))[:3].tolist()
    answer = ask("node-click", "p1", foreground_mm=[mm], background_mm=[])
    np.testing.assert_array_equal(voxels(answer), NODE)
    both = click(ask, foreground_mm=[mm], background=[[30, 10, 5]])
    assert both["params"]["clicks"] == {"foreground": 2, "background": 1}


def test_what_viewers_send_besides_is_accepted(ask):
    answer = click(
        ask, label="lymph node", background=[], reset_state=True, result_extension=".nii.gz",
        result_dtype="uint16", result_compress=False, client_id="me",
    )  # fmt: skip
    image = nib.load(answer["file"])
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), NODE)
    np.testing.assert_allclose(image.affine, small_store.AFFINE_LPS, atol=1e-5)


def test_a_crop_is_the_box_alone_and_says_where_it_lies(ask):
    answer = click(ask, crop=True)
    crop = answer["params"]["crop"]
    assert (crop["start"], crop["shape"]) == ([10, 20, 8], [4, 3, 2])
    np.testing.assert_array_equal(voxels(answer), np.ones((4, 3, 2)))
    np.testing.assert_allclose(
        crop["affine"] @ np.array([0, 0, 0, 1]), small_store.AFFINE_LPS @ (10, 20, 8, 1)
    )
    np.testing.assert_allclose(crop["origin_mm"], (small_store.AFFINE_LPS @ (10, 20, 8, 1))[:3])
    image = sitk.ReadImage(answer["file"])
    np.testing.assert_allclose(np.array(image.GetOrigin()) * (-1, -1, 1), crop["origin_mm"], atol=1e-4)


def test_the_wheel_grows_and_shrinks_the_answer(ask):
    own = click(ask)["params"]["node"]["radius_mm"]
    larger, smaller = (click(ask, radius_mm=r)["params"]["node"]["radius_mm"] for r in (8.0, "3.5"))
    assert smaller < own < larger == pytest.approx(8.0, rel=0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"foreground": []}, "no click inside a node"),
        ({"foreground": None}, "no click inside a node"),
        ({"foreground": [[1, 2]]}, "foreground is a list of points"),
        ({"foreground": [[float("nan"), 1, 1]]}, "lies in no image"),
        ({"foreground": [AT] * 101}, "at most 100"),
        ({"foreground": [[400, 1, 1]]}, "outside the CT"),
        ({"foreground": [[0, 0, 0]]}, "lies in air"),
        ({"background": [AT]}, "inside and outside the node at once"),
        ({"radius_mm": 1000}, "radius_mm is a number from"),
        ({"radius": 4}, "result_dtype, result_compress, crop, radius_mm"),
        ({"radius_mm": "wide"}, "radius_mm is a number from"),
        ({"crop": "maybe"}, "crop is true or false"),
        ({"save_label": True}, "unknown option save_label"),
        ({"roi": [0, 1, 0, 1, 0, 1]}, "unknown option roi"),
    ],
)
def test_what_cannot_be_clicked_is_refused_in_words(ask, options, told):
    status, sentence = ask.refusal("node-click", "p1", **({"foreground": [AT]} | options))
    assert status == 422 and told in sentence


def test_a_pet_is_not_needed_and_a_useless_one_is_told(ask):
    small_store.make_case(ask.store.root, "bare", pet=False, gtv=False)
    answer = click(ask, "bare")["params"]
    assert answer["node"]["suv_max"] is None and answer["warnings"] == []
    small_store.write(ask.store.root / "pet" / "bare.nii.gz", np.full((9, 9, 9), np.nan, np.float32))
    answer = click(ask, "bare")["params"]
    assert answer["node"]["suv_max"] is None and "NaN" in answer["warnings"][0]


def test_a_session_has_a_ct_alone(ask, tmp_path):
    upload = small_store.write(tmp_path / "mine.nii.gz", small_store.ct())
    _, session = ask.sessions.add_session(str(upload))
    answer = ask("node-click", session.image, session=session.to_json(), foreground=[AT])
    np.testing.assert_array_equal(voxels(answer), NODE)
    assert answer["params"]["node"]["suv_max"] is None


def test_images_stay_in_memory_until_their_files_change(ask, monkeypatch):
    click(ask)
    with monkeypatch.context() as patched:
        patched.setattr(node_click, "load_for", None)
        click(ask)
    hu = small_store.ct()
    hu[small_store.NODE] = 40
    hu[20:24, 20:23, 8:10] = 180
    small_store.write(ask.store.root / "p1.nii.gz", hu)
    np.testing.assert_array_equal(voxels(click(ask, foreground=[[21, 21, 8]])), hu > 100)
    assert len(ask.tasks["node-click"].images._kept) == 1


def test_a_ct_of_the_same_size_and_time_in_the_place_of_another_is_read(tmp_path):
    images, faint = node_click.Images(), small_store.ct()
    faint[small_store.NODE] = 40
    first, other = (
        small_store.write(tmp_path / f"{name}.nii", hu)
        for name, hu in (("first", small_store.ct()), ("other", faint))
    )
    for path in (first, other):
        os.utime(path, (1, 1))
    assert images.of(first, in_session=True)[0].ct.array.max() > 100
    other.replace(first)
    assert images.of(first, in_session=True)[0].ct.array.max() == 40


def test_the_memory_is_bounded(ask):
    for case in ("p2", "p3"):
        small_store.make_case(ask.store.root, case)
    ask.tasks["node-click"].images = images = node_click.Images(cases=2)
    for case in ("p1", "p2", "p1", "p3"):
        click(ask, case)
    assert [key[0][0].rsplit("/")[-1] for key in images._kept] == ["p1.nii.gz", "p3.nii.gz"]
    ask.tasks["node-click"].images = images = node_click.Images(most_bytes=1)
    for case in ("p1", "p2"):
        click(ask, case)
    assert len(images._kept) == 1


def test_nobody_clicks_in_a_batch():
    with pytest.raises(ValueError, match="node-click needs clicks"):
        Batch(("cpu",)).check({"model": "node-click"})
