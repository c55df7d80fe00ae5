"""A phantom is the same patient for a seed, and its sidecar tells the truth about its images."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from osln.imaging.instances import radius_mm
from osln.phantom import Phantom, PhantomParameters, make_phantom
from osln.phantom.findings.findings import Finding, zone_of
from osln.phantom.findings.space import inner_boundary_mm
from osln.phantom.findings.tags import TAGS
from osln.phantom.patient.pet import shown_at

COARSE_MM = (4.0, 4.0, 4.0)


@cache
def phantom(seed: int, aligned: bool = False) -> Phantom:
    return make_phantom(seed, spacing_mm=COARSE_MM, misregistered=not aligned)


def voxel_mm3(case: Phantom) -> float:
    return float(abs(np.linalg.det(case.affine[:3, :3])))


def pet_peak_near(case: Phantom, point_mm: np.ndarray, reach_mm: float) -> np.ndarray:
    """Center of mass of the hottest voxels within a reach of a point."""
    grid = np.indices(case.pet_suv.shape).reshape(3, -1).T
    mm = grid @ case.pet_affine[:3, :3].T + case.pet_affine[:3, 3]
    near = np.linalg.norm(mm - point_mm, axis=1) <= reach_mm
    suv = case.pet_suv.reshape(-1)[near]
    hot = suv > 0.7 * suv.max()
    return np.average(mm[near][hot], axis=0, weights=suv[hot])


def hottest_node(case: Phantom) -> Finding:
    """The avid node with the largest uptake, away from the tumor's own glow."""
    nodes = [f for f in case.findings if f.kind == "node" and f.avid and f.distance_mm > 50.0]
    return max(nodes, key=lambda f: f.suv_max)


def test_the_same_seed_gives_the_same_voxels() -> None:
    again = make_phantom(3, spacing_mm=COARSE_MM)
    first = phantom(3)
    assert np.array_equal(first.ct_hu, again.ct_hu)
    assert np.array_equal(first.pet_suv, again.pet_suv)
    assert np.array_equal(first.nodes, again.nodes)
    assert first.findings == again.findings


def test_another_seed_gives_another_patient() -> None:
    assert (phantom(3).ct_hu != phantom(4).ct_hu).mean() > 0.5


def test_the_training_column_has_the_documented_grid_and_types() -> None:
    case = make_phantom(3)
    assert case.ct_hu.shape == (88, 64, 104) and case.ct_hu.dtype == np.int16
    assert case.pet_suv.dtype == np.float32 and case.tumor.dtype == bool and case.nodes.dtype == np.uint16
    assert np.allclose(np.diag(case.affine), (2.5, 2.5, 3.0, 1.0))
    assert np.allclose(np.diag(case.pet_affine), (4.0, 4.0, 4.0, 1.0))
    assert case.ct_hu.shape[2] * 3.0 >= 310.0


def test_both_fields_show_the_same_patient() -> None:
    spacing = (5.0, 5.0, 4.0)
    column = make_phantom(3, spacing_mm=spacing)
    body = make_phantom(3, spacing_mm=spacing, field="body")
    assert [f.center_mm for f in column.findings] == [f.center_mm for f in body.findings]
    assert [f.osln for f in column.findings] == [f.osln for f in body.findings]
    shift = (column.affine[:3, 3] - body.affine[:3, 3]) / spacing
    x, y, z = (round(float(v)) for v in shift)
    nx, ny, nz = column.ct_hu.shape
    part = body.ct_hu[x : x + nx, y : y + ny, z : z + nz].astype(int)
    assert np.allclose(shift, np.round(shift))
    assert np.abs(part - column.ct_hu).max() <= 1


def test_room_air_surrounds_the_body() -> None:
    body = make_phantom(3, spacing_mm=COARSE_MM, field="body").ct_hu
    assert (body[:2, :2] == -1000).all() and (body[-2:, -2:] == -1000).all()


