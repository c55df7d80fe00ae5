"""A real PACS with small studies, and a mirror of it."""

from __future__ import annotations

import numpy as np
import pytest
import requests

import local_orthanc
from local_orthanc import LocalOrthanc
from osln.dicom.credentials import Credentials
from osln.dicom.roi_names import load_rules
from osln.dicom.web import WebClient
from osln.pacs.mirror import PacsMirror
from small_dicom import AXIAL, ct_slices, structure_set, write_dicom
from small_study import pet, regions

CASE = str(ct_slices()[0].SeriesInstanceUID)
PET = str(pet()[0].SeriesInstanceUID)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory):
    """One Orthanc for all tests of a module that do not stop it; None where it is not installed."""
    if not local_orthanc.installed():
        yield None
        return
    with LocalOrthanc(tmp_path_factory.mktemp("pacs")) as pacs:
        yield pacs


@pytest.fixture
def pacs(orthanc, tmp_path, require):
    """An Orthanc with nothing but one small study: CT, PET of the same frame of reference, RTSTRUCT."""
    if orthanc is None:
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    for patient in requests.get(f"{orthanc.root}/patients", timeout=10).json():
        requests.delete(f"{orthanc.root}/patients/{patient}", timeout=10).raise_for_status()
    store_study(orthanc, tmp_path / "dicom")
    return orthanc


def store_study(pacs, folder, affine=AXIAL, named=None):
    """Stores the small study; `named` are the regions of its structure set instead of the usual ones."""
    ct = ct_slices(affine=affine)
    drawn = structure_set(ct, regions(affine) if named is None else named)
    store(pacs, folder, [*ct, *pet(affine @ np.diag([2.0, 2.0, 2.0, 1.0])), drawn])


def store(pacs, folder, datasets):
    for path in write_dicom(folder, datasets):
        pacs.store(path)


def mirror_of(pacs, root, **options):
    """A mirror, as a program makes one that starts."""
    web = WebClient(pacs.url, Credentials(*(pacs.auth or ())), timeout_s=options.pop("timeout_s", 10.0))
    choices = options.pop("choices", ())
    return PacsMirror(root, web, load_rules(None, choices), **options)
