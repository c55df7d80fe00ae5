"""Cases through a pipeline: label maps on the CT's own voxels, failures, and what is done again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from osln import published
from osln.output import running, scores
from osln.output.scores import write_scores
from small import store as small_store
from small.geometry import affine_of, turned

LPS = small_store.AFFINE_LPS
SAGITTAL = LPS[:, [1, 2, 0, 3]]
"""Voxels stored along y, then z, then x."""
OBLIQUE = affine_of(turned(20, 12) @ np.diag([-2.5, -2.5, 3.0]), (60.0, 50.0, -30.0))
ORDERS = {"LPS": (LPS, (0, 1, 2)), "sagittal": (SAGITTAL, (1, 2, 0)), "oblique": (OBLIQUE, (0, 1, 2))}


def write_image(path, array, affine):
    if path.name.endswith(".nrrd"):
        nifti = path.with_name("beside.nii")
        small_store.write(nifti, array, affine)
        sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path))
        nifti.unlink()
    else:
        small_store.write(path, array, affine)
    return path


def voxels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
def test_the_label_map_lies_on_the_ct_voxel_by_voxel(tmp_path, bright, suffix, order):
    affine, axes = ORDERS[order]
    hu = small_store.ct().transpose(axes)
    ct = write_image(tmp_path / f"one{suffix}", hu, affine)
    tumor = write_image(tmp_path / f"tumor{suffix}", small_store.tumor().transpose(axes), affine)
    out = tmp_path / "out"
    [outcome] = bright([ct, "-", tumor], out, "ct-stratified", extension=suffix)
    assert (outcome.state, outcome.kept) == (running.DONE, 1)
    np.testing.assert_array_equal(voxels(out / f"one{suffix}"), (hu > 100).astype(np.uint8))
    written, original = (sitk.ReadImage(str(folder / f"one{suffix}")) for folder in (out, tmp_path))
    np.testing.assert_allclose(written.GetOrigin(), original.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(written.GetDirection(), original.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(written.GetSpacing(), original.GetSpacing(), atol=1e-5)


def test_the_json_says_what_was_found_with_which_weights_and_that_it_is_no_diagnosis(tmp_path, bright):
    small_store.make_case(tmp_path / "store", "p1")
    bright([tmp_path / "store"], tmp_path / "out")
    told = json.loads((tmp_path / "out" / "p1.json").read_text())
    [candidate] = told["candidates"]
    assert candidate["volume_mm3"] == pytest.approx(24 * 18.75)
    assert candidate["suv_max"] == pytest.approx(1.0) and candidate["zone"] == "proximal"
    assert told["models"]["ct"]["trained_on"] == "phantom" and len(told["models"]["ct"]["sha256"]) == 64
    assert "not for clinical use" in told["note"]
    assert (told["case"], told["model"], told["files"]) == ("p1", "ct", ["p1.nii.gz"])


def test_a_case_without_pet_is_done_by_rows_that_need_none_and_refused_by_others(tmp_path, bright):
    small_store.make_case(tmp_path / "store", "bare", pet=False, gtv=False)
    small_store.make_case(tmp_path / "store", "whole")
    bare, whole = bright([tmp_path / "store"], tmp_path / "out")
    assert (bare.state, whole.state) == (running.DONE, running.DONE)
    bare, whole = bright([tmp_path / "store"], tmp_path / "stratified", "ct-stratified")
    assert (bare.state, whole.state) == (running.FAILED, running.DONE)
    assert "has no tumor contour" in bare.reason and "use ct (CT alone)" in bare.reason


def test_a_broken_case_is_told_in_a_sentence_and_the_others_are_done(tmp_path, bright):
    store = tmp_path / "store"
    for name in ("a", "c"):
        small_store.make_case(store, name)
    (store / "b.nii.gz").write_bytes(b"no image")
    outcomes = bright([store], tmp_path / "out")
    assert [(one.case, one.state) for one in outcomes] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert "cannot be read as an image" in outcomes[1].sentence and "\n" not in outcomes[1].sentence
    failure = json.loads((tmp_path / "out" / "b.failed.json").read_text())
    assert failure == {"case": "b", "failed": outcomes[1].reason, "files": []}
    small_store.make_case(store, "b")
    assert [one.state for one in bright([store], tmp_path / "out")] == ["present", "done", "present"]
    assert not (tmp_path / "out" / "b.failed.json").exists()


def test_an_accident_inside_a_case_is_told_with_its_kind_and_stops_no_other(tmp_path, bright, monkeypatch):
    for name in ("a", "b"):
        small_store.make_case(tmp_path / "store", name)
    detect = running.Pipeline.detect

    def fail(self, study):
        if study.case == "a":
            raise RuntimeError("out of luck")
        return detect(self, study)

    monkeypatch.setattr(running.Pipeline, "detect", fail)
    first, second = bright([tmp_path / "store"], tmp_path / "out")
    assert first.reason == "RuntimeError: out of luck" and second.state == running.DONE


def test_a_finished_case_is_left_alone_until_images_weights_or_options_change(
    tmp_path, bright, bright_models
):
    store, out = tmp_path / "store", tmp_path / "out"
    small_store.make_case(store, "p1")

    def state(**options):
        return bright([store], out, **options)[0].state

    assert state() == "done" and state() == "present"
    before = (out / "p1.nii.gz").stat().st_mtime_ns
    assert state() == "present" and (out / "p1.nii.gz").stat().st_mtime_ns == before
    assert state(overwrite=True) == "done"
    assert state(extension=".nrrd") == "done" and state(extension=".nrrd") == "present"
    assert json.loads((out / "p1.json").read_text())["files"] == ["p1.nii.gz", "p1.nrrd"]
    small_store.make_case(store, "p1", faint=True)
    assert state() == "failed" and state(overwrite=True) == "done" and state() == "present"
    assert not (out / "p1.nrrd").exists()
    models = tmp_path / "models"
    small_store.publish(models, ["ct"], seed=1)
    assert state(models=models) == "done"


def test_a_finished_case_is_done_again_by_other_code(tmp_path, bright, monkeypatch):
    small_store.make_case(tmp_path / "store", "p1")
    bright([tmp_path / "store"], tmp_path / "out")
    monkeypatch.setattr("osln.output.writing.code_key", lambda parts: "another")
    assert [bright([tmp_path / "store"], tmp_path / "out")[0].state for _ in range(2)] == ["done", "present"]


def test_a_run_that_is_stopped_in_the_middle_leaves_a_case_that_is_not_finished(
    tmp_path, bright, monkeypatch
):
    small_store.make_case(tmp_path / "store", "p1")
    out = tmp_path / "out"
    bright([tmp_path / "store"], out)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("osln.output.writing.write_label_map", stopped)
        with pytest.raises(KeyboardInterrupt):
            bright([tmp_path / "store"], out, overwrite=True)
    assert not (out / "p1.json").exists()
    assert bright([tmp_path / "store"], out)[0].state == "done"
    assert sorted(path.name for path in out.iterdir()) == ["p1.json", "p1.nii.gz"]


def test_files_of_a_result_of_other_origin_do_not_stay_beside_the_new_one(tmp_path, bright):
    store, out = tmp_path / "store", tmp_path / "out"
    small_store.make_case(store, "p1")
    bright([store], out, pictures=True)
    (out / "mine.png").write_bytes(b"a picture of somebody else's")
    small_store.make_case(store, "p1", faint=True)
    bright([store], out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["mine.png", "p1.json", "p1.nii.gz"]


def test_networks_are_loaded_once_for_all_cases(tmp_path, bright, monkeypatch):
    for name in ("a", "b", "c"):
        small_store.make_case(tmp_path / "store", name)
    made = []
    stand_in = published.Predictor
    monkeypatch.setattr(published, "Predictor", lambda *given: made.append(1) or stand_in(*given))
    bright([tmp_path / "store"], tmp_path / "out")
    assert made == [1]


def test_files_of_the_user_are_as_before(tmp_path, bright):
    store = tmp_path / "store"
    small_store.make_case(store, "p1")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    bright([store], tmp_path / "out", pictures=True)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_an_outcome_says_the_same_in_words():
    done = running.Outcome("p1", "done", candidates=7, kept=5, seconds=3.21)
    assert done.sentence == "p1: 5 of 7 candidates kept in 3.2 s"
    assert replace(done, state="failed", reason="no CT").sentence == "p1: failed: no CT"
    assert "done before" in replace(done, state="present").sentence


def test_the_result_of_another_ct_of_the_same_name_is_replaced_only_when_asked_to(tmp_path, bright):
    out = tmp_path / "out"
    for person, hu in (("alice", small_store.ct()), ("bob", np.flip(small_store.ct(), 0).copy())):
        (tmp_path / person).mkdir()
        small_store.write(tmp_path / person / "ct.nii.gz", hu)
    [first] = bright([tmp_path / "alice" / "ct.nii.gz"], out)
    before = (out / "ct.nii.gz").read_bytes()
    [other] = bright([tmp_path / "bob" / "ct.nii.gz"], out)
    assert (first.state, other.state) == ("done", "failed")
    assert "the result of another CT that is called ct too" in other.reason
    assert (out / "ct.nii.gz").read_bytes() == before and json.loads((out / "ct.json").read_text())[
        "candidates"
    ]
    # The refusal is no failure of the result that is there.
    [again] = bright([tmp_path / "alice" / "ct.nii.gz"], out)
    assert again.state == "present" and not (out / "ct.failed.json").exists()
    [replaced] = bright([tmp_path / "bob" / "ct.nii.gz"], out, overwrite=True)
    assert replaced.state == "done" and (out / "ct.nii.gz").read_bytes() != before


def test_a_file_that_is_not_of_a_run_is_never_replaced(tmp_path, bright):
    small_store.make_case(tmp_path / "store", "p1")
    out = tmp_path / "out"
    out.mkdir()
    (out / "p1.nii.gz").write_bytes(b"drawn by hand")
    for overwrite in (False, True):
        [outcome] = bright([tmp_path / "store"], out, overwrite=overwrite)
        assert outcome.state == "failed" and "p1.nii.gz in" in outcome.reason
        assert "was not written by this command" in outcome.reason
    assert (out / "p1.nii.gz").read_bytes() == b"drawn by hand"
    (out / "p1.nii.gz").unlink()
    (out / "p1.json").write_text('{"EchoTime": 1, "made_from": "a recipe"}')
    [outcome] = bright([tmp_path / "store"], out)
    assert outcome.state == "failed" and "p1.json in" in outcome.reason
    assert "EchoTime" in (out / "p1.json").read_text()
    (out / "p1.json").unlink()
    (out / "p1.failed.json").write_text("[]")
    [outcome] = bright([tmp_path / "store"], out)
    assert outcome.state == "failed" and "p1.failed.json in" in outcome.reason
    assert (out / "p1.failed.json").read_text() == "[]"


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("p1.failed", "p1.failed.json, where is written why the case p1 has no result"),
        ("P1.FAILED", "P1.FAILED.json, where is written why the case P1 has no result"),
        ("scores", "scores.json, where the scores of all cases lie"),
    ],
)
def test_a_name_whose_result_would_be_a_file_of_the_command_is_refused(tmp_path, bright, name, why, every):
    small_store.make_case(tmp_path / "store", name)
    out = tmp_path / "out"
    [outcome] = bright([tmp_path / "store"], out, every=every)
    assert (outcome.state, outcome.reason) == (
        "failed",
        f"its result would be the file {why}: call the case otherwise",
    )
    assert [path.name for path in out.iterdir()] == [f"{name}.failed.json"]


def test_the_result_of_a_former_version_that_is_called_as_a_failure_stays(tmp_path, bright):
    small_store.make_case(tmp_path / "store", "p1")
    out = tmp_path / "out"
    bright([tmp_path / "store"], out)
    former = out / "p1.failed.json"
    former.write_text(json.dumps({"case": "p1.failed", "made_from": {}, "files": ["p1.failed.nii.gz"]}))
    (out / "p1.failed.nii.gz").write_bytes(b"former")
    assert [one.state for one in bright([tmp_path / "store"], out)] == ["present"]
    assert scores.result_scores(out).keys() == {"p1", "p1.failed"}
    [outcome] = bright([tmp_path / "store"], out, with_rejected=True)
    assert outcome.state == "failed" and "p1.failed.json in" in outcome.reason
    assert json.loads(former.read_text())["case"] == "p1.failed" and (out / "p1.failed.nii.gz").exists()


def test_a_case_that_failed_has_no_scores_of_an_earlier_run(tmp_path, bright):
    for name in ("a", "b"):
        small_store.make_case(tmp_path / "store", name)
    out = tmp_path / "out"
    bright([tmp_path / "store"], out, every=True)
    assert set(json.loads((out / "scores.json").read_text())) == {"a", "b"}
    (tmp_path / "store" / "b.nii.gz").write_bytes(b"no image")
    bright([tmp_path / "store"], out, every=True)
    assert set(json.loads((out / "scores.json").read_text())) == {"a"} and (out / "b.nii.gz").is_file()
    (tmp_path / "store" / "a.nii.gz").write_bytes(b"no image")
    bright([tmp_path / "store"], out, every=True)
    assert not (out / "scores.json").exists()
    for name in ("a", "b"):
        small_store.make_case(tmp_path / "store", name)
    assert [one.state for one in bright([tmp_path / "store"], out, every=True)] == ["present", "present"]
    assert set(json.loads((out / "scores.json").read_text())) == {"a", "b"}


def test_a_run_that_is_stopped_leaves_the_scores_of_what_it_has_done(tmp_path, bright, monkeypatch):
    for name in ("a", "b", "c"):
        small_store.make_case(tmp_path / "store", name)
    out = tmp_path / "out"
    run_case = running._run_case

    def stopped(case, *arguments, **options):
        if case.name == "c":
            raise KeyboardInterrupt
        return run_case(case, *arguments, **options)

    monkeypatch.setattr(running, "_run_case", stopped)
    with pytest.raises(KeyboardInterrupt):
        bright([tmp_path / "store"], out, every=True)
    assert set(json.loads((out / "scores.json").read_text())) == {"a", "b"}
    # The results say what a file that is gone or older does not; one of another kind says that it has none.
    (out / "scores.json").unlink()
    (out / "z.json").write_text(json.dumps({"case": "z", "made_from": {}, "files": ["z.nii.gz"]}))
    [score] = [one["score"] for one in json.loads((out / "a.json").read_text())["candidates"]]
    assert scores.result_scores(out) == {"a": {1: score}, "b": {1: score}, "z": None}
    (out / "a.json").write_text((out / "a.json").read_text().replace(f'"score": {score}', '"score": 0.125'))
    assert scores.result_scores(out)["a"] == {1: 0.125}


def test_scores_of_parts_that_end_together_are_all_there(tmp_path, monkeypatch):
    def finish(case):
        content = {"case": case, "made_from": {}, "files": ["scores.json"], "drawn": [1]}
        candidates = [{"id": 1, "score": 0.5}]
        (tmp_path / f"{case}.json").write_text(json.dumps({**content, "candidates": candidates}))

    write_json = scores.write_json

    def slow(path, content):
        if not (tmp_path / "b.json").exists():
            # Another part ends between reading and writing.
            finish("b")
            write_scores(tmp_path)
        write_json(path, content)

    finish("a")
    monkeypatch.setattr(scores, "write_json", slow)
    write_scores(tmp_path)
    assert set(json.loads((tmp_path / "scores.json").read_text())) == {"a", "b"}
