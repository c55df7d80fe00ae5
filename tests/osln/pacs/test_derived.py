"""A PET of another examination on a real PACS: registered, it is one more series of the CT's study."""

import json
import threading

import numpy as np
import pytest
import SimpleITK as sitk

from osln.dicom.served.about import FAILED, NONE, REGISTERED, REGISTERING, SAME
from osln.dicom.served.catalog import FolderImages, GoneError
from osln.dicom.served.service import asked
from osln.imaging.grid import read_volume
from osln.pacs.derived import DerivedPets
from osln.registration import Quality, RegisteredPet
from small.dicom import ct_slices, structure_set, uid
from small.pacs import CASE, PET, empty, mirror_of, store
from small.study import pet, regions

pytestmark = pytest.mark.pacs

STUDY = uid("study")
EARLIER = {"StudyInstanceUID": uid("earlier"), "FrameOfReferenceUID": uid("other")}


def quality(method="rigid"):
    return Quality(method, 0.8, 0.97, 0.9, 0.95, 0.4, 0.6, 0.0, 1.0)


@pytest.fixture
def released(monkeypatch):
    """Registration moves nothing, tells its progress and waits until it is released."""
    event = threading.Event()

    def register(ct, moving, pet_ct, *, on_progress=None):
        on_progress(0.5, "aligning the PET rigidly")
        assert event.wait(60)
        return RegisteredPet(moving, quality(), sitk.Transform(3, sitk.sitkIdentity))

    monkeypatch.setattr("osln.registration.register_pet", register)
    yield event
    event.set()


def derived_of(pacs, root):
    mirror = mirror_of(pacs, root)
    mirror.listing.refresh()
    return DerivedPets(mirror, FolderImages(mirror.root))


@pytest.fixture
def other_day(pacs, tmp_path):
    """The PACS with a PET of an earlier study."""
    empty(pacs)
    store(pacs, tmp_path / "ct", [*ct_slices(), structure_set(ct_slices(), {"GTVp": regions()["GTVp"]})])
    store(pacs, tmp_path / "pet", pet(**EARLIER, SeriesDescription="FDG, AC", SeriesNumber=7))
    return pacs


def wait(derived, state):
    """What is told once a state is reached; each question is answered at once."""
    for _ in range(600):
        about = derived.about(CASE)
        if about.pet.state == state:
            return about
        threading.Event().wait(0.05)
    pytest.fail(f"{about.pet}")


def values(content):
    return json.loads(content)


def test_a_pet_of_another_examination_is_registered_shown_and_rated(other_day, tmp_path, released):
    derived = derived_of(other_day, tmp_path / "mirror")
    study = asked(f"studies/{STUDY}/metadata")
    before = derived.joined(study, "", b"[{}]")
    assert values(before) == [{}], "as long as there is none"

    about = wait(derived, REGISTERING)
    while (about := derived.about(CASE)).pet.progress["step"] != "aligning the PET rigidly":
        threading.Event().wait(0.02)
    assert about.pet.state == REGISTERING and "aligning the PET rigidly" in about.pet.message
    # The import's own share of the way: 0.65 + 0.25 of the registration.
    assert about.pet.progress["fraction"] == pytest.approx(0.65 + 0.25 * 0.5)
    assert (about.study_uid, about.ct_series_uid) == (STUDY, CASE)
    assert about.pet.original_series_uid == PET and about.pet.series_uid is None
    released.set()

    about = wait(derived, REGISTERED)
    assert about.pet.quality["lung_dice_after"] == 0.97 and "Dice of 0.97" in about.pet.message
    images = values(derived.joined(study, "", b"[]"))
    assert len(images) == 6
    first = images[0]
    assert first["0020000E"]["Value"] == [about.pet.series_uid] and first["0020000D"]["Value"] == [STUDY]
    assert first["00200052"]["Value"] == [uid("frame")], "the CT's frame of reference"
    assert first["00080008"]["Value"][0] == "DERIVED"
    assert first["0008103E"]["Value"] == ["FDG, AC, registered to the CT"]
    assert first["00100010"]["Value"][0]["Alphabetic"] == "Doe^Jane"

    own = f"studies/{STUDY}/series/{about.pet.series_uid}"
    frame = derived.answer(asked(f"{own}/instances/{about.pet.series_uid}.2/frames/1"), "", "*/*")
    file = read_volume(derived._mirror.root / "pet" / f"{CASE}.nii.gz")
    stored = np.frombuffer(frame.content.split(b"\r\n\r\n")[1][: 2 * 80], "<i2").reshape(8, 10)
    suv = stored * images[1]["00281053"]["Value"][0]
    np.testing.assert_allclose(suv.T, file.array[::-1, ::-1, 1], rtol=1e-4)


