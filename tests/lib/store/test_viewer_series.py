"""A case named by the series that a viewer has of it: labels come back on the axes of the case's file."""

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from lib.store.datastore import OslnDatastore
from osln.dicom.served.uids import study_uid
from small.geometry import OBLIQUE, RAS, affine_of
from small.store import make_case, write

SHAPE = (12, 10, 8)
AFFINES = {
    "RAS": RAS,
    "LPS": RAS @ np.diag([-1.0, -1.0, 1.0, 1.0]),
    "permuted": affine_of([[0, 0, 1.5], [-2.0, 0, 0], [0, 3.0, 0]], (20.0, 30.0, -40.0)),
    "oblique": OBLIQUE,
}
ANNA = {"label_info": [{"name": "lymph node", "idx": 1}], "client_id": "anna"}


def store_with(folder, affine, kind):
    """A store with one CT in a file of these axes."""
    hu = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(kind)
    write(folder / "one.nii.gz", hu + np.asarray(0.25, kind) if kind == np.float32 else hu, affine)
    return OslnDatastore(folder)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_what_is_drawn_on_the_series_is_stored_voxel_by_voxel_on_the_file(tmp_path, affine, kind):
    store = store_with(tmp_path / "store", affine, kind)
    file, _ = store.images.files("one")[0], store.prepare(study_uid("one"))
    shown = store.images.cache.get(file).grid
    # Drawn at places of the patient, in the order of the viewer; asymmetric in all axes.
    drawn = np.zeros(shown.shape, np.uint8)
    drawn[1:4, 2:4, 3:5] = 1
    places = shown.index_to_mm(np.argwhere(drawn))

    path = write(tmp_path / "upload.nii.gz", drawn, shown.affine)
    assert store.save_label(file.uid, str(path), "final", ANNA) == "one"

    stored = nib.load(store.label_path("one", "final"))
    assert stored.shape == SHAPE
    np.testing.assert_allclose(stored.affine, affine, atol=1e-6)
    expected = np.zeros(SHAPE, np.uint8)
    expected[tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(affine), places)).astype(int).T)] = 1
    np.testing.assert_array_equal(np.asarray(stored.dataobj), expected)
    assert not list(tmp_path.glob("**/2.25.*")), "nothing lies under a UID"


def test_study_series_and_images_name_the_case(tmp_path):
    make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)
    ct, pet = store.images.files("one")

    assert {store.known(uid) for uid in (study_uid("one"), ct.uid, pet.uid, f"{ct.uid}.3")} == {"one"}
    assert store.get_image_uri(ct.uid) == store.get_image_uri("one")


def test_a_case_that_arrives_while_the_server_runs_is_known_by_its_study(tmp_path):
    make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)
    make_case(tmp_path, "two")

    assert store.known(study_uid("two")) == "two"


def test_a_label_that_was_drawn_on_a_former_ct_is_not_stored(tmp_path):
    make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)
    series = store.ct_series("one")
    make_case(tmp_path, "one", faint=True)

    path = write(tmp_path / "upload" / "label.nii.gz", np.zeros((40, 36, 24), np.uint8))
    with pytest.raises(HTTPException) as refused:
        store.save_label(series, str(path), "final", ANNA)

    assert refused.value.status_code == 404
    assert "the CT of case one has changed since it was opened" in refused.value.detail
    assert store.revisions("one", "final").head() is None


def test_a_refused_case_says_why_by_any_of_its_names(tmp_path):
    ct = make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)
    series = store.ct_series("one")
    ct.with_suffix("").write_bytes(b"twin")
    store.refresh()

    for name in ("one", study_uid("one"), series):
        with pytest.raises(HTTPException) as refused:
            store.get_image_uri(name)
        assert refused.value.status_code == 409 and "programs confuse the two" in refused.value.detail


def test_preparing_what_cannot_be_prepared_is_no_error(tmp_path):
    ct = make_case(tmp_path, "one")
    store = OslnDatastore(tmp_path)

    store.prepare("1.2.3")
    store.prepare("")
    ct.unlink()
    store.prepare(study_uid("one"))


def test_no_other_case_takes_the_names_that_viewers_have_of_one(tmp_path):
    make_case(tmp_path / "store", "one")
    store = OslnDatastore(tmp_path / "store")
    uid = store.images.files("one")[0].uid
    for name in (uid, study_uid("one"), "2.25.1"):
        with pytest.raises(HTTPException, match="viewers name cases by UIDs"):
            store.add_image(name, str(tmp_path / "store" / "one.nii.gz"), {})

    copied = (tmp_path / "store" / f"{uid}.nii.gz").write_bytes
    copied((tmp_path / "store" / "one.nii.gz").read_bytes())
    store.refresh()
    assert store.known(uid) == "one" and store.list_images() == ["one"]
    assert any("viewers call the case one by that UID" in reason for reason in store.left_out)
