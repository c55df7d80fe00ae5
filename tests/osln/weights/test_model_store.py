"""Versions of weights: nothing untrained or changed is ever run, publishing is atomic, rollback works."""

import json
import threading
import time
from dataclasses import replace
from datetime import datetime

import pytest
import torch
from filelock import Timeout

from osln.imaging.transforms import Scaling
from osln.networks.unet3d import UNet3D
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.weights import model_store as weights
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import BusyError, ModelStore, ReplacedError
from osln.weights.shipped import ship_fusions, write_shipped
from small.store import untrained

FITTED = {"all": {"offset": -1.0, "streams": {"ct": 0.5}, "distance": 0.0}}


def checkpoint(name="ct", bias=0.0) -> Checkpoint:
    """A network that is told from others by its last bias."""
    network = UNet3D(len(SEGMENTERS[name].inputs), PRESETS["demo"].widths, output_bias=bias)
    return Checkpoint(name, "demo", Scaling(), network.state_dict(), "phantom", {"seed": 1})


def bias_in_use(store: ModelStore, name="ct") -> float:
    return float(store.load(name).state_dict["output.bias"])


@pytest.fixture
def store(tmp_path) -> ModelStore:
    """A store with shipped weights of `ct`, bias -1."""
    write_shipped(
        tmp_path / "shipped",
        {"ct": checkpoint(bias=-1)},
        {"ct": {"0.15": 0.31, "0.3": 0.62}},
        tagger=None,
        command="./scripts/osln train",
    )
    return ModelStore(tmp_path)


def test_a_network_without_weights_is_an_error_that_says_what_to_do(tmp_path):
    store = ModelStore(tmp_path / "none")

    assert store.published("ct-distal") is None and store.versions("ct-distal") == []
    with pytest.raises(
        ValueError, match=r"no weights for ct-distal: train it \(.*\) or put them at .*shipped"
    ):
        store.load("ct-distal")
    assert not (tmp_path / "none").exists()


def test_unknown_networks_are_refused(store):
    with pytest.raises(ValueError, match="unknown network 'mr': expected one of ct-proximal, ct-distal"):
        store.versions("mr")
    with pytest.raises(ValueError, match=r"unknown network '\.\./x'"):
        store.published("../x")


def test_the_shipped_weights_are_in_use_until_others_are_published(store):
    version = store.published("ct")

    assert (version.name, version.trained_on) == ("shipped", "phantom")
    assert bias_in_use(store) == -1
    manifest = json.loads((store.root / "shipped" / "manifest.json").read_text())
    assert manifest["not_for_clinical_use"] is True
    assert manifest["networks"]["ct"]["sha256"] == version.sha256


def test_a_stored_version_is_used_only_when_it_is_published(store):
    added = store.add(checkpoint(bias=2), metric=0.4567)

    assert added.name.endswith("-0.457") and added.metadata["metric"] == 0.4567
    assert added.metadata["seed"] == 1 and added.metadata["created"].endswith("+00:00")
    assert store.published("ct").name == "shipped"
    assert float(store.load("ct", added).state_dict["output.bias"]) == 2

    assert store.publish("ct", added.name) == added
    assert bias_in_use(store) == 2 and store.published("ct") == added


def test_versions_are_listed_from_the_shipped_one_to_the_latest(store):
    first, second = store.add(checkpoint(bias=1)), store.add(checkpoint(bias=2))

    assert store.versions("ct") == [store.published("ct"), first, second]
    assert store.versions("ef") == []


def test_rollback_goes_back_one_version_at_a_time_down_to_the_shipped_one(store):
    for bias in (1, 2):
        store.publish("ct", store.add(checkpoint(bias=bias)).name)

    seen = [bias_in_use(store)]
    for _ in range(2):
        version = store.rollback("ct")
        assert version == store.published("ct")
        seen.append(bias_in_use(store))

    assert seen == [2, 1, -1]
    with pytest.raises(ValueError, match="ct has no earlier version to roll back to"):
        store.rollback("ct")
    assert len(store.versions("ct")) == 3