@pytest.mark.parametrize("seed", [3, 4])
def test_every_osln_of_the_sidecar_is_in_the_label_map_with_its_volume(seed: int) -> None:
    case = phantom(seed)
    oslns = [f for f in case.findings if f.osln]
    assert oslns and sorted(f.label for f in oslns) == list(range(1, case.nodes.max() + 1))
    for finding in oslns:
        count = int((case.nodes == finding.label).sum())
        assert count > 0
        assert finding.volume_mm3 == pytest.approx(count * voxel_mm3(case))
        assert finding.radius_mm == pytest.approx(radius_mm(finding.volume_mm3))
    assert all(f.label == 0 for f in case.findings if not f.osln)


def test_oslns_do_not_touch_so_that_a_binary_label_keeps_them_apart() -> None:
    case = make_phantom(3)
    _, count = ndimage.label(case.nodes > 0, np.ones((3, 3, 3)))
    assert count == case.nodes.max()


@pytest.mark.parametrize("seed", [3, 4])
def test_zones_follow_the_distance_to_the_tumor(seed: int) -> None:
    case = phantom(seed)
    axes = [np.arange(n) * 4.0 + o for n, o in zip(case.ct_hu.shape, case.affine[:3, 3], strict=True)]
    boundary = inner_boundary_mm(case.tumor, axes)
    for finding in case.findings:
        distance = np.linalg.norm(boundary - np.array(finding.center_mm), axis=1).min()
        assert finding.distance_mm == pytest.approx(distance)
        assert finding.zone == zone_of(distance)


def test_seventy_millimeters_are_still_proximal() -> None:
    assert zone_of(70.0) == "proximal" and zone_of(70.01) == "distal"


def test_an_aligned_pet_shows_an_avid_node_where_the_ct_shows_it() -> None:
    case = phantom(3, aligned=True)
    assert case.motion is None
    node = hottest_node(case)
    peak = pet_peak_near(case, np.array(node.center_mm), 8.0)
    assert np.linalg.norm(peak - node.center_mm) < 2.0


def test_the_misregistration_moves_an_avid_node_by_the_known_field() -> None:
    case = phantom(3)
    assert case.motion is not None
    node = hottest_node(case)
    expected = shown_at(np.array([node.center_mm]), case.motion)[0]
    assert np.allclose(expected + case.motion.at(expected)[0], node.center_mm, atol=1e-3)
    assert np.linalg.norm(expected - node.center_mm) > 2.0
    peak = pet_peak_near(case, expected, 8.0)
    assert np.linalg.norm(peak - expected) < 2.0


def test_the_misregistration_has_the_declared_size() -> None:
    low, high = PhantomParameters().misregistration_p95_mm
    for seed in (3, 4):
        field = phantom(seed).motion
        assert field is not None
        axes = [np.linspace(-100, 100, 20), np.linspace(-80, 60, 16), np.linspace(10, 300, 24)]
        length = np.linalg.norm(field.on_axes(axes), axis=0)
        assert 0.6 * low < np.percentile(length, 95) < 1.4 * high


def test_every_tag_is_one_of_lesanets() -> None:
    tags = {tag for seed in (3, 4) for f in phantom(seed).findings for tag in f.tags}
    assert tags <= TAGS and "lymph node" in tags


def test_an_enlarged_node_is_tagged_so_and_a_small_one_is_not() -> None:
    nodes = [f for seed in (3, 4) for f in phantom(seed).findings if f.kind == "node"]
    for node in nodes:
        assert ("enlargement" in node.tags) == (node.short_axis_mm >= 10.0)
        assert ("subcentimeter" in node.tags) == (node.long_axis_mm < 10.0)


def test_no_osln_is_smaller_than_the_grid_can_show() -> None:
    smallest = PhantomParameters().visible_short_mm
    assert all(f.short_axis_mm >= smallest for seed in (3, 4) for f in phantom(seed).findings if f.osln)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_phantom(1, field="arm"), "field must be one of"),
        (lambda: make_phantom(-1), "must be 0 or more"),
        (lambda: make_phantom(1, spacing_mm=(0.0, 1.0, 1.0)), "must be positive"),
    ],
)
def test_wrong_arguments_are_refused_in_words(call: Callable[[], Phantom], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
