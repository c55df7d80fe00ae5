"""Operating points follow the weights that they were measured with."""

import json
from dataclasses import replace

import pytest

from osln.published import Published
from osln.rows.experiments import ROWS
from osln.weights.model_store import ModelStore
from osln.weights.shipped import write_shipped
from small.store import untrained

STAGE_ONE = ("ct-proximal", "ef-proximal", "ct-distal", "ef-distal")
POINTS = {"3": 0.6, "1": 0.8}
CURVE = [{"fp_per_patient": 3.0, "threshold": 0.6, "sensitivity": 0.5}]


@pytest.fixture
def store(tmp_path) -> ModelStore:
    """Shipped weights of both stages with their points."""
    networks = {name: untrained(name) for name in (*STAGE_ONE, "local-ct-pet")}
    points = {"lf-stratified": {"0.15": 0.12}, "lf-mean": {"0.15": 0.8}, "local-ct-pet": POINTS}
    curves = {"local-ct-pet": ((*STAGE_ONE, "local-ct-pet"), CURVE)}
    write_shipped(tmp_path / "shipped", networks, points, None, "./scripts/osln tables", curves)
    return ModelStore(tmp_path)


def publish(store: ModelStore, name: str, seed: int = 1):
    return store.publish(name, store.add(untrained(name, seed=seed)).name)


def test_a_rollback_brings_back_the_points_of_what_is_in_use_again(store):
    publish(store, "ct-distal")
    store.set_thresholds("lf-stratified", {"0.15": 0.9})
    publish(store, "local-ct-pet")
    store.set_thresholds("local-ct-pet", {"3": 0.99, "1": 0.999})
    assert (
        store.thresholds("lf-stratified") == {"0.15": 0.9} and store.thresholds("local-ct-pet")["3"] == 0.99
    )

    store.rollback("local-ct-pet")
    store.rollback("ct-distal")

    assert store.thresholds("lf-stratified") == {"0.15": 0.12} and store.thresholds("local-ct-pet") == POINTS
    assert store.curve("local-ct-pet") == CURVE
    assert store.is_measured("lf-stratified") and store.is_measured("local-ct-pet")


def test_weights_put_into_use_by_hand_bring_their_own_points(store):
    first = publish(store, "ct-distal", seed=1)
    store.set_thresholds("lf-stratified", {"0.15": 0.3})
    publish(store, "ct-distal", seed=2)
    store.set_thresholds("lf-stratified", {"0.15": 0.5})

    store.publish("ct-distal", first.name)

    assert store.thresholds("lf-stratified") == {"0.15": 0.3}


def test_weights_that_nobody_measured_go_by_the_closest_ones_and_say_so(store):
    row = ROWS["osln-local-ct-pet"]
    assert Published(store).remarks(row) == []
    publish(store, "ct-distal")

    assert store.thresholds("lf-stratified") == {"0.15": 0.12} and not store.is_measured("lf-stratified")
    assert store.is_as_shipped("ct-distal") is False
    assert store.thresholds("local-ct-pet") == POINTS and store.curve("local-ct-pet") == []
    (remark,) = Published(store).remarks(row)
    assert remark.startswith(
        "the operating points of lf-stratified and local-ct-pet were measured with other weights"
    )


