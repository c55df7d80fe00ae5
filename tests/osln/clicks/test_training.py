import numpy as np
import pytest

from osln.clicks import sampling, training
from osln.clicks.phantom_cases import ClickCase, load_case, save_case, varied_parameters
from osln.imaging.grid import Volume
from small.clicks import ball, ct, in_canonical_order


@pytest.fixture(scope="module")
def case() -> ClickCase:
    """The ball with uptake."""
    nodes = in_canonical_order(ball()).astype(np.uint8)
    pet = Volume(np.where(nodes, 6.0, 1.0).astype(np.float32), ct().grid, ct().grid)
    return ClickCase("ball", Volume(ct().array, ct().grid, ct().grid), pet, nodes, [16.0])


def test_examples_depend_on_seed_and_number_alone(case):
    one, again, other, later = (
        sampling.ExampleSampler([case], seed).batch(number, 2)
        for seed, number in ((0, 3), (0, 3), (1, 3), (0, 4))
    )
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a.ct_hu, b.ct_hu)
        np.testing.assert_array_equal(a.clicks.foreground, b.clicks.foreground)
    for others in (other, later):
        assert not all(np.array_equal(a.ct_hu, b.ct_hu) for a, b in zip(one, others, strict=True))


def test_clicks_lie_inside_and_outside_the_node(case):
    drawn = [one for step in range(12) for one in sampling.ExampleSampler([case], 0).batch(step, 3)]
    for one in drawn:
        at = np.round(one.grid.mm_to_index(one.clicks.foreground)).astype(int)
        assert one.node[tuple(at.T)].all() and one.ct_hu.shape == one.node.shape
        at = np.round(one.grid.mm_to_index(one.clicks.background)).astype(int)
        assert not one.node[tuple(at.T)].any()
    assert 0 < sum(one.pet_suv is None for one in drawn) < len(drawn)
    assert any(len(one.clicks.background) for one in drawn)


@pytest.mark.slow
def test_a_training_learns_and_repeats(case):
    runs = [training.train([case], [], steps=6, seed=2) for _ in range(2)]
    for name, tensor in runs[0].weights.items():
        np.testing.assert_array_equal(tensor.numpy(), runs[1].weights[name].numpy())
    assert runs[0].record["train_cases"] == ["ball"] and runs[0].record["steps"] == 6
    assert np.isfinite([report["total"] for report in runs[0].reports]).all()


def test_validation_looks_at_other_patients(case, monkeypatch):
    monkeypatch.setattr(training, "VALIDATED", 2)
    learned = training.train([case], [case], steps=1, seed=2)
    assert learned.validation["patches"] == 2 and 0 <= learned.validation["mean_dice"] <= 1


def test_no_node_is_refused(case):
    empty = ClickCase("none", case.ct, case.pet, np.zeros_like(case.nodes), [])
    with pytest.raises(ValueError, match="1 patients without a node"):
        training.train([empty], [], steps=1)


def test_a_case_is_kept_as_it_is(case, tmp_path):
    save_case(tmp_path / "a" / "one.npz", case)
    again = load_case(tmp_path / "a" / "one.npz")
    np.testing.assert_array_equal(again.ct.array, case.ct.array)
    np.testing.assert_array_equal(again.nodes, case.nodes)
    np.testing.assert_array_equal(again.ct.grid.affine, case.ct.grid.affine)
    assert (again.case, again.short_mm) == ("ball", [16.0])


def test_training_phantoms_differ_and_repeat():
    assert varied_parameters(1) == varied_parameters(1) != varied_parameters(2)
    parameters, spacing = varied_parameters(3)
    assert parameters.proximal_counts == 1.0 and spacing[0] == spacing[1] and 1.25 <= spacing[2] <= 5
