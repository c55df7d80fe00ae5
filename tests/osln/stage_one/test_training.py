import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.learning.state import fingerprint
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.rows.presets import HighResolution
from osln.stage_one import training
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.training import SegmenterLesson, fit_scaling, train
from osln.stage_one.validation import evaluate
from osln.weights.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from small.columns import small_column, tiny_preset


@pytest.fixture(autouse=True)
def small_epochs(monkeypatch):
    """Tiny networks under the name "demo", an epoch of 5 steps."""
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    monkeypatch.setattr(training, "EPOCH_STEPS", 5)


@pytest.fixture(scope="module")
def columns():
    return [small_column(seed) for seed in range(4)]


def quick(columns, name: str = "ct", **options):
    preset = options.pop("preset", tiny_preset())
    return train(SEGMENTERS[name], preset, columns, **({"iterations": 10} | options))


def same(a, b) -> bool:
    return all(torch.equal(a.state_dict[name], b.state_dict[name]) for name in a.state_dict)


@pytest.mark.slow
def test_a_network_learns_to_find_bright_balls(columns):
    seen = []
    checkpoint = quick(columns[:3], iterations=100, validation_columns=columns[3:], on_progress=seen.append)
    assert seen[-1].loss < 0.5 * seen[0].loss
    assert seen[-1].validation["recall"] == 1.0
    assert evaluate(checkpoint, columns[3:])["metric"] == pytest.approx(seen[-1].validation["metric"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ef-se-unet", "ef-hrnet", "ef-psnn", "gated-hard", "gated-soft", "gated-strata"]
)
def test_every_backbone_learns_by_the_same_code(columns, name):
    seen = []
    size = HighResolution(width=4, modules=(1, 1), blocks=1)
    checkpoint = quick(columns, name, preset=tiny_preset(hrnet=size), iterations=30, on_progress=seen.append)

    assert seen[-1].loss < 0.95 * seen[0].loss
    assert checkpoint.name == name and checkpoint.metadata["backbone"] == SEGMENTERS[name].backbone


def test_the_same_seed_gives_the_same_weights_another_seed_others(columns):
    first = quick(columns)
    assert same(first, quick(columns)) and not same(first, quick(columns, seed=1))


@pytest.mark.usefixtures("state_after_every_step")
def test_an_interrupted_training_ends_like_an_uninterrupted_one(columns, tmp_path):
    whole = quick(columns, iterations=15)
    path = tmp_path / "run.resume"

    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.epoch == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        quick(columns, iterations=15, resume_path=path, on_progress=stop)
    seen = []
    resumed = quick(columns, iterations=15, resume_path=path, on_progress=seen.append)
    assert [progress.step for progress in seen] == [15]
    assert same(whole, resumed)
    assert [loss[:1] for loss in resumed.metadata["losses"]] == [(5,), (10,), (15,)]
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.usefixtures("state_after_every_step")
def test_a_training_that_is_stopped_in_the_middle_of_an_epoch_loses_that_step_alone(
    columns, tmp_path, monkeypatch
):
    whole = quick(columns, iterations=12)
    path = tmp_path / "run.resume"
    asked = []
    batch = PatchSampler.batch

    def counted(self, number, part):
        asked.append(number)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return batch(self, number, part)

    monkeypatch.setattr(PatchSampler, "batch", counted)
    with pytest.raises(KeyboardInterrupt):
        quick(columns, iterations=12, resume_path=path)
    resumed = quick(columns, iterations=12, resume_path=path)
    # The ninth step was under way: it is the only one that is made twice.
    assert asked == [*range(9), *range(8, 12)]
    assert same(whole, resumed) and resumed.metadata["losses"] == whole.metadata["losses"]


@pytest.mark.parametrize(("cores", "threads"), [(2, 2), (64, 4)])
def test_no_more_threads_make_batches_than_there_are_cores_to_use(monkeypatch, cores, threads):
    monkeypatch.setattr(
        "osln.learning.cores.os.sched_getaffinity", lambda pid: set(range(cores)), raising=False
    )
    assert training.feeding_threads(torch.device("cuda", 0)) == threads
    assert training.feeding_threads(torch.device("cpu")) == 0


@pytest.mark.parametrize("name", ["ef-distal", "ct"])
def test_batches_made_ahead_are_the_same_and_end_with_the_training(columns, monkeypatch, name):
    whole, before = quick(columns, name), set(threading.enumerate())
    monkeypatch.setattr(training, "feeding_threads", lambda device: 2)
    at_work = []

    ahead = quick(columns, name, on_progress=lambda _: at_work.append(set(threading.enumerate()) - before))

    assert len(at_work[0]) == 2 and set(threading.enumerate()) == before
    assert same(whole, ahead) and whole.metadata["losses"] == ahead.metadata["losses"]

    def broken(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(columns, name, on_progress=broken)
    assert set(threading.enumerate()) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated-soft", "ef-psnn"])
def test_two_processes_have_the_losses_of_one(columns, monkeypatch, name):
    monkeypatch.setattr(training, "EPOCH_STEPS", 1)
    # In bfloat16 parts of a batch are rounded otherwise than the whole: without it here and in the processes.
    monkeypatch.setattr(training, "bf16_is_sound", lambda *_: False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    one, two = (
        quick(columns, name, preset=tiny_preset(batch=5), devices=devices) for devices in ((), ("cpu", "cpu"))
    )

    losses = [np.array(each.metadata["losses"])[:, 1:] for each in (one, two)]
    np.testing.assert_allclose(losses[1][0], losses[0][0], rtol=1e-5)
    # A step turns differences in the last digit into larger ones.
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    assert one.state_dict.keys() == two.state_dict.keys()


def test_more_devices_than_a_batch_has_patches_are_refused(columns):
    with pytest.raises(ValueError, match=r"a batch of 4 patches .*: expected up to 4 GPUs, got 5"):
        quick(columns, devices=("cpu",) * 5)


@pytest.mark.slow
def test_a_resume_file_of_other_labels_or_settings_is_not_used(columns, tmp_path):
    path = tmp_path / "run.resume"
    quick(columns, resume_path=path)
    corrected = replace(columns[0], nodes=np.where(columns[0].nodes == 1, 0, columns[0].nodes))
    others = [corrected, *columns[1:]]
    for changed in ({"seed": 3}, {"iterations": 15}):
        assert same(quick(columns, **changed, resume_path=path), quick(columns, **changed))
    assert same(quick(others, resume_path=path), quick(others))


@pytest.mark.parametrize("image", ["ct_hu", "pet_suv", "distance_mm"])
def test_a_training_knows_its_images(columns, image):
    def key(given):
        sampler = PatchSampler(given, SEGMENTERS["ct"], tiny_preset(), Scaling(), 0)
        empty = Checkpoint("ct", "demo", Scaling(), {}, "patients")
        lesson = SegmenterLesson(
            steps=1, epoch_steps=1, seed=0, device=torch.device("cpu"), learning_rate=1.0, sampler=sampler,
            empty=empty, initial=None, validation=((), 0),
        )  # fmt: skip
        return fingerprint(*lesson.identity()[1])

    other = replace(columns[0], **{image: getattr(columns[0], image) + 1})
    assert key(columns) == key(list(columns)) != key([other, *columns[1:]])


def test_a_finished_resume_file_gives_its_network_without_a_step(columns, tmp_path):
    path = tmp_path / "run.resume"
    done = quick(columns, resume_path=path)
    seen = []
    assert same(done, quick(columns, resume_path=path, on_progress=seen.append)) and not seen


def test_a_damaged_resume_file_is_named_and_the_training_begins_anew(columns, tmp_path, caplog):
    path = tmp_path / "run.resume"
    path.write_bytes(b"not a file of torch")
    network = quick(columns, resume_path=path)
    assert "run.resume cannot be read" in caplog.text and "begins anew" in caplog.text
    assert same(network, quick(columns))


def test_the_checkpoint_holds_its_record_and_loads_with_weights_only(columns, tmp_path):
    checkpoint = quick(columns[:3], "ef-distal", validation_columns=columns[3:], trained_on="phantom")
    save_checkpoint(tmp_path / "weights.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "weights.pt")
    assert loaded.name == "ef-distal" and loaded.trained_on == "phantom"
    assert loaded.metadata["train_cases"] == ["case0", "case1", "case2"]
    assert loaded.metadata["validation_cases"] == ["case3"]
    assert loaded.metadata["iterations"] == 10 and loaded.metadata["seed"] == 0
    assert loaded.metadata["started_from"] is None and same(loaded, checkpoint)


def test_pet_statistics_are_those_of_the_training_patients(columns):
    scaling = fit_scaling(SEGMENTERS["ef"], columns)
    voxels = np.concatenate([column.pet_suv.ravel() for column in columns]).astype(np.float64)
    assert scaling.pet_mean == pytest.approx(voxels.mean()) and scaling.pet_sd == pytest.approx(voxels.std())
    assert fit_scaling(SEGMENTERS["ct"], columns).pet_mean == 0.0


def test_going_on_from_weights_keeps_their_scaling(columns):
    first = quick(columns[:1], "ef")
    second = quick(columns[1:], "ef", initial=first)
    assert second.scaling == first.scaling and second.metadata["started_from"] is not None
    assert not same(first, second)


def test_going_on_with_a_tiny_learning_rate_stays_near_the_weights(columns):
    first = quick(columns)
    second = quick(columns, initial=first, preset=replace(tiny_preset(), learning_rate=1e-9))
    weights = [name for name in first.state_dict if name.endswith("weight")]
    for name in weights:
        assert torch.allclose(first.state_dict[name], second.state_dict[name], atol=1e-6)


def test_progress_counts_steps_and_looks_at_the_validation_patients(columns):
    seen = []
    quick(columns[:3], iterations=12, validation_columns=columns[3:], validations=1, on_progress=seen.append)
    assert [(p.epoch, p.epochs, p.step, p.steps) for p in seen] == [
        (1, 3, 5, 12),
        (2, 3, 10, 12),
        (3, 3, 12, 12),
    ]
    assert seen[0].validation is None and seen[-1].validation["patients"] == 1
    assert seen[-1].seconds_left == 0.0 and seen[0].seconds_left > 0


def test_the_number_of_threads_is_restored(columns):
    before = torch.get_num_threads()
    quick(columns, iterations=1, threads=1)
    assert torch.get_num_threads() == before


def test_a_loss_that_is_not_a_number_ends_the_training_with_a_hint(columns):
    broken = replace(columns[0], pet_suv=np.full_like(columns[0].pet_suv, np.nan))
    with pytest.raises(ValueError, match="not a number at step 1: lower the learning rate"):
        quick([broken], "ef")


def test_weights_of_another_network_or_preset_are_refused(columns):
    first = quick(columns, iterations=1)
    with pytest.raises(ValueError, match="of ct, not of ef"):
        quick(columns, "ef", initial=first)
    with pytest.raises(ValueError, match="preset demo, not paper"):
        quick(columns, initial=first, preset=replace(tiny_preset(), name="paper"))
    with pytest.raises(ValueError, match="at least 1"):
        quick(columns, iterations=0)


def test_the_filter_of_the_preset_goes_into_the_weights_and_stays_there(columns, tmp_path):
    filtered = [replace(one, prefiltered=True) for one in columns[:2]]
    with_filter = quick(filtered, preset=tiny_preset(prefilter=True), iterations=1)
    save_checkpoint(tmp_path / "a.pt", with_filter)

    again = load_checkpoint(tmp_path / "a.pt")

    assert again.preparation.prefilter and not quick(columns[:2], iterations=1).preparation.prefilter
    with pytest.raises(
        ValueError, match=r"case0, case1 .2 of 2 patients. were resampled with prefilter False"
    ):
        quick(columns[:2], preset=tiny_preset(prefilter=True))
    with pytest.raises(
        ValueError, match="the weights of ct learned from images resampled with prefilter True"
    ):
        quick(columns[:2], initial=again)
