"""When the slices of a PET were acquired: beds of four minutes, on days that their attributes tell badly.

Injected is fluorine-18 (half-life 1.83 h) where nothing else is said: a scan more than 8 half-lives, 14.6 h,
after the injection is taken for a wrong date.
"""

from datetime import datetime, timedelta

import pytest
from pydicom.dataset import Dataset

from osln.dicom.reading.scan_times import acquired_at, scan_start
from osln.dicom.reading.suv_times import Injection

F_18_S, ZR_89_S = 6586.2, 282276
BED = timedelta(minutes=4)


def beds(began, series, day=None, count=4):
    """Headers of a scan that began then, and whose SeriesDate and SeriesTime are `series`.

    Args:
        day: AcquisitionDate of a bed by its time; missing if None.
    """
    headers = []
    for k in range(count):
        ds, moment = Dataset(), began + k * BED
        ds.SeriesDate, ds.SeriesTime = f"{series:%Y%m%d}", f"{series:%H%M%S}"
        ds.AcquisitionTime = f"{moment:%H%M%S}"
        if day:
            ds.AcquisitionDate = day(moment)
        headers.append(ds)
    return headers


def by_clock(moment, half_life=F_18_S):
    """An injection of which only the time of day is known."""
    return Injection(None, moment - moment.replace(hour=0, minute=0, second=0), half_life)


def dated(moment, half_life=F_18_S):
    return Injection(moment, by_clock(moment).time, half_life)


def from_began(headers, injection, began, from_start=True, warnings=None):
    """Time of each bed since `began`, and that of the scan's start."""
    acquired = acquired_at(headers, injection, from_start, [] if warnings is None else warnings)
    return [moment and moment - began for moment in acquired], scan_start(headers[0], acquired) - began


IN_ORDER = [k * BED for k in range(4)]
NOW = timedelta(0)
EVENING, MORNING, NOON = datetime(2020, 1, 2, 23, 53), datetime(2020, 1, 2, 9), datetime(2020, 1, 2, 12)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("injection", [dated(EVENING - HOUR), by_clock(EVENING - HOUR)])
@pytest.mark.parametrize("day", [None, lambda moment: f"{moment:%Y%m%d}"], ids=["no dates", "true dates"])
def test_a_scan_over_midnight_is_one_run(injection, day):
    assert from_began(beds(EVENING, EVENING, day), injection, EVENING) == (IN_ORDER, NOW)


@pytest.mark.parametrize("injection", [dated(EVENING - HOUR), by_clock(EVENING - HOUR)])
@pytest.mark.parametrize(
    ("day", "words"),
    [
        (
            "20200102",
            "ran over midnight (23:53:00 to 00:05:00): those after midnight count as the next day's",
        ),
        ("20200103", "those before it as the day before's"),
    ],
)
def test_the_examinations_date_on_all_beds_of_a_scan_over_midnight_tears_none_away(day, words, injection):
    warnings = []
    # By SeriesTime, at the beginning or after the end, the scan began in the evening of the second.
    series = EVENING if day == "20200102" else EVENING + 2 * HOUR

    placed = from_began(beds(EVENING, series, lambda _: day), injection, EVENING, warnings=warnings)

    assert placed == (IN_ORDER, NOW)
    [said] = warnings
    assert words in said


def test_a_dated_injection_tells_which_evening_the_date_of_all_beds_means():
    headers = beds(EVENING, EVENING, lambda _: "20200103")
    for ds in headers:
        ds.SeriesTime = ""

    assert from_began(headers, dated(EVENING - HOUR), EVENING) == (IN_ORDER, NOW)


@pytest.mark.parametrize("hours", [0.5, 6, 11.9, 12.1, 12.2, 13.5, 20])
@pytest.mark.parametrize("injection", [by_clock(NOON - HOUR), dated(NOON - HOUR)])
def test_a_later_reconstruction_moves_no_bed_to_another_day(hours, injection):
    assert from_began(beds(NOON, NOON + hours * HOUR), injection, NOON) == (IN_ORDER, NOW)


@pytest.mark.parametrize("injection", [by_clock(NOON - HOUR), dated(NOON - HOUR)])
def test_a_series_time_shortly_before_the_first_bed_is_the_start(injection):
    ahead = timedelta(minutes=18)

    assert from_began(beds(NOON, NOON - ahead), injection, NOON) == (IN_ORDER, -ahead)


def test_a_dated_injection_tells_a_reconstruction_of_the_next_day_from_a_start():
    assert from_began(beds(NOON, NOON + 23 * HOUR), dated(NOON - HOUR), NOON) == (IN_ORDER, NOW)


def test_a_tracer_that_lasts_for_days_needs_the_date_of_the_acquisition_or_it_is_told():
    headers, injection, warnings = beds(NOON, NOON + HOUR), dated(NOON - 24 * HOUR, ZR_89_S), []

    assert from_began(headers, injection, NOON, warnings=warnings) == (IN_ORDER, NOW)
    # 2 ** (24 / 78.4) is 1.236.
    assert "if it was acquired the day before, the SUVs are 24 % too high" in warnings[0]

    for ds in headers:
        ds.AcquisitionDate = "20200102"
    told = []
    assert from_began(headers, injection, NOON, warnings=told) == (IN_ORDER, NOW) and told == []