def test_what_stands_in_is_what_was_used_before_and_not_what_was_rolled_back(store):
    publish(store, "ct-distal", seed=1)
    store.set_thresholds("lf-stratified", {"0.15": 0.9})
    store.set_thresholds("local-ct-pet", {"3": 0.99, "1": 0.999})
    store.set_fusion("lf-learned", {"all": {"bad": 1}})
    store.rollback("ct-distal")
    store.set_fusion("lf-learned", {"all": {"good": 1}})
    store.set_thresholds("lf-learned", {"0.15": 0.3})
    # Newer, and of as many of the weights that come: what is in use goes before it.
    bad = publish(store, "ct-distal", seed=3)
    store.set_fusion("lf-learned", {"all": {"bad": 3}})
    store.rollback("ct-distal")
    assert bad.sha256 != store.checksum("ct-distal")

    version = store.add(untrained("ct-distal", seed=2))
    tried = store.trying(version)
    assert tried.thresholds("lf-stratified") == {"0.15": 0.12} and tried.thresholds("local-ct-pet") == POINTS
    assert tried.fusion("lf-learned")["zones"] == {"all": {"good": 1}}
    store.publish("ct-distal", version.name)

    assert store.thresholds("lf-stratified") == {"0.15": 0.12} and store.thresholds("local-ct-pet") == POINTS
    assert not store.is_measured("lf-stratified") and not store.is_measured("local-ct-pet")
    assert store.fusion("lf-learned")["zones"] == {"all": {"good": 1}}
    assert store.fusion("lf-learned")["weights"]["ct-distal"] != version.sha256
    assert store.thresholds("lf-learned") == {"0.15": 0.3} and not store.is_measured("lf-learned")
    # Whatever is measured later takes its place.
    store.set_thresholds("lf-stratified", {"0.15": 0.2})
    assert store.thresholds("lf-stratified") == {"0.15": 0.2} and store.is_measured("lf-stratified")


def test_a_rollback_brings_back_the_fusion_that_stood_in_and_its_points(store):
    def in_use(of: ModelStore):
        return of.fusion("lf-learned")["zones"], of.thresholds("lf-learned")

    store.set_fusion("lf-learned", {"all": {"first": 1}})
    store.set_thresholds("lf-learned", {"0.15": 0.3})
    fitted_to = store.fusion("lf-learned")["weights"]
    second = publish(store, "ct-distal", seed=2)
    former = ({"all": {"first": 1}}, {"0.15": 0.3})
    assert in_use(store) == former
    publish(store, "ct-distal", seed=3)
    store.set_fusion("lf-learned", {"all": {"third": 1}})
    store.set_thresholds("lf-learned", {"0.15": 0.7})

    assert in_use(store.trying(second)) == former
    for _ in range(3):
        store.rollback("ct-distal")
        assert in_use(store) == former and store.fusion("lf-learned")["weights"] == fitted_to
        assert not store.is_measured("lf-learned")
        store.rollback("ct-distal")
        assert in_use(store) == former and store.is_measured("lf-learned")
        store.publish("ct-distal", second.name)
        store.publish("ct-distal", store.versions("ct-distal")[-1].name)
        assert in_use(store) == ({"all": {"third": 1}}, {"0.15": 0.7})
    # One for each of the three weights, however often they take turns.
    assert len(store._state()["fusions"]["lf-learned"]) == 3


def test_a_combination_that_nobody_measured_keeps_its_points_while_a_version_is_tried(store):
    """As a rollback of one network leaves it where another one came into use after it."""
    for name, points in (("ct-proximal", {"0.15": 0.51}), ("ct-distal", {"0.15": 0.52})):
        version = store.add(untrained(name, seed=1))
        store.trying(version).set_thresholds("lf-stratified", points)
        store.publish(name, version.name)
    store.rollback("ct-proximal")
    assert store.thresholds("lf-stratified") == {"0.15": 0.52} and not store.is_measured("lf-stratified")

    tried = store.trying(store.add(untrained("ct-distal", seed=2)))
    tried.set_thresholds("lf-stratified", {"0.15": 0.99})
    tried.set_fusion("lf-learned", {"all": {"tried": 1}})

    assert store.thresholds("lf-stratified") == {"0.15": 0.52} and not store.is_measured("lf-stratified")
    assert store.fusion("lf-learned") == {}
    assert tried.thresholds("lf-stratified") == {"0.15": 0.99} and tried.is_measured("lf-stratified")


def test_weights_without_any_points_are_not_given_those_of_a_version_that_was_only_tried(tmp_path):
    store = ModelStore(tmp_path)
    publish(store, "ct")
    version = store.add(untrained("ct", seed=2))
    store.trying(version).set_thresholds("ct", {"0.15": 0.99})
    assert store.thresholds("ct") == {}
    store.publish("ct", version.name)
    assert store.is_measured("ct") and "tried" not in (tmp_path / "published.json").read_text()


