"""A real PACS with small studies, and a mirror of it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import requests

from lib.pacs.datastore import PacsDatastore
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.nodes import APPROVED
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import ct_series
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.pacs.mirror import PacsMirror
from small.dicom import AXIAL, ct_slices, structure_set, write_dicom
from small.study import pet, regions

CASE = str(ct_slices()[0].SeriesInstanceUID)
PET = str(pet()[0].SeriesInstanceUID)


def store_study(pacs, folder, affine=AXIAL, named=None):
    """Stores CT, PET of the same frame of reference and RTSTRUCT, with a tumor only if not `named`."""
    ct = ct_slices(affine=affine)
    drawn = structure_set(ct, named or {"GTVp": regions(affine)["GTVp"]})
    store(pacs, folder, [*ct, *pet(affine @ np.diag([2.0, 2.0, 2.0, 1.0])), drawn])


def empty(pacs):
    """Deletes all patients."""
    for patient in requests.get(f"{pacs.root}/patients", timeout=10).json():
        requests.delete(f"{pacs.root}/patients/{patient}", timeout=10).raise_for_status()


def store(pacs, folder, datasets):
    for path in write_dicom(folder, datasets):
        pacs.store(path)


def mirror_of(pacs, root, **options):
    """A mirror, as a program makes one that starts."""
    web = WebClient(pacs.url, Credentials(*(pacs.auth or ())), timeout_s=options.pop("timeout_s", 10.0))
    choices = options.pop("choices", ())
    return PacsMirror(root, web, load_rules(None, choices), **options)


def fresh_store(pacs, root, look=True, **options):
    """The store of a program that starts, after its first listing if the PACS answers."""
    store = PacsDatastore(mirror_of(pacs, root, **options))
    if look:
        store.look()
    return store


def newest_on_pacs(pacs, ct):
    """Number of segmentations of ours and the voxels of the newest, in the order of the CT file."""
    web = WebClient(pacs.url, Credentials(*(pacs.auth or ())))
    found = []
    for series in web.search_series({"Modality": "SEG"}):
        found += web.instances(str(series.StudyInstanceUID), str(series.SeriesInstanceUID))
    found = sorted((ds for ds in found if ds.ContentLabel == APPROVED), key=lambda ds: ds.InstanceNumber)
    study = str(found[-1].StudyInstanceUID)
    read = read_seg(found[-1], ct_series([Slice(Path(), header) for header in web.headers(study, CASE)]))
    places = read.grid.index_to_mm(np.argwhere(read.mask()))
    mask = np.zeros(ct.shape, bool)
    mask[tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(ct.affine), places)).astype(int).T)] = True
    return len(found), mask
