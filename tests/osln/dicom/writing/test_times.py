"""When an object was made: each writer says the zone, so that readers of other zones know the instant."""

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest

from osln.dicom.reading.rtstruct import drawn
from osln.dicom.reading.segmentation import when_created
from osln.dicom.reading.times import EARLIEST, instant, parse_datetime
from osln.dicom.writing.from_store import local_time
from osln.dicom.writing.rtstruct import rtstruct
from osln.dicom.writing.segmentation import seg
from osln.dicom.writing.tumor_seg import tumor_seg
from small.nodes import APPROVAL, node_set, series
from small.zones import BERLIN, UTC, local_zone

WRITERS = {
    "nodes": lambda ct, author: seg(node_set(ct, author), ct),
    "tumor": lambda ct, author: tumor_seg(np.ones(ct.grid.shape, bool), ct, author),
    "structures": lambda ct, author: rtstruct(node_set(ct, author), ct),
}
KINDS = {"nodes": "Content", "tumor": "Content", "structures": "StructureSet"}


def made(what, at, **tags):
    """Date, time and offset, as the object says them, and the instant that is read of it."""
    dataset = WRITERS[what](series(**tags), replace(APPROVAL, at=at))
    written = {
        (dataset[f"{kind}Date"].value, dataset[f"{kind}Time"].value)
        for kind in (KINDS[what], "Series", "InstanceCreation")
    }
    assert len(written) == 1, "one offset holds for all of them"
    read = drawn(dataset) if what == "structures" else when_created(dataset)
    return (*written.pop(), dataset.get("TimezoneOffsetFromUTC")), read


@pytest.mark.parametrize("what", WRITERS)
@pytest.mark.parametrize(
    ("zone", "month", "tags", "told"),
    [
        (UTC, 7, {}, ("20260702", "030405", "+0000")),
        (BERLIN, 7, {}, ("20260702", "050405", "+0200")),
        (BERLIN, 1, {}, ("20260102", "040405", "+0100")),
        # The study's times are the CT's, and so is their zone.
        (BERLIN, 7, {"TimezoneOffsetFromUTC": "-0500"}, ("20260701", "220405", "-0500")),
        (BERLIN, 7, {"TimezoneOffsetFromUTC": "CEST"}, ("20260702", "050405", "+0200")),
    ],
)
def test_every_writer_says_the_offset_of_that_moment(what, zone, month, tags, told):
    with local_zone(zone):
        written, read = made(what, local_time(f"2026-{month:02}-02T03:04:05+00:00"), **tags)

    assert written == told
    assert instant(read) == datetime(2026, month, 2, 3, 4, 5, tzinfo=timezone.utc)


def test_a_time_without_its_zone_is_nobodys():
    with pytest.raises(ValueError, match="expected a time with its zone, got 2026-01-02T03:04:05"):
        replace(APPROVAL, at=datetime(2026, 1, 2, 3, 4, 5))


@pytest.mark.parametrize("what", WRITERS)
def test_time_without_an_offset_is_read_as_local_time(what):
    with local_zone(BERLIN):
        dataset = WRITERS[what](series(), replace(APPROVAL, at=local_time("2026-01-02T02:04:05+00:00")))
        del dataset.TimezoneOffsetFromUTC
        read = drawn(dataset) if what == "structures" else when_created(dataset)
        assert read == datetime(2026, 1, 2, 3, 4, 5)
        assert instant(read) == datetime(2026, 1, 2, 2, 4, 5, tzinfo=timezone.utc)


def test_offset_that_no_zone_has_makes_no_time_of_a_value():
    assert parse_datetime("20260702120000+0000", "+0200") == datetime(2026, 7, 2, 14)
    assert parse_datetime("20260702120000+9900", "+0200") is None


@pytest.mark.parametrize("zone", [UTC, BERLIN])
def test_dates_that_stand_for_unknown_can_be_compared(zone):
    with local_zone(zone):
        assert EARLIEST <= instant(datetime(1, 1, 1)) < instant(datetime(9999, 12, 31, 23, 59))