def test_scores_belong_to_the_threshold_at_which_candidates_are_handed_over(store):
    store.set_thresholds("lf-stratified", {"0.15": 0.4})

    assert store.thresholds("local-ct-pet") == POINTS and not store.is_measured("local-ct-pet")
    assert store.curve("local-ct-pet") == []
    # The threshold of candidates that this classifier is not handed does not matter to it.
    store.set_thresholds("lf-stratified", {"0.15": 0.12})
    store.set_thresholds("lf-mean", {"0.15": 0.4})
    assert store.is_measured("local-ct-pet")


def test_what_is_measured_before_publishing_is_nobody_s_until_then(store):
    version = store.add(untrained("ct-distal", seed=1))
    trying = store.trying(version)
    assert trying.published("ct-distal") == version and trying.thresholds("lf-stratified") == {"0.15": 0.12}

    trying.set_thresholds("lf-stratified", {"0.15": 0.7})
    trying.set_fusion("lf-learned", {"all": {}})

    assert trying.thresholds("lf-stratified") == {"0.15": 0.7} and trying.is_measured("lf-stratified")
    assert store.thresholds("lf-stratified") == {"0.15": 0.12} and store.is_measured("lf-stratified")
    store.publish("ct-distal", version.name)
    assert store.thresholds("lf-stratified") == {"0.15": 0.7} and store.is_measured("lf-stratified")
    assert store.fusion("lf-learned")["weights"]["ct-distal"] == version.sha256


def test_points_that_were_never_measured_are_none_and_said(tmp_path):
    store = ModelStore(tmp_path)
    for name in STAGE_ONE:
        publish(store, name)

    assert store.thresholds("lf-stratified") == {} and not store.is_measured("lf-stratified")
    (remark,) = Published(store).remarks(ROWS["lf-stratified"])
    assert remark.startswith("no operating point was measured for lf-stratified: its threshold is 0.5")


def test_what_former_software_kept_is_believed_until_something_is_measured(store):
    version = publish(store, "ct-distal")
    path = store.root / "published.json"
    state = {"published": json.loads(path.read_text())["published"]}
    state["thresholds"] = {"lf-stratified": {"0.15": 0.33}}
    state["curves"] = {"lf-stratified": {}}
    state["fusions"] = {"lf-learned": {"weights": {"ct-distal": version.sha256}, "zones": {"all": {}}}}
    path.write_text(json.dumps(state))

    assert store.thresholds("lf-stratified") == {"0.15": 0.33} and store.is_measured("lf-stratified")
    assert store.fusion("lf-learned")["zones"] == {"all": {}}

    publish(store, "ct-proximal")
    assert store.thresholds("lf-stratified") == {"0.15": 0.33} and not store.is_measured("lf-stratified")
    store.set_thresholds("lf-stratified", {"0.15": 0.44})
    store.rollback("ct-proximal")
    store.rollback("ct-distal")
    assert store.thresholds("local-ct-pet") == POINTS


def test_a_curve_of_former_software_is_of_the_networks_that_it_names_alone(store):
    publish(store, "local-ct-pet")
    published = json.loads((store.root / "published.json").read_text())["published"]
    names = (*STAGE_ONE, "local-ct-pet")
    now = {name: store.checksum(name) for name in names}
    for weights, expected in ((now, CURVE), (now | {"ct-distal": "another"}, [])):
        state = {"published": published, "thresholds": {"local-ct-pet": {"3": 0.7}}}
        state["curves"] = {"local-ct-pet": {"weights": weights, "points": CURVE}}
        (store.root / "published.json").write_text(json.dumps(state))
        assert store.thresholds("local-ct-pet") == {"3": 0.7} and store.curve("local-ct-pet") == expected


def test_points_are_of_what_was_in_use_when_they_were_measured(store):
    then = store.weights_of("local-ct-pet")
    publish(store, "ct-distal")
    store.set_thresholds("local-ct-pet", {"3": 0.9}, weights=then)
    assert store.thresholds("local-ct-pet") == POINTS and not store.is_measured("local-ct-pet")
    store.rollback("ct-distal")
    assert store.thresholds("local-ct-pet") == {"3": 0.9} and store.is_measured("local-ct-pet")


