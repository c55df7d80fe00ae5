"""Which segmentations on a real PACS count: ours, and of them the latest."""

import time
from datetime import datetime, timezone
from io import BytesIO

import nibabel as nib
import numpy as np
import pydicom
import pytest

from osln.dicom.writing.export import encoded
from osln.pacs.listing import StoredSeg, newest
from osln.pacs.returning import wanted_labels
from osln.store.revisions import label_revisions
from small.deliveries import NODES, of, segs, send, submit
from small.dicom import uid
from small.pacs import CASE, empty, fresh_store, store, store_study
from small.zones import BERLIN, local_zone

pytestmark = pytest.mark.pacs


@pytest.fixture
def approved(pacs, tmp_path):
    """The segmentation that a first server has stored."""
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0])])
    assert send(first) == 1
    return segs(pacs)[0]


def another(dataset, name, **changes):
    """The same voxels as another object."""
    copy = pydicom.dcmread(BytesIO(encoded(dataset)))
    copy.SOPInstanceUID, copy.SeriesInstanceUID = uid(name), uid(f"{name} series")
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    for keyword, value in changes.items():
        setattr(copy, keyword, value)
    return copy


@pytest.mark.parametrize(
    "changes",
    [
        {"Manufacturer": "Somebody else"},
        {"ContentLabel": "SEGMENTATION"},
        {"ContentLabel": "OSLN_PREDICTED"},
    ],
)
def test_foreign_segmentation_and_prediction_do_not_mark_a_case_as_done(pacs, approved, tmp_path, changes):
    empty(pacs)
    store_study(pacs, tmp_path / "again")
    store(pacs, tmp_path / "foreign", [another(approved, "foreign", **changes)])
    fresh = fresh_store(pacs, tmp_path / "fresh")
    fresh.take_labels()

    assert fresh.get_labeled_images() == [] and fresh.get_unlabeled_images() == [CASE]


def test_latest_approval_counts_whichever_came_first(pacs, approved, tmp_path):
    later = another(approved, "later", ContentDate="20990101", ContentCreatorName="Berta^")
    earlier = another(approved, "earlier", ContentDate="20000101", ContentCreatorName="Carla^")
    store(pacs, tmp_path / "others", [later, earlier])
    fresh = fresh_store(pacs, tmp_path / "fresh")
    fresh.take_labels()

    (head,) = label_revisions(fresh.root, CASE, "final").history()
    assert (head.by, head.reference) == ("Berta", uid("later"))
    assert head.at.startswith(("2099-01-01", "2098-12-31"))


def test_later_approval_of_a_server_in_another_zone_is_taken(pacs, approved, tmp_path):
    """Of 10:00 UTC; in summer a clock in Berlin shows 12:00 then."""
    empty(pacs)
    store_study(pacs, tmp_path / "again")
    when = {"ContentDate": "20260706", "ContentTime": "100000", "TimezoneOffsetFromUTC": "+0000"}
    store(pacs, tmp_path / "others", [another(approved, "of a container", **when)])
    with local_zone(BERLIN):
        for hour, wanted in ((9, 1), (11, 0)):
            fresh = fresh_store(pacs, tmp_path / f"fresh {hour}")
            kept = label_revisions(fresh.root, CASE, "final")
            with kept.lock():
                at = datetime(2026, 7, 6, hour, tzinfo=timezone.utc)
                kept.submit(b"label", by="Berta", source="submission", at=at)
            found = [stored.created for _, _, stored in wanted_labels(fresh.mirror)]
            assert found == ["2026-07-06T10:00:00+00:00"] * wanted
        fresh_store(pacs, tmp_path / "fresh").take_labels()
    (head,) = label_revisions(tmp_path / "fresh", CASE, "final").history()
    assert head.at == "2026-07-06T10:00:00+00:00"


def test_nodes_keep_their_numbers_on_a_mirror_that_was_made_anew(pacs, tmp_path):
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0]), (1, NODES[1])])
    submit(first, tmp_path, [(1, NODES[1])])
    send(first)
    assert [segment.SegmentLabel for segment in segs(pacs)[-1].SegmentSequence] == ["lymph node 2"]

    fresh = fresh_store(pacs, tmp_path / "fresh")
    fresh.take_labels()
    time.sleep(1.1)
    submit(fresh, tmp_path, [(1, NODES[1]), (1, NODES[0])])
    send(fresh)
    newest = max(segs(pacs), key=lambda ds: (ds.ContentDate, ds.ContentTime))
    names = {segment.SegmentLabel: segment.TrackingUID for segment in newest.SegmentSequence}
    assert list(names) == ["lymph node 2", "lymph node 3"], "number 1 is not given to another node"
    assert names["lymph node 2"] == segs(pacs)[0].SegmentSequence[1].TrackingUID
    final = np.asarray(nib.load(fresh.label_path(CASE, "final")).dataobj)
    np.testing.assert_array_equal(final, of(*NODES))


def test_segmentation_that_lies_elsewhere_is_told_once_and_not_taken(pacs, approved, tmp_path, caplog):
    mirrored = another(approved, "mirrored", ContentDate="20990101")
    frames = [pydicom.Dataset(frame) for frame in approved.PerFrameFunctionalGroupsSequence]
    places = [frame.PlanePositionSequence for frame in frames]
    for frame, place in zip(frames, reversed(places), strict=True):
        frame.PlanePositionSequence = place
    mirrored.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
    store(pacs, tmp_path / "others", [mirrored])
    fresh = fresh_store(pacs, tmp_path / "fresh")
    fresh.take_labels()
    fresh.take_labels()

    assert [
        record.message.count("mirrored or shifted")
        for record in caplog.records
        if "not taken" in record.message
    ] == [1]
    assert fresh.get_labeled_images() == []


def test_label_that_was_removed_here_does_not_come_back_by_itself(pacs, approved, tmp_path):
    fresh = fresh_store(pacs, tmp_path / "fresh")
    fresh.take_labels()
    fresh.remove_label(CASE, "final")
    fresh.look()
    fresh.take_labels()

    assert fresh.get_labeled_images() == [] and not list(wanted_labels(fresh.mirror))


def test_nodes_of_a_structure_set_give_way_to_an_approval_and_are_kept(pacs, approved, tmp_path):
    fresh = fresh_store(pacs, tmp_path / "fresh")
    path = fresh.label_path(CASE, "final")
    ct = nib.load(fresh.get_image_uri(CASE))
    nib.save(nib.Nifti1Image(of(NODES[1]), ct.affine), path)
    fresh.take_labels()

    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), of(NODES[0]))
    history = label_revisions(fresh.root, CASE, "final").history()
    assert [revision.source for revision in history] == ["pacs", "external"]


def test_newest_is_by_date_then_by_number():
    def seg(created, number):
        return StoredSeg("ct", "st", "se", f"{created}{number}", "OSLN_APPROVED", created, number, "")

    segs = [
        seg("2026-01-02T10:00:00", 1),
        seg("2026-01-02T10:00:00", 2),
        seg("2025-12-31T23:00:00", 9),
        seg("", 10),
    ]
    assert newest(segs) == segs[1] and newest([]) is None
    # An hour later by the clock on the wall, an hour earlier in truth.
    zoned = [seg("2026-01-02T10:00:00+00:00", 1), seg("2026-01-02T11:00:00+02:00", 2), seg("", 3)]
    assert newest(zoned) == zoned[0]