def test_rollback_passes_over_what_is_missing_or_was_changed_and_says_so(store):
    first, second, third, _ = (store.publish("ct", store.add(checkpoint(bias=n)).name) for n in range(4))
    third.path.write_bytes(b"x")
    second.path.with_suffix(".json").unlink()
    told = []
    assert store.former("ct") == third, "read whole only where it is put into use"
    assert store.rollback("ct", told.append) == first and bias_in_use(store) == 0
    (sentence,) = told
    assert f"{second.name}, {third.name} is missing or was changed" in sentence
    assert store.rollback("ct", told.append).name == "shipped" and len(told) == 1


def test_without_anything_whole_to_go_back_to_nothing_changes(tmp_path):
    store = ModelStore(tmp_path)
    first, last = (store.publish("ef", store.add(checkpoint("ef", bias=n)).name) for n in range(2))
    first.path.unlink()
    with pytest.raises(ValueError, match=f"no earlier version to roll back to; .* {first.name} is missing"):
        store.rollback("ef")
    assert store.published("ef") == last and store.former("ef") is None


def test_without_shipped_weights_the_first_version_cannot_be_rolled_back(tmp_path):
    store = ModelStore(tmp_path)
    store.publish("ef", store.add(checkpoint("ef", bias=1)).name)

    with pytest.raises(ValueError, match="ef has no earlier version"):
        store.rollback("ef")
    assert bias_in_use(store, "ef") == 1


def test_publishing_twice_is_publishing_once_and_the_shipped_one_can_return(store):
    added = store.add(checkpoint(bias=1))
    store.publish("ct", added.name)
    store.publish("ct", added.name)

    assert store.publish("ct", "shipped").name == "shipped"
    assert bias_in_use(store) == -1
    assert store.rollback("ct") == added
    assert store.rollback("ct").name == "shipped"


def test_versions_that_do_not_exist_are_refused_with_those_that_do(store):
    added = store.add(checkpoint())

    with pytest.raises(ValueError, match=f"ct has no version 'best'; known: shipped, {added.name}"):
        store.publish("ct", "best")
    with pytest.raises(ValueError, match=r"ef has no version '\.\./ct/x'; known: none"):
        store.publish("ef", "../ct/x")


