from dataclasses import replace
from pathlib import Path

import pytest

from osln.retraining import unseen
from osln.retraining.seen import cases_seen, unseen_parts
from osln.retraining.settings import Settings
from osln.retraining.unseen import Training, newest_unseen, unseen_versions
from osln.rows.experiments import PRESETS
from osln.store.removals import begin_removal, end_removal
from osln.store.splits import folds, split_of
from osln.weights.model_store import ModelStore
from small.store import untrained
from small.studies import add_case, of_patient, published, stored

DEMO = PRESETS["demo"]


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


def seen(store: ModelStore, version) -> frozenset[str] | None:
    return cases_seen(version, store.versions("ct"))


def test_a_version_has_seen_what_it_and_all_that_it_went_on_from_learned_from(store):
    first = published(store, untrained("ct"), train_cases=["phantom-1", "phantom-2"])
    second = published(store, untrained("ct"), train_cases=["d"], base_version=first.name)
    third = published(store, untrained("ct"), train_cases=["f"], base_version=second.name)
    assert seen(store, first) == {"phantom-1", "phantom-2"}
    assert seen(store, third) == {"phantom-1", "phantom-2", "d", "f"}


def test_a_version_trained_from_scratch_has_not_seen_what_its_predecessor_has(store):
    published(store, untrained("ct"), train_cases=["d"])
    scratch = published(store, untrained("ct"), train_cases=["f"], base_version=None)
    assert seen(store, scratch) == {"f"}


def test_of_a_version_without_record_or_with_a_lost_predecessor_nobody_can_tell(store):
    silent = store.add(untrained("ct"))
    orphan = stored(store, untrained("ct"), train_cases=["f"], base_version="lost")
    assert seen(store, silent) is None and seen(store, orphan) is None


def test_each_patient_gets_the_newest_version_that_has_not_seen_it(store):
    first = published(store, untrained("ct"), train_cases=["phantom-1"])
    second = published(store, untrained("ct"), train_cases=["d"], base_version=first.name)
    third = published(store, untrained("ct"), train_cases=["d", "f"], base_version=second.name)
    found = newest_unseen(store.root, store, "ct", DEMO, ["d", "f", "g", "phantom-1"])
    assert {case: version.name for case, version in found.items()} == {
        "d": first.name,
        "f": second.name,
        "g": third.name,
    }


def test_rejected_and_rolled_back_versions_are_not_asked(store):
    first = published(store, untrained("ct"))
    published(store, untrained("ct"), train_cases=["d"], base_version=first.name)
    stored(store, untrained("ct"), train_cases=["f"], base_version=first.name)
    assert newest_unseen(store.root, store, "ct", DEMO, ["d"])["d"].name == first.name
    store.rollback("ct")
    assert newest_unseen(store.root, store, "ct", DEMO, ["g"])["g"].name == first.name


def test_the_version_in_use_is_asked_even_if_there_are_newer_ones(store):
    first = published(store, untrained("ct"), train_cases=["f"])
    published(store, untrained("ct"), train_cases=["d"])
    store.publish("ct", first.name)
    assert newest_unseen(store.root, store, "ct", DEMO, ["g"])["g"].name == first.name


def test_a_version_trained_without_a_patient_serves_that_patient_alone(store):
    whole = published(store, untrained("ct"), train_cases=["d", "f"])
    without = stored(store, untrained("ct"), train_cases=["f"], left_out=["d"])
    found = newest_unseen(store.root, store, "ct", DEMO, ["d", "f", "g"])
    assert {case: version.name for case, version in found.items()} == {"d": without.name, "g": whole.name}


def test_a_version_whose_file_is_lost_is_passed_over_and_told(store, caplog):
    first = published(store, untrained("ct"), train_cases=[])
    second = published(store, untrained("ct"), train_cases=["f"], base_version=first.name)
    third = published(store, untrained("ct"), train_cases=["d"], base_version=second.name)
    second.path.unlink()
    found = newest_unseen(store.root, store, "ct", DEMO, ["d", "g"])
    assert {case: version.name for case, version in found.items()} == {"d": first.name, "g": third.name}
    assert f"{second.path.name} of ct is not asked about d: it is missing" in caplog.text
    # What is in use has its own refusal.
    third.path.unlink()
    assert newest_unseen(store.root, store, "ct", DEMO, ["g"])["g"].name == third.name


