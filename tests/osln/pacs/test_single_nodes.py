"""Nodes that touch, as an object for the PACS and back into another mirror, without a PACS."""

from types import SimpleNamespace

import numpy as np

from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.reading.segmentation import read_seg
from osln.imaging.labelmaps import packed_labels, read_label_file
from osln.pacs.delivery import as_object
from osln.pacs.listing import StoredSeg
from osln.pacs.returning import take_label
from osln.store.layout import node_map
from osln.store.revisions import label_revisions
from small.nodes import series

CT = series()


def test_ten_nodes_that_touch_come_back_from_the_pacs_as_ten(tmp_path, monkeypatch):
    for module in ("delivery", "returning"):
        monkeypatch.setattr(f"osln.pacs.{module}.series_on_pacs", lambda mirror, case, drawn_on="": CT)
    apart = np.zeros(CT.grid.shape, dtype=np.uint8)
    for number in range(1, 11):
        apart[number : number + 1, 5:8, 8:10] = number
    here, there = tmp_path / "here", tmp_path / "there"
    kept = label_revisions(here, "c", "final")
    with kept.lock():
        mask, values = (packed_labels(a, CT.grid, CT.grid) for a in (apart > 0, apart))
        revision = kept.submit(mask, by="Anna", source="submission", node_map=values)
    item = as_object(SimpleNamespace(root=here), "c", "final", revision)
    assert len(read_seg(item, CT).segments) == 10

    web = SimpleNamespace(instance=lambda *uids: item)
    stored = StoredSeg("c", "st", "se", "in", "OSLN_APPROVED", "2026-01-02T10:00:00", 1, "Anna")
    mirror = SimpleNamespace(root=there, web=web, deidentifier=Deidentifier(b"k" * 16))
    taken = take_label(mirror, "c", "final", stored)

    assert taken.counts == {"voxels": 60, "nodes": 10}
    back = read_label_file(node_map(there, "c"), CT.grid).layers[0]
    np.testing.assert_array_equal(back > 0, apart > 0)
    assert len({int(back[n, 5, 8]) for n in range(1, 11)}) == 10
    final = read_label_file(there / "labels" / "final" / "c.nii.gz", CT.grid).layers[0]
    np.testing.assert_array_equal(final, apart > 0)
