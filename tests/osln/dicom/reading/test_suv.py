"""SUVbw: every branch of the units, the decay correction and the times, with factors worked out by hand.

The scan: 70 kg, 70 MBq injected, half-life 3600 s, one hour after the injection. Half of the dose is left, so
1 Bq/ml is 70000 g / 35e6 Bq = 0.002 g/ml; corrected to the injection it is 70000 / 70e6 = 0.001 g/ml.
"""

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from osln.dicom.reading.suv import refusal, suv_conversion

START, ADMIN = 0.002, 0.001
ZR_89_S = 282276
"""Half-life of zirconium-89, 78.4 h: it is given days before the scan."""


def pet(isotope=None, private=None, **tags) -> Dataset:
    """Header of one PET slice; None removes an attribute."""
    dose = {
        "RadionuclideTotalDose": 70e6,
        "RadionuclideHalfLife": 3600,
        "RadiopharmaceuticalStartTime": "090000",
        **(isotope or {}),
    }
    header = {
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN"],
        "SeriesType": ["STATIC", "IMAGE"],
        "PatientWeight": 70,
        "SeriesDate": "20200102",
        "SeriesTime": "100000",
        "AcquisitionDate": "20200102",
        "AcquisitionTime": "100000",
        **tags,
    }
    ds, item = Dataset(), Dataset()
    for target, values in ((ds, header), (item, dose)):
        for keyword, value in values.items():
            if value is not None:
                setattr(target, keyword, value)
    ds.RadiopharmaceuticalInformationSequence = Sequence([item])
    for tag, value in (private or {}).items():
        kind = "UN" if isinstance(value, bytes) else "LO" if tag < 0x100 else "DS"
        ds.add_new((0x7053, tag), kind, value)
    return ds