def test_searches_of_the_study_have_it(other_day, tmp_path, released):
    released.set()
    derived = derived_of(other_day, tmp_path / "mirror")
    series = wait(derived, REGISTERED).pet.series_uid

    found = values(derived.joined(asked(f"studies/{STUDY}/series"), "", b'[{"0020000E": {}}]'))
    assert len(found) == 2 and found[1]["0020000E"]["Value"] == [series]
    assert found[1]["00201209"]["Value"] == [6]
    assert values(derived.joined(asked(f"studies/{STUDY}/series"), "Modality=CT", b"")) == []
    assert len(values(derived.joined(asked(f"studies/{STUDY}/instances"), "", b""))) == 6
    assert derived.joined(asked(f"studies/{STUDY}/series"), "offset=5", b"") == b"", "told on the first page"
    other = asked(f"studies/{EARLIER['StudyInstanceUID']}/series")
    assert derived.joined(other, "", b"[]") == b"[]"
    listed = [{"0020000D": {"vr": "UI", "Value": [STUDY]}, "00201206": {"vr": "IS", "Value": [2]}}]
    (counted,) = values(derived.joined(asked("studies"), "", json.dumps(listed).encode()))
    assert counted["00201206"]["Value"] == [3] and counted["00080061"]["Value"] == ["PT"]


def test_requests_for_other_series_are_left_to_the_pacs(other_day, tmp_path, released):
    released.set()
    derived = derived_of(other_day, tmp_path / "mirror")
    series = wait(derived, REGISTERED).pet.series_uid

    assert derived.answer(asked(f"studies/{STUDY}/series/{CASE}/metadata"), "", "") is None
    with pytest.raises(GoneError, match="made anew"):
        derived.answer(asked(f"studies/{STUDY}/series/{series}1/metadata"), "", "")


def test_a_pet_that_could_not_be_registered_says_why(other_day, tmp_path, monkeypatch):
    def register(*_, **__):
        raise ValueError("the PET lies wholly outside the planning CT")

    monkeypatch.setattr("osln.registration.register_pet", register)
    derived = derived_of(other_day, tmp_path / "mirror")

    about = wait(derived, FAILED)

    assert "the PET lies wholly outside the planning CT" in about.pet.message
    assert about.pet.original_series_uid == PET


def test_a_pacs_that_went_away_is_told_and_asked_again_later(other_day, tmp_path, monkeypatch, released):
    released.set()
    derived = derived_of(other_day, tmp_path / "mirror")
    with monkeypatch.context() as away:
        away.setattr(derived._mirror, "ensure", lambda case: (_ for _ in ()).throw(ValueError("it is away")))
        assert "cannot be registered now: it is away" in wait(derived, FAILED).pet.message

    assert wait(derived, REGISTERED).pet.series_uid


def test_a_pet_of_the_same_frame_stays_the_one_of_the_pacs(pacs, tmp_path):
    derived = derived_of(pacs, tmp_path / "mirror")

    assert derived.of(CASE) is None
    about = derived.about(CASE).pet
    assert (about.state, about.series_uid, about.quality) == (SAME, PET, None)


def test_a_ct_without_pet(pacs, tmp_path):
    empty(pacs)
    store(pacs, tmp_path / "ct", ct_slices())

    about = derived_of(pacs, tmp_path / "mirror").about(CASE).pet

    assert (about.state, about.message, about.series_uid) == (NONE, "no PET", None)
