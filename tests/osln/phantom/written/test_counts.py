"""The cohort's counts stay within the ranges that docs/phantom.md declares."""

from functools import cache

import pytest

from osln.phantom import PhantomParameters, make_phantom
from osln.phantom.findings.findings import Finding
from osln.phantom.written.counts import CaseCounts, breaks_rule, case_counts, counts_table

SEEDS = range(312, 324)


@cache
def counts(seed: int) -> CaseCounts:
    return case_counts(make_phantom(seed, spacing_mm=(4.0, 4.0, 4.0)))


def cases() -> list[CaseCounts]:
    return [counts(seed) for seed in SEEDS]


def finding(**changes: object) -> Finding:
    values: dict[str, object] = {
        "kind": "node", "zone": "distal", "distance_mm": 100.0, "center_mm": (0.0, 0.0, 0.0),
        "volume_mm3": 100.0, "radius_mm": 2.9, "short_axis_mm": 6.0, "long_axis_mm": 7.0, "suv_max": 1.0,
        "avid": False, "osln": True, "tags": (), "label": 1,
    }  # fmt: skip
    return Finding(**{**values, **changes})  # type: ignore[arg-type]


def test_a_small_cold_distal_osln_breaks_the_hard_rule() -> None:
    rule = PhantomParameters()
    assert breaks_rule(finding(), rule)
    assert not breaks_rule(finding(avid=True), rule)
    assert not breaks_rule(finding(short_axis_mm=10.0), rule)
    assert not breaks_rule(finding(zone="proximal"), rule)


@pytest.mark.slow
def test_twelve_patients_have_the_declared_numbers_of_nodes() -> None:
    nodes = [f for case in cases() for f in case.findings if f.kind == "node"]
    oslns = [f for f in nodes if f.osln]
    count = len(SEEDS)
    assert 3.0 <= len(oslns) / count <= 6.2
    assert 1.8 <= sum(f.zone == "proximal" for f in oslns) / count <= 4.5
    assert 0.6 <= sum(f.zone == "distal" for f in oslns) / count <= 2.6
    assert 0.15 <= sum(f.avid for f in oslns) / len(oslns) <= 0.5
    assert sum(f.short_axis_mm < 10 for f in oslns) / len(oslns) >= 0.7
    benign = [f for f in nodes if not f.osln and f.zone == "distal" and 5 <= f.short_axis_mm <= 9.5]
    assert 8 <= len(benign) / count <= 18


@pytest.mark.slow
def test_twelve_patients_have_every_kind_of_mimic() -> None:
    kinds = {f.kind for case in cases() for f in case.findings}
    assert {"vessel", "vessel stub", "cyst", "muscle bundle", "hot spot", "bowel", "brown fat"} <= kinds
    assert {"vocal cord", "heart", "kidney"} <= kinds
    stubs = sum(f.kind == "vessel stub" for case in cases() for f in case.findings)
    assert 10 <= stubs / len(SEEDS) <= 22


@pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]
)
def test_the_proximal_zone_is_a_part_of_the_field(seed: int) -> None:
    assert 0.1 < counts(seed).proximal_share < 0.6


def test_the_table_counts_by_hand() -> None:
    near = finding(zone="proximal", avid=True, short_axis_mm=12.0, suv_max=4.0)
    benign = finding(osln=False, short_axis_mm=6.0)
    rows = dict(
        counts_table([CaseCounts([near, benign], [9], 0.25), CaseCounts([], [], 0.35)], PhantomParameters())
    )
    assert rows["patients"] == "2" and rows["OSLN per patient"] == "0.50"
    assert rows["  proximal, avid share"] == "100% of 1" and rows["  distal, avid share"] == "-"
    assert rows["OSLN under 10 mm"] == "0% of 1" and rows["patients without OSLN"] == "1"
    assert rows["voxels in the proximal zone"] == "30%"
    assert rows["non-OSLN nodes per patient, distal"].startswith("0.5 (")


def test_no_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        counts_table([], PhantomParameters())