def test_without_a_series_time_a_scan_lies_on_the_series_date():
    headers = beds(NOON, NOON)
    for ds in headers:
        ds.SeriesTime = "000000"

    assert from_began(headers, dated(NOON - HOUR), NOON) == (IN_ORDER, NOW)


def test_a_bed_at_midnight_is_one_where_the_scan_runs_over_it():
    began = datetime(2020, 1, 2, 23, 52)

    assert from_began(beds(began, began), by_clock(began - HOUR), began) == (IN_ORDER, NOW)


@pytest.mark.parametrize("began", [NOON, datetime(2020, 1, 3, 0, 10)])
def test_midnight_beside_a_scan_stands_for_not_known(began):
    headers = beds(began, began)
    headers[2].AcquisitionTime = "000000"

    bed, _ = from_began(headers, by_clock(began - HOUR), began)

    assert bed == [NOW, BED, None, 3 * BED]


def test_beds_without_times_have_none():
    headers = beds(NOON, NOON)
    for ds in headers:
        ds.AcquisitionTime = ""

    assert from_began(headers, by_clock(NOON - HOUR), NOON) == ([None] * 4, NOW)


def several(*times_and_days):
    headers = beds(NOON, NOON, count=len(times_and_days))
    for ds, (time, day) in zip(headers, times_and_days, strict=True):
        ds.AcquisitionTime, ds.AcquisitionDate = time, day
    return headers


@pytest.mark.parametrize(
    ("headers", "injection", "words"),
    [
        (several(("120000", ""), ("183000", "")), by_clock(NOON), r"over 6\.5 h .*12:00:00 to 18:30:00"),
        (several(("120000", "20200102"), ("120400", "20200103")), by_clock(NOON), "names 2 days"),
        # Zirconium-89: acquired after 24 h and reconstructed 15 h later, or acquired 9 h after SeriesTime.
        (
            beds(NOON, NOON + 15 * HOUR),
            dated(NOON - 24 * HOUR, ZR_89_S),
            r"24\.0 or 39\.0 h after the injection.*add AcquisitionDate",
        ),
        # Injected at 07:30, SeriesTime 08:00, acquired at 12:00: of one day, or reconstructed on the next.
        (beds(NOON, NOON - 4 * HOUR), by_clock(NOON - 4.5 * HOUR), r"0\.5 or 4\.5 h after the injection"),
        # A stray one is the first: the scan began with it, or it did not.
        (
            several(*[("120000", "20200102")] * 2, ("020000", "20200102")),
            by_clock(NOON - 11 * HOUR),
            r"over 10\.0 h",
        ),
        (several(*[("120000", "")] * 2, ("020000", "")), by_clock(NOON - 11 * HOUR), r"over 10\.0 h"),
        (several(*[("120000", "20200102")] * 2, ("120400", "20200101")), by_clock(NOON), "names 2 days"),
        # Which ones are stray is not known.
        (several(*[("120000", "")] * 3, *[("183000", "")] * 2), by_clock(NOON), r"over 6\.5 h"),
    ],
)
def test_what_may_have_been_another_day_with_other_suvs_is_refused(headers, injection, words):
    with pytest.raises(ValueError, match=words):
        acquired_at(headers, injection, True, [])


def test_a_day_that_changes_no_suv_is_no_reason_to_refuse():
    headers = beds(NOON, MORNING + HOUR / 2)

    # Not decay-corrected: every bed counts from its own time, 3 h after the injection on either day.
    acquired = acquired_at(headers, by_clock(MORNING), False, [])

    assert [moment - acquired[0] for moment in acquired] == IN_ORDER
    assert acquired[0].time() == NOON.time()


STRAY = {
    "another time": ("183000", "20200102"),
    "a time without a date": ("183000", ""),
    "a time nearer to the next day's": ("233000", "20200102"),
    "another date": ("120400", "20200103"),
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
def test_a_stray_time_or_date_of_a_few_images_is_left_out_where_the_start_counts(stray):
    day = "20200102" if stray[1] else ""
    headers, warnings = several(("120000", day), ("120000", day), stray), []

    placed = from_began(headers, by_clock(NOON - HOUR), NOON, warnings=warnings)

    assert placed == ([NOW, NOW, None], NOW)
    [told] = warnings
    assert told.startswith(
        "AcquisitionTime or AcquisitionDate of 1 of 3 images of the PET "
        f"({stray[0][:2]}:{stray[0][2:4]}:00) does not fit the others and was left out"
    )
    # Not decay-corrected: each image counts from its own time.
    with pytest.raises(ValueError, match=r"over|names 2 days"):
        acquired_at(headers, by_clock(NOON - HOUR), False, [])


def test_a_scan_begun_at_its_series_time_long_before_its_first_bed_is_read_and_its_day_told():
    """Injected at 09:00, SeriesTime 09:30, acquired at 12:00, or reconstructed at 09:30 of the next day."""
    headers, warnings = beds(NOON, MORNING + HOUR / 2), []

    placed = from_began(headers, by_clock(MORNING), NOON, warnings=warnings)

    assert placed == (IN_ORDER, -2.5 * HOUR)
    [told] = warnings
    # 1 - 2 ** (-2.5 / 1.8295) is .612.
    assert "counts as the scan's start; if it is that of a reconstruction on the next day" in told
    assert told.endswith("the SUVs are 61 % too low")