def test_weights_that_were_changed_after_they_were_stored_are_not_run(store):
    added = store.add(checkpoint(bias=1))
    data = bytearray(added.path.read_bytes())
    data[len(data) // 2] ^= 1
    added.path.write_bytes(bytes(data))

    with pytest.raises(
        ValueError, match=r"of ct are missing or were changed after they were stored; restore that file"
    ):
        store.publish("ct", added.name)
    assert store.published("ct").name == "shipped"
    (store.root / "shipped" / "ct.pt").unlink()
    with pytest.raises(ValueError, match=r"ct\.pt of ct are missing or were changed"):
        store.load("ct")


def test_a_published_version_that_was_deleted_is_not_replaced_in_silence(store):
    added = store.add(checkpoint(bias=1))
    store.publish("ct", added.name)
    added.path.unlink()
    added.path.with_suffix(".json").unlink()

    with pytest.raises(
        ValueError, match=f"the published version {added.name} of ct is gone from .*roll back"
    ):
        store.load("ct")
    assert store.rollback("ct").name == "shipped" and bias_in_use(store) == -1


@pytest.mark.parametrize("gone", [".pt", ".json"])
def test_what_is_advised_where_the_version_in_use_is_lost_can_be_done(tmp_path, gone):
    store = ModelStore(tmp_path)
    scratch = "train from scratch (./scripts/osln train --store STORE --model ct --from-scratch)"
    first = store.publish("ct", store.add(checkpoint(bias=1)).name)
    first.path.with_suffix(gone).unlink()
    store.add(replace(checkpoint(bias=7), metadata={"left_out": ["d"]}))

    def advice() -> str:
        with pytest.raises(ValueError, match=f"{first.name}.* of ct") as raised:
            store.load("ct")
        return str(raised.value).split("; ", 1)[1]

    assert advice() == f"restore its files, or {scratch}"
    other = store.add(checkpoint(bias=2))
    by_hand = f"publish another version (./scripts/osln models publish ct {other.name})"
    assert advice() == f"restore its files, or {by_hand}, or {scratch}"
    store.publish("ct", other.name)
    assert store.lost("ct") == "" and bias_in_use(store) == 2
    store.check_in_use("ct")

    first.path.with_suffix(gone).write_text("half")
    other.path.unlink()
    with pytest.raises(ValueError, match="; restore its files, or train from scratch"):
        store.check_in_use("ct")
    store.publish("ct", store.add(checkpoint(bias=3)).name)
    third = store.publish("ct", store.add(checkpoint(bias=4)).name)
    third.path.unlink()
    with pytest.raises(ValueError, match=r"or roll back \(./scripts/osln models rollback ct\), or train"):
        store.check_in_use("ct")
    store.rollback("ct")
    assert bias_in_use(store) == 3


def test_nothing_in_use_is_not_a_lost_version(tmp_path):
    ModelStore(tmp_path).check_in_use("ct")
    assert ModelStore(tmp_path).lost("ct") == ""


def test_a_publication_that_was_decided_on_something_else_is_refused_inside_the_lock(store):
    added, at = store.add(checkpoint(bias=1)), []

    def replaced() -> str:
        with pytest.raises(Timeout):
            store._lock().acquire(timeout=0)
        at.append(store.published("ct").name)
        return "meanwhile"

    with pytest.raises(ReplacedError, match=r"^meanwhile$"):
        store.publish("ct", added.name, unless=replaced)
    assert at == ["shipped"] and store.published("ct").name == "shipped"


def test_weights_of_another_network_under_this_name_are_refused(store):
    other = store.add(checkpoint("ct-distal"))

    with pytest.raises(ValueError, match="holds weights of ct-distal, not of ct"):
        store.load("ct", other)


def test_weights_that_do_not_fit_their_network_are_not_stored(store):
    broken = dict(checkpoint().state_dict)
    broken["output.bias"] = torch.zeros(2)

    with pytest.raises(ValueError, match="not weights of ct"):
        store.add(replace(checkpoint(), state_dict=broken))
    assert [version.name for version in store.versions("ct")] == ["shipped"]


def test_a_metric_that_is_no_number_is_left_out_of_name_and_manifest(store):
    added = store.add(checkpoint(), metric=float("nan"))

    assert "nan" not in added.name and added.metadata["metric"] is None
    assert "NaN" not in added.path.with_suffix(".json").read_text()


def test_operating_points_are_ones_own_then_the_shipped_then_none(store):
    assert store.thresholds("ct") == {"0.15": 0.31, "0.3": 0.62}
    assert store.thresholds("osln") == {}

    store.set_thresholds("ct", {"0.15": 0.4})
    store.set_thresholds("osln", {"0.15": 0.2})

    assert store.thresholds("ct") == {"0.15": 0.4}
    assert ModelStore(store.root).thresholds("osln") == {"0.15": 0.2}


def test_two_publications_at_once_are_both_kept(store, monkeypatch):
    names = {name: store.add(checkpoint(name)).name for name in ("ct", "ct-distal")}
    really = weights.as_json

    def slowly(value):
        # Long enough for the other thread to read the old state, if nothing held it back.
        time.sleep(0.2)
        return really(value)

    monkeypatch.setattr(weights, "as_json", slowly)
    threads = [threading.Thread(target=ModelStore(store.root).publish, args=each) for each in names.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {name: store.published(name).name for name in names} == names


def test_publishing_from_two_threads_loses_nothing_and_no_reader_sees_half_a_file(store):
    names = {bias: store.add(checkpoint(bias=bias)).name for bias in (1, 2)}
    distal = store.add(checkpoint("ct-distal", bias=3)).name
    failures: list[BaseException] = []
    done = threading.Event()

    def publish(bias: int) -> None:
        own = ModelStore(store.root)
        own.publish("ct-distal", distal)
        for _ in range(3):
            own.publish("ct", names[bias])
            own.set_thresholds(f"row-{bias}", {"0.15": bias / 10})

    def read() -> None:
        own = ModelStore(store.root)
        while not done.wait(0.002):
            assert own.published("ct") is not None

    def watched(work, *given) -> None:
        try:
            work(*given)
        except BaseException as failure:
            failures.append(failure)

    writers = [threading.Thread(target=watched, args=(publish, bias)) for bias in (1, 2)]
    reader = threading.Thread(target=watched, args=(read,))
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()

    assert not failures
    assert store.published("ct").name in names.values() and store.published("ct-distal").name == distal
    assert store.thresholds("row-1") == {"0.15": 0.1} and store.thresholds("row-2") == {"0.15": 0.2}
    history = json.loads((store.root / "published.json").read_text())["published"]["ct"]
    assert set(history) == set(names.values())
    assert not [path for path in store.root.iterdir() if path.name.startswith(".published.json")]


def test_two_trainings_that_end_at_once_are_two_versions(store):
    added = []
    threads = [
        threading.Thread(target=lambda: added.append(store.add(checkpoint(), metric=0.5))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({version.path for version in added}) == 4
    assert len(store.versions("ct")) == 5


def test_a_training_waits_for_one_that_was_stopped_and_is_about_to_end(store, tmp_path):
    entered = threading.Event()

    def ending():
        with ModelStore(tmp_path).training("ct"):
            entered.set()
            time.sleep(0.3)

    thread = threading.Thread(target=ending)
    thread.start()
    entered.wait()
    with store.training("ct"):
        assert not thread.is_alive() or thread.join() is None


def test_a_second_training_of_a_network_on_one_store_is_refused_in_words(store, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "END_SECONDS", 0.1)
    with store.training("ct"), store.training("ct"):
        told = []

        def other():
            try:
                with ModelStore(tmp_path).training("ct"):
                    told.append("trains too")
            except BusyError as error:
                told.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with ModelStore(tmp_path).training("ef"):
            pass
    assert told == [f"ct is being trained for {tmp_path} already: wait for its end, or stop that training"]
    with ModelStore(tmp_path).training("ct"):
        pass


def test_versions_are_in_the_order_they_were_made_whatever_the_clock_says(store, monkeypatch):
    first = store.add(checkpoint(bias=1), 0.5)

    class SetBack(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2001, 1, 1, tzinfo=zone)

    monkeypatch.setattr(weights, "datetime", SetBack)
    second = store.add(checkpoint(bias=2), 0.5)
    assert second.name < first.name
    assert [version.name for version in store.versions("ct")] == ["shipped", first.name, second.name]
    store.publish("ct", second.name)
    assert bias_in_use(store) == 2


def test_a_damaged_description_of_a_version_hides_this_version_alone(store, tmp_path, caplog):
    good, bad = store.add(checkpoint(bias=1)), store.add(checkpoint(bias=2))
    store.publish("ct", good.name)
    path = tmp_path / "ct" / f"{bad.name}.json"
    path.write_text(path.read_text()[:40])
    assert [version.name for version in store.versions("ct")] == ["shipped", good.name]
    assert bias_in_use(store) == 1
    (sentence,) = store.damage()
    assert sentence.startswith(f"{path} is damaged (") and "this version is left out" in sentence
    assert caplog.text.count("is damaged") == 1


def test_a_half_manifest_hides_the_shipped_weights_alone_and_is_named(store, tmp_path):
    own = store.add(checkpoint(bias=1))
    store.publish("ct", own.name)
    path = tmp_path / "shipped" / "manifest.json"
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    assert bias_in_use(store) == 1
    assert [version.name for version in store.versions("ct")] == [own.name]
    (sentence,) = store.damage()
    assert str(path) in sentence and "copy it again" in sentence


def test_a_damaged_list_of_published_versions_is_replaced_by_the_last_good_one(store, tmp_path):
    first, second = store.add(checkpoint(bias=1)), store.add(checkpoint(bias=2))
    store.publish("ct", first.name)
    store.publish("ct", second.name)
    path = tmp_path / "published.json"
    path.write_text(path.read_text()[:20])
    assert bias_in_use(store) == 1
    (sentence,) = store.damage()
    assert (
        str(path) in sentence and "the state before the last change is used (published.last.json)" in sentence
    )
    store.publish("ct", second.name)
    assert bias_in_use(store) == 2 and store.damage() == []
    assert [version.name for version in store.history("ct")] == ["shipped", first.name, second.name]


def test_a_version_is_worse_than_none_until_another_one_or_somebody_says_otherwise(tmp_path):
    store = ModelStore(tmp_path)
    first, second = (store.publish("glnet", store.add(untrained("glnet", seed=n)).name) for n in (1, 2))
    assert store.worse_than_none("glnet") is None
    store.set_worse_than_none(second, "because")
    assert ModelStore(tmp_path).worse_than_none("glnet") == "because"
    assert store.worse_than_none("local-ct") is None
    store.rollback("glnet")
    assert store.worse_than_none("glnet") is None
    store.set_worse_than_none(second, "because")
    assert store.worse_than_none("glnet") is None, "it is of a version that is not in use"
    store.set_worse_than_none(first, "because")
    store.publish("glnet", first.name)
    assert store.worse_than_none("glnet") is None, "who publishes by hand has decided"
    store.set_worse_than_none(first, "because")
    store.set_worse_than_none(first, None)
    assert store.worse_than_none("glnet") is None


def test_that_shipped_weights_are_worse_than_none_says_nothing_of_those_of_an_update(store):
    store.set_worse_than_none(store.published("ct"), "because")
    assert store.worse_than_none("ct") == "because"
    update = store.root / "shipped"
    write_shipped(update, {"ct": checkpoint(bias=-2)}, {}, tagger=None, command="./scripts/osln train")
    assert ModelStore(store.root).worse_than_none("ct") is None


@pytest.mark.parametrize(("name", "told"), [("shipped", None), ("own", "because")])
def test_a_mark_of_former_software_counts_for_versions_that_have_a_name_of_their_own(store, name, told):
    if name == "own":
        name = store.publish("ct", store.add(checkpoint()).name).name
    store.set_worse_than_none(store.published("ct"), "because")
    path = store.root / "published.json"
    state = json.loads(path.read_text())
    state["worse"]["ct"] = {"version": name, "why": "because"}
    path.write_text(json.dumps(state))
    assert ModelStore(store.root).worse_than_none("ct") == told


def test_a_fusion_is_ones_own_then_the_shipped(store):
    assert store.fusion("lf-learned") == {}
    ship_fusions(store.root / "shipped", {"lf-learned": FITTED}, {"lf-learned": {"0.15": 0.2}})
    shipped = store.fusion("lf-learned")
    assert shipped["zones"] == FITTED and shipped["weights"] == {"ct": store.published("ct").sha256}
    assert store.thresholds("lf-learned") == {"0.15": 0.2} and store.thresholds("ct") == {
        "0.15": 0.31,
        "0.3": 0.62,
    }
    store.publish("ct-distal", store.add(checkpoint("ct-distal")).name)
    store.set_fusion("lf-learned", {"all": {}})
    weights = {"ct-distal": store.published("ct-distal").sha256}
    assert ModelStore(store.root).fusion("lf-learned") == {"weights": weights, "zones": {"all": {}}}
