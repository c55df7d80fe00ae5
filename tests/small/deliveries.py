"""Labels that are submitted to a store of a PACS, and what the PACS holds then."""

import time

import nibabel as nib
import numpy as np

from osln.dicom.nodes import APPROVED
from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.pacs.delivery import deliver
from small.pacs import CASE

NODES = ((slice(4, 8), slice(5, 8), slice(8, 10)), (slice(11, 14), slice(9, 12), slice(2, 4)))
"""Two nodes in voxels (i, j, k) of the CT: nothing about them is symmetric in x, y or z."""


def label(store, values, folder, name="label.nii.gz"):
    """A label file as a viewer sends it: on the grid of the CT file that it was given."""
    ct = nib.load(store.get_image_uri(CASE))
    array = np.zeros(ct.shape, np.uint8)
    for value, box in values:
        array[box] = value
    nib.save(nib.Nifti1Image(array, ct.affine), folder / name)
    return folder / name


def submit(store, folder, values, by="Anna Nadel", **more):
    names = {1: "lymph node", 2: "tumor"}
    info = [{"name": names[value], "idx": value} for value in sorted({1, *(value for value, _ in values)})]
    params = {"label_info": info, "client_id": by, **more}
    store.save_label(CASE, str(label(store, values, folder)), "final", params)


def send(store, later=0.0):
    return deliver(store.mirror, store.outbox, time.time() + later)


def segs(pacs, content=APPROVED):
    """The segmentations of a kind on the PACS, newest revision last, read with another client."""
    web = WebClient(pacs.url, Credentials())
    found = []
    for series in web.search_series({"Modality": "SEG"}):
        study, uid = str(series.StudyInstanceUID), str(series.SeriesInstanceUID)
        found += [ds for ds in web.instances(study, uid) if ds.ContentLabel == content]
    return sorted(found, key=lambda ds: int(ds.InstanceNumber))


def in_file_order(store, read, *names):
    """The voxels of an object in the order of the CT file, by their places in space."""
    ct = nib.load(store.get_image_uri(CASE))
    mask = np.zeros(ct.shape, np.uint8)
    for voxel in np.argwhere(read.mask(*names)):
        i, j, k = np.rint(np.linalg.solve(ct.affine, [*read.grid.index_to_mm(voxel), 1])[:3]).astype(int)
        mask[i, j, k] = 1
    return mask


def of(*boxes):
    mask = np.zeros((20, 16, 12), np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask
