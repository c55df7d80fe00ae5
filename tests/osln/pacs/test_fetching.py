"""What is fetched of a case when the PACS fails in the middle, or has a PET no more."""

import re

import pytest

from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.intake.importing import ImportOptions, import_studies
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.dicom.web.errors import PacsError
from osln.dicom.web.source import WebSource
from osln.dicom.writing.segmentation import seg
from osln.store.layout import companions, load_study
from osln.store.patients import read_manifest
from small.dicom import ct_slices, structure_set
from small.memory_pacs import memory_pacs
from small.nodes import APPROVAL, node_set, series
from small.pacs import CASE, PET, mirror_of
from small.study import KEY, pet, regions


@pytest.fixture
def pacs():
    """A CT with PET and tumor."""
    drawn = structure_set(ct_slices(), {"GTVp": regions()["GTVp"]})
    with memory_pacs([*ct_slices(), *pet(), drawn]) as server:
        yield server


def listed(pacs, root):
    mirror = mirror_of(pacs, root)
    mirror.listing.refresh()
    return mirror


def imported(pacs, store):
    with WebSource(WebClient(pacs.url, Credentials())) as source:
        return import_studies(source, store, Deidentifier(KEY), ImportOptions(load_rules()))


def failing(uid):
    """A PACS that gives no pixels of a series."""

    def fails(handler, path):
        if uid in path and not path.endswith(("/instances", "/metadata")):
            handler.send_json({}, 503)
            return True
        return False

    return fails


def half(handler, path):
    """A PACS that gives half of the images of a PET."""
    if PET not in path or path.endswith(("/instances", "/metadata")):
        return False
    every, handler.server.objects = handler.server.objects, [*ct_slices(), *pet()[:3]]
    handler.retrieve({}, *path.split("/")[1::2], None, None)
    handler.server.objects = every
    return True


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (failing(PET), r"PT series 1 \(6 files\): the PACS at .* status 503"),
        (half, "3 of 6 images arrived"),
    ],
)
def test_a_pacs_that_fails_with_the_pet_makes_no_case_without_it(pacs, tmp_path, trouble, words):
    mirror = listed(pacs, tmp_path / "mirror")
    pacs.instead = trouble
    with pytest.raises(PacsError, match=words):
        mirror.ensure(CASE)
    assert not list(mirror.root.rglob("*.nii.gz")) and mirror.fetched(CASE) is None

    pacs.instead = None
    assert mirror.ensure(CASE) is None
    assert load_study(companions(mirror.root, CASE)).pet is not None


def test_a_pacs_that_fails_with_a_segmentation_makes_no_label_of_an_older_set(tmp_path):
    ct = series()
    approved = seg(node_set(ct, APPROVAL), ct)
    older = structure_set(ct_slices(), regions())
    older.StructureSetDate = "20200101"
    with memory_pacs([*ct_slices(), older, approved]) as pacs:
        pacs.instead = failing(str(approved.SeriesInstanceUID))
        [skipped] = imported(pacs, tmp_path / "store").skipped
        assert re.match(r"SEG series 9002 \(1 files\): the PACS at .* status 503", skipped["reason"])
        pacs.instead = None
        [manifest] = imported(pacs, tmp_path / "store").imported
    assert "SEG series 9002 (1 files) gives the nodes: approved with this program" in manifest["chosen"]


def test_a_pet_that_the_pacs_has_no_more_is_not_read_any_more(pacs, tmp_path):
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)
    assert load_study(companions(mirror.root, CASE)).pet is not None

    pacs.objects = [one for one in pacs.objects if one.Modality != "PT"]
    mirror.listing.refresh()
    mirror.ensure(CASE)

    assert load_study(companions(mirror.root, CASE)).pet is None
    assert read_manifest(mirror.root, CASE)["pet"] is None and mirror.fetched(CASE).warnings == ("no PET",)


def test_a_pet_that_cannot_be_used_does_not_leave_the_former_one(pacs, tmp_path):
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)

    pacs.objects = [one for one in pacs.objects if one.Modality != "PT"]
    pacs.objects += pet(SeriesInstanceUID="1.2.3.99", PatientWeight=None)
    mirror.listing.refresh()
    mirror.ensure(CASE)

    assert load_study(companions(mirror.root, CASE)).pet is None
    assert "PatientWeight is missing" in mirror.fetched(CASE).warnings[0]