def uncorrected(**tags) -> Dataset:
    return pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], **tags)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        pytest.param(pet(), START, id="Bq/ml, decay-corrected to the start"),
        pytest.param(pet(DecayCorrection="ADMIN"), ADMIN, id="corrected to the injection"),
        pytest.param(uncorrected(), START, id="not corrected"),
        pytest.param(pet(SeriesTime="110000"), START, id="acquisition before the series time"),
        pytest.param(
            pet(SeriesTime="100000", AcquisitionTime="103000"), START, id="series time before the acquisition"
        ),
        pytest.param(pet(SeriesTime=None, SeriesDate=None), START, id="only an acquisition time"),
        pytest.param(pet(AcquisitionTime="000000"), START, id="acquisition time that stands for none"),
        pytest.param(pet(SeriesTime="000000.00"), START, id="series time that stands for none"),
        pytest.param(
            pet(
                {
                    "RadionuclideHalfLife": ZR_89_S,
                    "RadiopharmaceuticalStartTime": "100000",
                    "RadiopharmaceuticalStartDateTime": "20191229100000",
                }
            ),
            0.001 * 2 ** (4 * 86400 / ZR_89_S),
            id="zirconium-89, four days before the scan",
        ),
        pytest.param(
            pet(
                Units="CNTS",
                private={0x10: "OTHER VENDOR", 0x1000: "7", 0x11: "Philips PET Private Group", 0x1100: "0.5"},
            ),
            0.5,
            id="Philips' factor in another block",
        ),
        pytest.param(pet(AcquisitionTime=None, AcquisitionDate=None), START, id="only a series time"),
        pytest.param(pet(SeriesDate=None, AcquisitionDate=None), START, id="times without any date"),
        pytest.param(
            pet(
                SeriesTime="003000",
                AcquisitionTime="003000",
                isotope={"RadiopharmaceuticalStartTime": "233000"},
            ),
            START,
            id="injected before midnight, time only",
        ),
        pytest.param(
            pet(
                SeriesTime="003000",
                AcquisitionTime="003000",
                SeriesDate=None,
                AcquisitionDate=None,
                isotope={"RadiopharmaceuticalStartTime": "233000"},
            ),
            START,
            id="injected before midnight, no dates",
        ),
        pytest.param(
            pet(
                SeriesTime="003000",
                AcquisitionTime="003000",
                isotope={
                    "RadiopharmaceuticalStartTime": "233000",
                    "RadiopharmaceuticalStartDateTime": "20200101233000.00",
                },
            ),
            START,
            id="injected before midnight, with its date",
        ),
        pytest.param(
            pet(
                SeriesTime="001000",
                AcquisitionDate=None,
                AcquisitionTime="235500.5",
                isotope={"RadiopharmaceuticalStartTime": "225500.5"},
            ),
            START,
            id="acquisition before midnight, series after it, date of the series only",
        ),
        pytest.param(
            pet(
                isotope={
                    "RadiopharmaceuticalStartDateTime": "20191201090000",
                    "RadiopharmaceuticalStartTime": None,
                }
            ),
            START,
            id="date of the injection is wrong: its time of day counts",
        ),
        pytest.param(
            pet(
                TimezoneOffsetFromUTC="+0100",
                isotope={"RadiopharmaceuticalStartDateTime": "20200102080000+0000"},
            ),
            START,
            id="injection in another time zone",
        ),
        pytest.param(pet(isotope={"RadiopharmaceuticalStartTime": "09"}), START, id="hour only"),
        pytest.param(pet(isotope={"RadionuclideTotalDose": 70}), START, id="dose in MBq"),
        pytest.param(
            pet(DecayCorrection=None), START, id="no DecayCorrection, but decay among the corrections"
        ),
        pytest.param(pet(Units="GML"), 1.0, id="SUV already"),
        pytest.param(pet(Units="GML", SUVType="BW", PatientWeight=None), 1.0, id="SUV already, no weight"),
        pytest.param(pet(Units="CNTS", private={0x1000: "0.00035"}), 0.00035, id="Philips' SUV factor"),
        pytest.param(
            pet(Units="CNTS", private={0x1000: b"0.00035 "}), 0.00035, id="Philips' SUV factor as bytes"
        ),
        pytest.param(
            pet(Units="CNTS", private={0x1000: "0", 0x1009: "1.5"}),
            1.5 * START,
            id="Philips' factor to Bq/ml",
        ),
        pytest.param(
            pet(Units="CNTS", private={0x1009: "1.5"}, DecayCorrection="ADMIN"),
            1.5 * ADMIN,
            id="Philips' factor to Bq/ml, corrected to the injection",
        ),
        pytest.param(
            pet(CorrectedImage=None, AttenuationCorrectionMethod="CT", DecayCorrection="ADMIN"),
            ADMIN,
            id="attenuation correction known by its method",
        ),
    ],
)
def test_factor_is_the_one_worked_out_by_hand(header, factor):
    assert suv_conversion([header]).factors == pytest.approx([factor], rel=1e-9)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (pet(Units="PROPCNTS"), "proportional to counts"),
        (pet(Units="CNTS"), "private attributes"),
        (pet(Units="CNTS", private={0x1000: "0", 0x1009: "0"}), "private attributes"),
        (pet(Units=None), "units are not given"),
        (pet(Units="CM2ML"), "units are CM2ML"),
        (pet(Units="GML", SUVType="LBM"), "instead of body weight"),
        (pet(CorrectedImage=["DECY", "SCAT"]), "not attenuation-corrected"),
        (pet(CorrectedImage=None), "does not say that it is attenuation-corrected"),
        (pet(CorrectedImage=None, AttenuationCorrectionMethod="NONE"), "does not say"),
        (pet(Units="GML", CorrectedImage=["DECY"]), "not attenuation-corrected"),
        (pet(SeriesType=["DYNAMIC", "IMAGE"]), "dynamic series"),
        (pet(SeriesType=["GATED", "IMAGE"]), "gated series"),
        (pet(PatientWeight=None), "PatientWeight is missing"),
        (pet(PatientWeight=0), "PatientWeight is missing"),
        (pet(PatientWeight=70000), "PatientWeight is 70000"),
        (pet(isotope={"RadionuclideTotalDose": None}), "RadionuclideTotalDose is missing"),
        (pet(isotope={"RadionuclideTotalDose": 0}), "RadionuclideTotalDose is missing"),
        (pet(isotope={"RadionuclideTotalDose": 70000}), "expected 1e6 to 5e9 Bq"),
        (pet(isotope={"RadionuclideHalfLife": None}), "RadionuclideHalfLife is missing"),
        (pet(isotope={"RadiopharmaceuticalStartTime": None}), "injection time"),
        (pet(isotope={"RadiopharmaceuticalStartTime": "110000"}), "half-lives"),
        (pet(SeriesTime=None, AcquisitionTime=None), "neither SeriesTime nor AcquisitionTime"),
        (pet(DecayCorrection="OTHER"), "DecayCorrection of the PET is OTHER"),
        (pet(DecayCorrection=None, CorrectedImage=["ATTN"]), "DecayCorrection of the PET is missing"),
        (
            uncorrected(AcquisitionTime=None),
            "AcquisitionTime is missing",
        ),
        (
            uncorrected(AcquisitionTime="000000"),
            "AcquisitionTime is missing",
        ),
        (pet(SeriesTime="000000", AcquisitionTime="000000.000"), "midnight to the second"),
        (pet(isotope={"RadiopharmaceuticalStartTime": "000000"}), "midnight to the second"),
        (pet(isotope={"RadionuclideHalfLife": ZR_89_S}), "does not tell the day of the injection"),
        (
            pet({"RadionuclideHalfLife": ZR_89_S, "RadiopharmaceuticalStartDateTime": "20200103090000"}),
            "does not tell the day of the injection",
        ),
        (pet(Units="CNTS", private={0x10: "OTHER VENDOR", 0x1000: "2"}), "private attributes"),
        (pet(DecayCorrection="NONE"), "DecayCorrection is NONE, but CorrectedImage has DECY"),
        (uncorrected(DecayFactor="1.2"), "DecayFactor is 1.2"),
        (pet(isotope={"RadionuclideTotalDose": 12.3}), "0.18 MBq for each of 70 kg.*mCi"),
        (pet(isotope={"RadionuclideTotalDose": 10}), "it may be mCi"),
        (
            pet(isotope={"RadiopharmaceuticalStartDateTime": "20200102070000"}),
            "two times of the injection that lie 120 min apart",
        ),
        (
            pet(
                isotope={"RadiopharmaceuticalStartDateTime": "20200102060000"}, TimezoneOffsetFromUTC="+0100"
            ),
            "two times of the injection that lie 180 min apart",
        ),
        # Corrected to the acquisition by its factor, to half an hour before by SeriesTime: 2 ** -0.5 is lost.
        (pet(SeriesTime="093000", DecayFactor="1"), "DecayFactor of the PET is 1 and 1.414 by its times"),
        # Of an undated scan: by its factor SeriesTime is not the start.
        (
            pet(AcquisitionDate=None, SeriesTime="091500", AcquisitionTime="113000", DecayFactor="1"),
            "DecayFactor of the PET is 1 and 4.757 by its times",
        ),
    ],
)
def test_what_cannot_be_known_is_refused_in_words(header, words):
    with pytest.raises(ValueError, match=words):
        suv_conversion([header])


