"""Export on a real planning CT: its own contours go out and come back, and dciodvfy agrees."""

import numpy as np
import pytest

from benchmarks.archives import unpack
from osln.dicom.nodes import Node, NodeSet
from osln.dicom.reading.rtstruct import read_structures, region_mask
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.source import read_ct_series
from osln.dicom.writing.export import encoded
from osln.dicom.writing.rtstruct import rtstruct
from osln.dicom.writing.segmentation import seg
from small.nodes import PREDICTION, check_with_dciodvfy

pytestmark = pytest.mark.slow


def test_contours_of_a_real_ct_come_back_voxel_by_voxel(reference_data, tmp_path, require):
    (archive,) = (reference_data / "lung1-001").glob("*.tar.xz")
    unpack(archive, tmp_path)
    ct = read_ct_series(tmp_path)
    (drawn,) = tmp_path.rglob("mask_rtstruct/*")
    labels = np.zeros(ct.grid.shape, dtype=np.uint16, order="F")
    for number, name in ((1, "GTV-1"), (2, "Spinal-Cord")):
        mask = region_mask(read_structures(drawn), name, ct.grid, ct.frame_of_reference_uid)
        labels[mask & (labels == 0)] = number
    nodes = NodeSet(labels, ct.grid, (Node(1, 0.9, "GLNet"), Node(2)), PREDICTION)
    for write in (seg, rtstruct):
        (tmp_path / write.__name__).write_bytes(encoded(write(nodes, ct)))
        check_with_dciodvfy(tmp_path / write.__name__, require)

    np.testing.assert_array_equal(read_seg(tmp_path / "seg", ct).labels(), labels)
    written = read_structures(tmp_path / "rtstruct")
    for number, region in enumerate(written.regions, start=1):
        mask = region_mask(written, region.name, ct.grid, ct.frame_of_reference_uid)
        np.testing.assert_array_equal(mask, labels == number)
