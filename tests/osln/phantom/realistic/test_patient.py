"""A realistic phantom is one patient on every grid, and its nodes are what the sidecar says."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from osln.phantom import Phantom, PhantomParameters, RealisticParameters, make_phantom
from osln.phantom.body.painting import Canvas
from osln.phantom.patient.pet_ct import pet_ct
from osln.phantom.patient.plan import COLUMN_BOX_MM, grid_axes, plan_patient
from osln.phantom.realistic.body import RealisticBackground
from osln.phantom.realistic.scanner import Scanner

SPACING = (5.0, 5.0, 4.0)
FULL = replace(
    RealisticParameters(), metal_share=1.0, catheter_share=1.0, thymus_share=1.0, feeding_tube_share=1.0,
    bowel_loops=(24.0, 25.0), small_vessels=(300.0, 301.0), plaques=(20.0, 21.0),
)  # fmt: skip
"""Everything that may lie beside a node or over it."""


@cache
def phantom(seed: int, field: str = "column") -> Phantom:
    return make_phantom(seed, spacing_mm=SPACING, field=field, parameters=RealisticParameters())


def test_the_same_seed_gives_the_same_voxels():
    again = make_phantom(3, spacing_mm=SPACING, parameters=RealisticParameters())
    assert np.array_equal(phantom(3).ct_hu, again.ct_hu)
    assert np.array_equal(phantom(3).pet_suv, again.pet_suv) and phantom(3).findings == again.findings


def test_both_fields_show_the_same_patient():
    column, body = phantom(3), phantom(3, "body")
    first = np.rint((column.affine[:3, 3] - body.affine[:3, 3]) / SPACING).astype(int)
    part = body.ct_hu[tuple(slice(a, a + n) for a, n in zip(first, column.ct_hu.shape, strict=True))]
    assert [f.center_mm for f in column.findings] == [f.center_mm for f in body.findings]
    assert np.abs(part.astype(int) - column.ct_hu).max() <= 1


def test_default_parameters_give_no_look():
    assert plan_patient(3, PhantomParameters()).look is None
    assert phantom(3).patient.look is not None and phantom(3).anatomy == "realistic"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4, 8])
def test_nothing_is_painted_over_a_node(seed):
    patient = plan_patient(seed, FULL)
    assert patient.look is not None and isinstance(patient.background, RealisticBackground)
    assert isinstance(patient.parameters, RealisticParameters)
    axes = grid_axes(COLUMN_BOX_MM, (2.5, 2.5, 3.0))
    canvas = Canvas(axes, patient.space.warp, patient.parameters.partial_volume_mm)
    scanner = Scanner(patient.look, patient.parameters, patient.space.low_mm, patient.space.high_mm)
    clean = scanner.clean(patient.background, patient.foreground, canvas, np.random.default_rng(1))
    seen = 0
    for node in patient.nodes:
        share = np.zeros(canvas.shape, np.float32)
        canvas.paint(share, node.outline, [1.0])
        whole = share == 1.0
        if not node.extra and whole.any():
            assert np.allclose(clean[whole], node.outline[0].hu)
            seen += 1
    assert seen >= 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_labels_are_those_of_counting_nodes_alone(seed):
    case = make_phantom(seed, spacing_mm=(2.5, 2.5, 3.0), parameters=FULL)
    oslns = [f for f in case.findings if f.osln]
    assert oslns and all(f.kind == "node" for f in oslns)
    assert sorted(f.label for f in oslns) == list(range(1, case.nodes.max() + 1))
    assert all(f.label == 0 for f in case.findings if not f.osln)
    voxel = float(np.prod((2.5, 2.5, 3.0)))
    for finding in oslns:
        assert (case.nodes == finding.label).sum() * voxel == pytest.approx(finding.volume_mm3)


def test_a_narrow_field_of_view_cuts_the_body_and_no_node():
    narrow = replace(RealisticParameters(), field_radius_mm=(125.0, 125.5))
    case = make_phantom(3, spacing_mm=SPACING, field="body", parameters=narrow)
    assert (case.ct_hu[0] == -1024).all() and (case.ct_hu == -1024).mean() > 0.3
    assert (case.ct_hu[case.nodes > 0] > -500).all()


@pytest.mark.slow
def test_arms_and_table_are_seen_where_they_are():
    def seen(share: float) -> np.ndarray:
        ranges = replace(
            RealisticParameters(), arms_down_share=share, table_share=share, field_radius_mm=(400.0, 401.0)
        )
        return make_phantom(3, spacing_mm=SPACING, field="body", parameters=ranges).ct_hu

    with_both, without = seen(1.0), seen(0.0)
    sides = [0, 1, 2, -3, -2, -1]
    assert (with_both[sides] > 250).sum() > (without[sides] > 250).sum() + 20
    assert (with_both[:, 0] > -400).any() and not (without[:, 0] > -400).any()


def test_the_pet_has_its_drawn_voxels_and_displacement():
    case = phantom(3)
    steps = np.diag(case.pet_affine)[:3]
    assert np.allclose(steps, case.parameters.pet_spacing_mm) and not np.allclose(steps, 4.0)
    ranges = replace(RealisticParameters(), moved_mm=(10.0, 10.0))
    motion = plan_patient(3, ranges).motion
    axes = [np.linspace(a + 20, b - 20, 24) for a, b in ((-196, 196), (-142, 142), (-16, 328))]
    assert np.percentile(np.linalg.norm(motion.on_axes(axes), axis=0), 95) == pytest.approx(10.0, rel=1e-3)


def test_a_realistic_phantom_has_a_ct_beside_its_pet():
    own = pet_ct(phantom(3))
    assert own.array.min() >= -1024 and (own.array > 0).mean() > 0.1


def test_another_anatomy_is_refused_in_words():
    with pytest.raises(ValueError, match="have the built-in anatomy"):
        make_phantom(1, parameters=RealisticParameters(), anatomy=lambda rng: None)
