"""The measurement of sizes: equal patients and steps for each, and times of the processor."""

import pytest

from benchmarks.presets import SIZES, asking_seconds, learned_weights, parsed, step_seconds, training
from small.columns import small_column, tiny_preset
from small.store import untrained


def test_sizes_learn_from_the_same_patients_by_equally_many_steps(tmp_path):
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"one CT")
    options = parsed(
        ["--data", str(tmp_path), "--background", str(ct), "--work", str(tmp_path), "--train", "8"]
    )
    trainings = [training(options, preset) for preset in SIZES.values()]
    assert list(SIZES) == ["demo", "fine", "wide", "standard"]
    assert len({one.path for one in trainings}) == 4
    assert {(one.network, one.steps, one.cohort.cases("train")) for one in trainings} == {
        ("ef", 2000, trainings[0].cohort.cases("train"))
    }
    assert all(one.cohort.background(100_000) is not None for one in trainings)


def test_intervals_need_two_patients(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parsed(["--data", str(tmp_path), "--test", "1"])
    assert "--planted and --test must be at least 2" in capsys.readouterr().err


def test_weights_are_what_is_learned():
    kept = untrained("ef").state_dict
    running = ("running_mean", "running_var", "num_batches_tracked")
    learned = [one.numel() for name, one in kept.items() if not name.endswith(running)]
    assert learned_weights(untrained("ef")) == sum(learned) < sum(one.numel() for one in kept.values())


@pytest.mark.slow
def test_times_are_of_steps_and_of_a_patient():
    preset = tiny_preset()
    columns = [small_column(1)]
    assert step_seconds(preset, "ct", columns) > 0
    assert asking_seconds(untrained("ct"), columns[0], "f32") > 0