@pytest.mark.parametrize(
    "header",
    [
        pet(DecayFactor="1"),
        pet(SeriesTime="093000", DecayFactor="1.41421"),
        # A frame of 10 min at a half-life of an hour: ln 2 / 6 / (1 - 2 ** (-1 / 6)) = 1.0589.
        pet(ActualFrameDuration=600000, DecayFactor="1.0589"),
        pet(ActualFrameDuration=600000, DecayFactor="1"),
        pet(isotope={"RadiopharmaceuticalStartDateTime": "20200102000000"}),
        pet(isotope={"RadiopharmaceuticalStartDateTime": "20200102090059"}),
        pet(isotope={"RadiopharmaceuticalStartDateTime": "2020010209"}),
    ],
)
def test_what_agrees_with_the_times_is_taken(header):
    assert suv_conversion([header]).warnings == ()


@pytest.mark.parametrize(
    ("time", "moment", "seconds"),
    [
        ("093000", "2020010209", 1800),
        ("093000", "2020010208+0000", 1800),
        ("09", "20200102093000", 1800),
        ("0930", "20200102093030", 1830),
        ("093059", "202001020930", 1859),
    ],
)
def test_two_statements_of_the_injection_are_compared_as_exactly_as_they_are_given(time, moment, seconds):
    isotope = {"RadiopharmaceuticalStartTime": time, "RadiopharmaceuticalStartDateTime": moment}
    conversion = suv_conversion([pet(isotope=isotope, TimezoneOffsetFromUTC="+0100")])

    # After 09:00; an hour before the scan it is 0.002.
    assert conversion.factors == pytest.approx([START * 2 ** (-seconds / 3600)])
    assert conversion.warnings == ()


def test_an_injection_in_another_time_zone_is_taken_by_its_local_time_and_this_is_said():
    conversion = suv_conversion([pet(isotope={"RadiopharmaceuticalStartDateTime": "20200102070000+0000"})])

    assert conversion.factors == pytest.approx([START])
    assert "of another time zone than the scan (2 h from" in conversion.warnings[0]


@pytest.mark.parametrize("zone", [None, "", "unknown"])
def test_an_injection_in_a_zone_of_its_own_with_no_local_time_beside_it_is_refused(zone):
    isotope = {
        "RadiopharmaceuticalStartDateTime": "20200102070000+0000",
        "RadiopharmaceuticalStartTime": None,
    }

    with pytest.raises(ValueError, match=r"time zone \+0000 .*add TimezoneOffsetFromUTC or Radiopharm"):
        suv_conversion([pet(isotope=isotope, TimezoneOffsetFromUTC=zone)])


