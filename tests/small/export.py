"""A store with one case and the DICOM files of its CT, for tests of the export."""

import json

import numpy as np
import pytest
from isal import igzip

from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.source import read_ct_series
from osln.dicom.writing.export import export_case
from osln.files.images import nifti_bytes, write_atomically
from osln.store.revisions import Revisions
from small.dicom import AXIAL, SHAPE, body, ct_slices, write_dicom

HEAD = (slice(4, 8), slice(5, 8), slice(8, 10))
FEET = (slice(11, 14), slice(9, 12), slice(2, 4))
RESULT = {
    "model": "osln",
    "models": {"ct": {"version": "a", "sha256": "12ab", "trained_on": "phantom"}},
    "label_names": {"lymph node": 1},
}


def to_mm(box, affine=AXIAL):
    center = np.array([(part.start + part.stop - 1) / 2 for part in box])
    return (affine[:3, :3] @ center + affine[:3, 3]).tolist()


def result(affine=AXIAL):
    """JSON of an inference with a candidate at the feet and one at the head."""
    feet = {"id": 1, "center_mm": to_mm(FEET, affine), "radius_mm": 3.5, "score": 0.8, "zone": "proximal"}
    head = {"id": 2, "center_mm": to_mm(HEAD, affine), "radius_mm": 4.5, "score": 0.3, "stage_two_score": 0.6}
    return RESULT | {"candidates": [feet | {"suv_max": 5.5}, head | {"zone": "distal", "suv_max": None}]}


def mask_of(*boxes):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


def write(path, array, affine=AXIAL):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, igzip.compress(nifti_bytes(array, affine)))


def submit(store, mask, affine=AXIAL, by="Anna Nadel", node_map=None):
    kept = Revisions(store / ".osln" / "p1", store / "labels" / "final" / "p1.nii.gz")
    kept.final.parent.mkdir(parents=True, exist_ok=True)
    nodes = None if node_map is None else igzip.compress(nifti_bytes(node_map, affine))
    with kept.lock():
        data = igzip.compress(nifti_bytes(mask, affine))
        return kept.submit(data, by=by, source="submission", node_map=nodes)


def predict(store, mask, params, affine=AXIAL):
    write(store / "labels" / "original" / "p1.nii.gz", mask, affine)
    labels = {"original": {"info": {"params": params}}}
    (store / "datastore_v2.json").write_text(json.dumps({"objects": {"p1": {"labels": labels}}}))


@pytest.fixture
def store(tmp_path):
    """A store with one case without labels; its CT's DICOM files lie in the folder ct."""
    write(tmp_path / "store" / "p1.nii.gz", body())
    write_dicom(tmp_path / "ct", ct_slices())
    return tmp_path / "store"


def export(store, **options):
    return export_case(store, "p1", store.parent / "ct", store.parent / "out", **options)


def seg_of(exported, store):
    (path,) = (path for path in exported.paths if path.name.endswith(".seg.dcm"))
    return read_seg(path, read_ct_series(store.parent / "ct"))


def at(read, name, affine=AXIAL):
    """Voxels (i, j, k) of a segment in the order of the case's file."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for voxel in np.argwhere(read.mask(name)):
        mm = read.grid.index_to_mm(voxel)
        i, j, k = np.rint(np.linalg.solve(affine[:3, :3], mm - affine[:3, 3])).astype(int)
        mask[i, j, k] = 1
    return mask