def test_versions_of_another_size_are_not_asked(store):
    published(store, untrained("ct"), preset="paper")
    assert newest_unseen(store.root, store, "ct", DEMO, ["d"]) == {}


def test_versions_of_a_preset_that_newer_software_has_are_passed_over(store):
    first = published(store, untrained("ct"))
    stored(store, untrained("ct"), preset="of-tomorrow")
    assert newest_unseen(store.root, store, "ct", DEMO, ["d"])["d"].name == first.name


def test_folds_part_the_cases_alike_in_whatever_order_they_come():
    cases = [f"case-{number}" for number in range(10)]
    parts = folds("nowhere", cases)
    assert sorted(len(part) for part in parts) == [2, 2, 3, 3]
    assert sorted(case for part in parts for case in part) == cases
    assert folds("nowhere", reversed(cases)) == parts
    assert len(folds("nowhere", ["d", "f"])) == 2 and folds("nowhere", []) == []


@pytest.fixture
def cohort(tmp_path, store, monkeypatch):
    """Three training patients whom the only version of a network has seen; "trained" lists the trainings."""
    root = tmp_path / "studies"
    for case in "dfg":
        add_case(root, case)
    whole = published(store, untrained("ct"), train_cases=["d", "f", "g"])
    calls: list[list[str]] = []

    def train(segmenter, preset, columns, *, resume_path, trained_on, **options):
        calls.append([column.case for column in columns])
        Path(resume_path).parent.mkdir(parents=True, exist_ok=True)
        Path(resume_path).write_text("state")
        if len(calls) == getattr(train, "interrupted_at", 0):
            raise KeyboardInterrupt
        metadata = {"train_cases": calls[-1], "preset": preset.name}
        return replace(untrained(segmenter.name), metadata=metadata, trained_on=trained_on)

    monkeypatch.setattr(unseen, "train", train)
    said: list[str] = []
    training = Training(root, ["d", "f", "g"], Settings(on_step=said.append))
    return {"train": train, "trained": calls, "training": training, "said": said, "whole": whole}


def test_where_every_version_has_seen_the_patients_some_are_trained_without_them(store, cohort):
    found, skipped = unseen_versions(store, ["ct"], DEMO, cohort["training"])
    assert not skipped and set(found) == {"d", "f", "g"}
    for case, versions in found.items():
        assert versions["ct"].metadata["left_out"] == [case]
        assert case not in versions["ct"].metadata["train_cases"]
        assert versions["ct"].trained_on == "2 approved patients"
    assert sorted(cohort["trained"]) == [["d", "f"], ["d", "g"], ["f", "g"]]
    assert store.published("ct").name == cohort["whole"].name
    assert len(cohort["said"]) == 3 and cohort["said"][0].endswith("(1 of 3)")
    assert not list((store.root / "training").iterdir())


def test_they_have_the_size_of_the_network_in_use(store, cohort):
    published(store, untrained("ct", preset="wide"), train_cases=["d", "f", "g"])
    found, _ = unseen_versions(store, ["ct"], DEMO, cohort["training"])
    assert {one["ct"].metadata["preset"] for one in found.values()} == {"wide"}


def test_they_are_trained_once(store, cohort):
    unseen_versions(store, ["ct"], DEMO, cohort["training"])
    unseen_versions(store, ["ct"], DEMO, cohort["training"])
    assert len(cohort["trained"]) == 3


def test_an_interrupted_call_keeps_what_was_trained_and_the_state_of_the_rest(store, cohort):
    cohort["train"].interrupted_at = 2
    with pytest.raises(KeyboardInterrupt):
        unseen_versions(store, ["ct"], DEMO, cohort["training"])
    assert (store.root / "training" / "ct-left-out.resume").is_file()
    cohort["train"].interrupted_at = 0
    found, _ = unseen_versions(store, ["ct"], DEMO, cohort["training"])
    assert set(found) == {"d", "f", "g"}
    first, broken, again, last = cohort["trained"]
    assert broken == again and len({tuple(first), tuple(again), tuple(last)}) == 3