@pytest.mark.parametrize("time", [None, "090000"])
def test_an_injection_without_a_zone_is_of_that_of_the_scan(time):
    isotope = {"RadiopharmaceuticalStartDateTime": "20200102090000", "RadiopharmaceuticalStartTime": time}
    # Written by another computer; it is read nowhere.
    written = {"AcquisitionDateTime": "20200102080000+0000"}

    conversion = suv_conversion([pet(isotope=isotope, TimezoneOffsetFromUTC="-0500", **written)])

    assert conversion.factors == pytest.approx([START])
    assert conversion.warnings == ()


def test_two_injections_are_refused():
    header = pet()
    header.RadiopharmaceuticalInformationSequence.append(Dataset())

    with pytest.raises(ValueError, match="2 items"):
        suv_conversion([header])


def test_half_life_of_fdg_is_known_and_said():
    conversion = suv_conversion(
        [pet(isotope={"RadionuclideHalfLife": None, "Radiopharmaceutical": "FDG -- fluorodeoxyglucose"})]
    )

    assert conversion.factors == pytest.approx([70000 / (70e6 * 2 ** (-3600 / 6586.2))])
    assert "6586.2 s" in conversion.warnings[0]


def test_slices_without_decay_correction_have_factors_of_their_own_acquisition_and_frame():
    slices = [
        uncorrected(AcquisitionTime="100000"),
        uncorrected(AcquisitionTime="110000"),
        pet(
            DecayCorrection="NONE",
            CorrectedImage=["ATTN"],
            AcquisitionTime="110000",
            ActualFrameDuration=3600000,
        ),
    ]

    # Over a frame of one half-life the activity falls from 1 to 1/2: its mean is 1 / (2 ln 2).
    assert suv_conversion(slices).factors == pytest.approx([0.002, 0.004, 0.004 * 2 * math.log(2)])


def test_slices_of_a_scan_over_midnight_with_one_date_have_the_factors_of_their_own_hour():
    dated = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20200102223000"}
    slices = [
        make(isotope=dated, SeriesTime="233000", AcquisitionTime=time)
        for make in (uncorrected, pet)
        for time in ("233000", "003000")
    ]

    own, corrected = suv_conversion(slices[:2]), suv_conversion(slices[2:])

    # One and two hours after the injection; corrected to the start one hour for both.
    assert own.factors == pytest.approx([0.002, 0.004]) and corrected.factors == pytest.approx([0.002, 0.002])
    assert "ran over midnight" in own.warnings[0] and len(own.warnings) == 1


def test_earliest_acquisition_of_all_slices_counts():
    slices = [
        pet(SeriesTime="113000", AcquisitionTime="110000"),
        pet(SeriesTime="113000", AcquisitionTime="100000"),
    ]

    assert suv_conversion(slices).factors == pytest.approx([START, START])


def test_each_slice_has_its_own_philips_factor_and_one_that_lacks_it_is_refused():
    slices = [pet(Units="CNTS", private={0x1009: "1"}), pet(Units="CNTS", private={0x1009: "2"})]
    np.testing.assert_allclose(suv_conversion(slices).factors, [START, 2 * START])

    with pytest.raises(ValueError, match="missing in some slices"):
        suv_conversion([slices[0], pet(Units="CNTS")])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pet(PatientWeight=71), "PatientWeight is 70 in the first and 71 in number 2"),
        (pet(Units="GML"), "Units is BQML in the first and GML in number 2"),
        (pet(DecayCorrection=None), "DecayCorrection is START in the first and missing in number 2"),
        (pet({"RadionuclideTotalDose": 7e6}), "RadionuclideTotalDose"),
    ],
)
def test_slices_that_contradict_each_other_are_refused(other, words):
    with pytest.raises(ValueError, match=words):
        suv_conversion([pet(), other])


def test_a_scan_long_after_the_injection_is_remarked_on():
    (said,) = suv_conversion([pet({"RadiopharmaceuticalStartTime": "053000"})]).warnings

    assert "4.5 h after the injection (4.5 half-lives)" in said


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (pet(isotope={"RadionuclideTotalDose": 70}), "taken as MBq"),
        (pet(DecayCorrection=None), "START was assumed"),
        (
            pet(isotope={"RadiopharmaceuticalStartDateTime": "20191201090000"}),
            "only its time of day was used",
        ),
        # An hour at a half-life of an hour.
        (
            pet(isotope={"RadiopharmaceuticalStartTime": "09"}),
            "to the hour only: the SUVs may be up to 100 % too high",
        ),
    ],
)
def test_what_was_assumed_is_said(header, words):
    assert any(words in warning for warning in suv_conversion([header]).warnings)


def test_a_good_series_has_no_reason_to_be_refused_and_no_warning():
    assert refusal(pet()) is None
    assert suv_conversion([pet()]).warnings == ()
    assert "60.0 min after the injection" in suv_conversion([pet()]).explanation