def test_that_stage_one_alone_finds_more_is_of_the_stage_one_that_it_was_found_with(store):
    store.set_worse_than_none(store.published("local-ct-pet"), "because")
    publish(store, "ct-distal")
    assert store.worse_than_none("local-ct-pet") is None
    store.rollback("ct-distal")
    assert store.worse_than_none("local-ct-pet") == "because"
    store.set_thresholds("lf-stratified", {"0.15": 0.5})
    assert store.worse_than_none("local-ct-pet") is None, "other candidates are handed over"


@pytest.mark.parametrize(
    "text",
    [
        '{"published": []}',
        '{"published": {"ct-distal": "abc"}}',
        '{"published": {"ct-distal": [1]}}',
        '{"published": null}',
        '{"measured": []}',
        '{"measured": {"lf-stratified": [{"weights": {}, "thresholds": {"0.15": "x"}}]}}',
        '{"measured": {"lf-stratified": [{"weights": {}, "thresholds": {"0.15": NaN}}]}}',
        '{"measured": {"lf-stratified": [{"thresholds": {"0.15": 0.5}}]}}',
        '{"worse": {"local-ct-pet": {"version": "shipped"}}}',
        '{"fusions": {"lf-learned": [[]]}}',
        "[]",
    ],
)
def test_a_state_of_another_shape_is_told_and_the_shipped_one_used(store, text):
    (store.root / "published.json").write_text(text)
    assert store.thresholds("lf-stratified") == {"0.15": 0.12}
    assert store.published("ct-distal").name == "shipped"
    (sentence,) = store.damage()
    assert "published.json is damaged" in sentence and "the shipped versions are used" in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [("file", "../../etc/passwd"), ("sha256", None), ("number", "a"), ("metadata", 3), ("trained_on", None)],
)
def test_a_version_described_in_another_shape_is_left_out_and_told(store, key, value):
    version = store.add(untrained("ct-distal", seed=1))
    path = store.root / "ct-distal" / f"{version.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert [one.name for one in store.versions("ct-distal")] == ["shipped"]
    (sentence,) = store.damage()
    assert f"what it says of '{key}' is of another shape" in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_cases", None), ("train_cases", "dfg"), ("train_cases", [1]), ("left_out", 5),
        ("base_version", []), ("base_version", 3), ("stands_for", []), ("judged_on", 5), ("preset", ["x"]),
        ("handed", []), ("tagger", "lesanet"),
    ],
)  # fmt: skip
def test_what_a_training_tells_of_itself_in_another_shape_is_told_by_its_name(store, key, value):
    metadata = {"train_cases": ["d"], "base_version": None, "preset": "demo", "tagger": None}
    version = store.add(replace(untrained("ct-distal", seed=1), metadata=metadata))
    assert len(store.versions("ct-distal")) == 2 and not store.damage()
    path = store.root / "ct-distal" / f"{version.name}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"metadata": metadata | {key: value}}))
    assert [one.name for one in store.versions("ct-distal")] == ["shipped"]
    (sentence,) = store.damage()
    assert str(path) in sentence and f"what it says of '{key}' is of another shape" in sentence


def test_an_own_classifier_keeps_its_own_points_when_another_version_hands_it_other_candidates(store):
    own = publish(store, "local-ct-pet")
    path = store.root / "published.json"
    state = json.loads(path.read_text())
    # As former software measured it, that asked other networks of stage one.
    weights = {"local-ct-pet": own.sha256, "ef-2": "2" * 64, "handed at": "lf-3ef-mean 0.1"}
    state["measured"]["local-ct-pet"] = [{"weights": weights, "thresholds": {"3": 0.31}, "curve": CURVE}]
    path.write_text(json.dumps(state))

    assert store.thresholds("local-ct-pet") == {"3": 0.31} and not store.is_as_shipped("local-ct-pet")
    assert not store.is_measured("local-ct-pet") and store.curve("local-ct-pet") == []


def test_points_that_follow_from_those_of_other_weights_are_not_measured(store):
    store.set_thresholds("lf-stratified", {"0.15": 0.5}, stand_in=True)
    assert store.thresholds("lf-stratified") == {"0.15": 0.5} and not store.is_measured("lf-stratified")
    store.set_thresholds("lf-stratified", {"0.15": 0.6})
    assert store.is_measured("lf-stratified")