def test_the_only_patient_cannot_be_left_out_and_the_way_is_told(store, cohort):
    alone = replace(cohort["training"], cases=["d"])
    found, skipped = unseen_versions(store, ["ct"], DEMO, alone)
    assert found == {} and "approve further cases" in skipped["d"] and cohort["trained"] == []


def test_a_network_without_weights_is_an_error_in_words(store, cohort):
    with pytest.raises(ValueError, match="no weights for ef"):
        unseen_versions(store, ["ct", "ef"], DEMO, cohort["training"])


def test_what_has_seen_another_case_of_the_patient_has_seen_the_patient(tmp_path, store):
    root = tmp_path / "studies"
    of_patient(root, "P1", "d", "h")
    first = published(store, untrained("ct"), train_cases=[])
    used = published(store, untrained("ct"), train_cases=["d"], base_version=first.name)
    found = newest_unseen(root, store, "ct", DEMO, ["d", "h", "f"])
    assert {case: one.name for case, one in found.items()} == {
        "d": first.name, "h": first.name, "f": used.name,
    }  # fmt: skip
    assert unseen_parts(root, used, store.versions("ct"), ["d", "h", "f"]) == [(used, ["f"])]


def test_what_has_seen_the_ct_under_another_id_has_seen_the_patient(tmp_path, store):
    root = tmp_path / "studies"
    root.mkdir()
    for case, content in {"d": b"1", "x": b"1", "f": b"2"}.items():
        (root / f"{case}.nii.gz").write_bytes(content)
    used = published(store, untrained("ct"), train_cases=["d"])
    assert set(newest_unseen(root, store, "ct", DEMO, ["x", "f"])) == {"f"}
    assert unseen_parts(root, used, store.versions("ct"), ["d", "x", "f"]) == [(used, ["f"])]


def test_a_new_case_is_judged_by_what_was_trained_without_its_patient(tmp_path, store):
    root = tmp_path / "studies"
    of_patient(root, "P1", "d", "h")
    used = published(store, untrained("ct"), train_cases=["d", "f"])
    stands = [
        stored(store, untrained("ct"), train_cases=[other], left_out=[one], stands_for=used.name)
        for one, other in (("d", "f"), ("f", "d"))
    ]
    parts = unseen_parts(root, used, store.versions("ct"), ["d", "f", "h"])
    assert [(one.name, part) for one, part in parts] == [
        (stands[0].name, ["d", "h"]),
        (stands[1].name, ["f"]),
    ]
    # Former software left out one case of a patient and learned from the other one: nobody stands for that.
    of_patient(root, "P1", "f")
    assert [part for _, part in unseen_parts(root, used, store.versions("ct"), ["d", "f"])] == [[], []]


def test_a_case_that_is_removed_meanwhile_does_not_end_the_trainings(store, cohort, monkeypatch):
    training = replace(cohort["training"], phantoms={"g"})
    learn = unseen.train

    def removing(*given, **options):
        for path in training.root.rglob("g.nii.gz"):
            path.unlink()
        return learn(*given, **options)

    monkeypatch.setattr(unseen, "train", removing)
    found, skipped = unseen_versions(store, ["ct"], DEMO, training)
    assert not skipped and found["d"]["ct"].trained_on == "1 approved patient and 1 phantom"


def test_who_has_seen_a_patient_is_known_when_the_case_is_gone_and_its_id_given_to_another(tmp_path, store):
    root = tmp_path / "studies"
    add_case(root, "d")
    split_of(root, "d")
    ct = (root / "d.nii.gz").read_bytes()
    version = published(store, untrained("ct"), train_cases=["d"])
    end_removal(root, "d", begin_removal(root, "d", root / "d.nii.gz"))
    add_case(root, "z")
    (root / "z.nii.gz").write_bytes(ct)
    add_case(root, "y")
    assert newest_unseen(root, store, "ct", DEMO, "yz") == {"y": version}
    (root / "d.nii.gz").write_bytes((root / "y.nii.gz").read_bytes()[:-1])
    split_of(root, "d")
    assert newest_unseen(root, store, "ct", DEMO, "yz") == {"y": version}
