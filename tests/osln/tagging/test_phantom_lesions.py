"""Findings of phantoms become lesions with boxes and tags as the sidecar tells them."""

import json

import numpy as np
import pytest

from osln.imaging.grid import Grid, Volume, write_volume
from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.lesion_set import LesionSet
from osln.tagging.phantom_lesions import (
    cohort_lesions,
    finding_box,
    finding_lesions,
    store_cases,
    store_lesions,
)

GRID = Grid((40, 30, 20), np.array([[2.0, 0, 0, -40], [0, 2, 0, -30], [0, 0, 3, 0], [0, 0, 0, 1]]))


def finding(kind="node", center=(0.0, 0.0, 30.0), short=8.0, long=10.0, tags=("chest", "lymph node")):
    return {
        "kind": kind,
        "center_mm": list(center),
        "short_axis_mm": short,
        "long_axis_mm": long,
        "tags": list(tags),
    }


def ct_of(hu: float) -> Volume:
    return Volume(np.full(GRID.shape, hu, dtype=np.int16), GRID, GRID)


def names(mask: np.ndarray) -> set[str]:
    return {TAG_NAMES[i] for i in np.flatnonzero(mask)}


def test_the_box_is_a_square_of_the_long_axis_with_the_margin_of_candidates():
    box, z = finding_box(finding(center=(3.0, -4.0, 21.0), short=8.0, long=10.0))
    assert box == ((3 - 10, 3 + 10), (-4 - 10, -4 + 10)) and z == 21


def test_a_slender_finding_is_boxed_by_twice_its_short_axis():
    box, _ = finding_box(finding(short=4.0, long=40.0))
    assert box == ((-9.0, 9.0), (-9.0, 9.0))


def test_tags_that_are_not_listed_do_not_hold():
    (lesion,) = finding_lesions("a", ct_of(0), [finding()])
    assert lesion.case == "a"
    assert names(lesion.labels) == {"chest", "lymph node"}
    assert lesion.certain.all() and lesion.reliable.all()
    assert lesion.image[1, 60, 60] == pytest.approx((1024 / 4095 * 255 - 50) / 255, abs=1e-5)
    np.testing.assert_allclose(lesion.box, [50, 50, 70, 70])


def test_regions_are_unknown_where_the_sidecar_names_none():
    (lesion,) = finding_lesions("a", ct_of(0), [finding("hot spot", tags=())])
    assert names(~lesion.certain) == {"chest", "abdomen", "neck"}
    assert names(~lesion.reliable) == {"chest", "abdomen", "neck"}


def test_long_vessels_and_findings_outside_the_field_are_left_out():
    findings = [
        finding("vessel"),
        finding("vessel stub", tags=("blood vessel", "chest")),
        finding(center=(0.0, 0.0, 80.0)),
        finding(center=(-60.0, 0.0, 30.0)),
    ]
    (lesion,) = finding_lesions("a", ct_of(0), findings)
    assert names(lesion.labels) == {"blood vessel", "chest"}


def test_a_tag_that_lesanet_does_not_know_is_refused():
    with pytest.raises(ValueError, match="case a: LesaNet has no tags gizzard"):
        list(finding_lesions("a", ct_of(0), [finding(tags=("chest", "gizzard"))]))


def test_no_findings_give_an_empty_set():
    lesions = LesionSet.collect(finding_lesions("a", ct_of(0), []))
    assert len(lesions) == 0 and lesions.images.shape == (0, 3, 120, 120) and lesions.labels.shape == (0, 171)


class Findings:
    """A cohort of one patient, as far as its lesions are asked for."""

    def __init__(self, hu, findings):
        self.volume, self.told = Volume(hu, GRID, GRID), findings

    def ct(self, case):
        return self.volume

    def findings(self, case):
        return self.told


def test_lesions_of_a_cohort_and_of_a_store_are_the_same(tmp_path):
    hu = np.random.default_rng(0).integers(-200, 200, GRID.shape).astype(np.int16)
    findings = [finding(center=(5.0, 1.0, 24.0)), finding("vessel"), finding("cyst", tags=("cyst", "chest"))]
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "p.json").write_text(json.dumps({"findings": findings}))
    write_volume(tmp_path / "p.nii.gz", hu, GRID)

    assert store_cases(tmp_path) == ["p"]
    ours = LesionSet.collect(cohort_lesions(Findings(hu, findings), "p"))
    theirs = LesionSet.collect(store_lesions(tmp_path, ["p"]))
    assert ours.cases == theirs.cases == ("p", "p")
    np.testing.assert_array_equal(ours.images, theirs.images)
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert ours.labels[:, TAG_INDEX["cyst"]].tolist() == [False, True]


def test_a_store_without_sidecars_or_with_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no findings: expected truth/<case>\.json"):
        store_cases(tmp_path)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "p.json").write_text("{}")
    with pytest.raises(ValueError, match=r"p\.json is not a phantom's sidecar"):
        list(store_lesions(tmp_path, ["p"]))
