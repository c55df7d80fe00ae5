"""A row with the weights in use: operating points, thresholds, and what is missing."""

from dataclasses import replace

import pytest

from osln.pipeline import in_use, load_pipeline, operating_points
from osln.published import NotReadyError, Published
from osln.rows.experiments import OPERATING_POINT, ROWS
from osln.weights.model_store import ModelStore
from small import store as small_store

ROW = "osln-local-ct-pet"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    small_store.publish(folder, [*ROWS[ROW].segmenters, "local-ct-pet"])
    store = ModelStore(folder)
    store.set_thresholds("lf-stratified", {"0.10": 0.3, "0.15": 0.4})
    store.set_thresholds("local-ct-pet", {"1": 0.8, "3": 0.6})
    return store


def test_operating_points_are_named_as_people_choose_them_the_default_first(models):
    published = Published(models)
    assert operating_points(ROWS["lf-stratified"], published) == {
        "precision 0.15": 0.4,
        "precision 0.10": 0.3,
    }
    assert list(operating_points(ROWS[ROW], published).items()) == [
        ("3 FP per patient", 0.6),
        ("1 FP per patient", 0.8),
    ]


@pytest.mark.parametrize(
    ("asked", "point", "threshold"),
    [
        ({}, "3 FP per patient", 0.6),
        ({"point": "1 FP per patient"}, "1 FP per patient", 0.8),
        ({"score": 0.25}, "score 0.25", 0.25),
    ],
)
def test_stage_two_keeps_from_the_score_that_was_asked_for(models, asked, point, threshold):
    pipeline = load_pipeline(models, ROW, **asked)
    assert (pipeline.point, pipeline.second.threshold) == (point, threshold)
    assert pipeline.threshold == models.thresholds("lf-stratified")[OPERATING_POINT] == 0.4
    assert set(pipeline.versions) == set(ROWS[ROW].networks) and pipeline.warnings == []


def test_who_answers_for_a_row_is_handed_candidates_by_the_rows_own_fusion(tmp_path):
    set_row, more = ROWS["osln-set-glnet"], ROWS["osln"].changed(handed_at="0.10")
    assert (set_row.fusion, set_row.stage_one, ROWS["osln"].fusion) == ("mean", "gated-mean", "max")
    assert more.handed({"0.10": 0.3, "0.15": 0.4}) == 0.3 and more.handed({"0.15": 0.4}) == 0.4
    asked = (*set_row.segmenters, *ROWS["osln"].segmenters)
    small_store.publish(tmp_path, [*asked, "set-glnet", "local-ct-pet"])
    store = ModelStore(tmp_path)
    store.set_thresholds("lf-stratified", {"0.15": 0.4})
    store.set_thresholds("gated-mean", {"0.15": 0.3})
    assert load_pipeline(store, "osln-set-glnet").threshold == 0.3
    assert load_pipeline(store, "osln-local-ct-pet").threshold == 0.4


def test_who_has_learned_from_other_candidates_than_it_is_handed_is_told_of_in_every_result(tmp_path):
    row = ROWS["osln-set-glnet"]
    small_store.publish(tmp_path, row.segmenters)
    store = ModelStore(tmp_path)
    # As versions are that were trained before there was a choice.
    former = small_store.untrained("set-glnet")
    store.publish("set-glnet", store.add(replace(former, metadata={"seed": 0, "preset": "demo"})).name)
    store.set_thresholds("lf-stratified", {"0.10": 0.3, "0.15": 0.4})
    words = (
        "set-glnet has learned from the candidates of lf-stratified, its operating points are of these too"
    )
    assert words in load_pipeline(store, row.name).warnings[0]
    assert words in Published(store).remarks(row)[0]
    store.publish("set-glnet", store.add(former).name)
    assert not any("learned from the candidates" in one for one in load_pipeline(store, row.name).warnings)


def test_stage_one_alone_runs_at_a_precision(models):
    pipeline = load_pipeline(models, "lf-stratified", point="precision 0.10")
    assert (pipeline.threshold, pipeline.second, pipeline.point) == (0.3, None, "precision 0.10")


def test_what_cannot_be_asked_is_refused_with_what_can(models):
    with pytest.raises(ValueError, match="no operating point '7 FP per patient': choose one of 3 FP per"):
        load_pipeline(models, ROW, point="7 FP per patient")
    with pytest.raises(ValueError, match="lf-stratified ends with stage one"):
        load_pipeline(models, "lf-stratified", score=0.5)


def test_rows_that_are_not_served_can_be_asked_by_a_script(models):
    with pytest.raises(ValueError, match="no weights for ct-psnn: train it"):
        load_pipeline(models, "ct-psnn")
    assert load_pipeline(models, "lf-turned").row.turns == 4


def test_a_row_whose_tags_cannot_be_read_says_who_scores_instead(models):
    pipeline = load_pipeline(models, "osln")
    assert pipeline.second.scorer.classifier.name == "local-ct-pet"
    assert "there is no tagger" in pipeline.warnings[0]


def test_a_row_that_nobody_can_score_ends_with_stage_one_and_says_what_to_train(tmp_path):
    small_store.publish(tmp_path, ROWS[ROW].segmenters)
    store = ModelStore(tmp_path)
    store.set_thresholds("lf-stratified", {"0.10": 0.3, "0.15": 0.4})
    for row in ("osln", ROW, "osln-turned"):
        pipeline = load_pipeline(store, row)
        assert (pipeline.row.name, pipeline.second, pipeline.threshold) == ("lf-stratified", None, 0.4)
        assert pipeline.point == "precision 0.15" and set(pipeline.versions) == set(ROWS[ROW].segmenters)
        assert "no weights for local-ct-pet: train it" in pipeline.warnings[0] or row == "osln-turned"
    assert load_pipeline(store, ROW, point="precision 0.10").threshold == 0.3
    with pytest.raises(ValueError, match="stage one's own score, which gives no such score: ask for a prec"):
        load_pipeline(store, ROW, score=0.5)
    with pytest.raises(NotReadyError, match="no weights for local-ct-pet"):
        Published(store).scorer(ROWS[ROW], "cpu")


def test_a_row_whose_network_is_worse_than_none_ends_with_stage_one_until_another_is_published(models):
    version = models.published("local-ct-pet")
    published = Published(models)
    assert in_use(ROWS[ROW], published, "cpu").second is not None
    models.set_worse_than_none(version, "stage one alone finds more than local-ct-pet")
    pipeline = in_use(ROWS[ROW], published, "cpu")
    assert pipeline.second is None and pipeline.point == "precision 0.15"
    assert pipeline.warnings == [
        "stage one alone finds more than local-ct-pet; until then the candidates have stage one's own score"
    ]
    assert operating_points(ROWS[ROW], published)["precision 0.10"] == 0.3
    models.publish("local-ct-pet", version.name)
    assert in_use(ROWS[ROW], published, "cpu").second is not None


ZONES = {
    zone: {"offset": 0.5, "streams": {f"ct-{zone}": 0.2, f"ef-{zone}": 0.3}, "distance": -1.0}
    for zone in ("proximal", "distal")
}


def test_a_row_with_learned_fusion_runs_with_what_was_fitted_and_says_when_it_is_of_other_weights(models):
    row = ROWS["lf-learned"]
    published = Published(models, rows=ROWS)
    assert published.checksums(row) is None
    with pytest.raises(NotReadyError, match="no fusion was fitted for lf-learned"):
        load_pipeline(models, "lf-learned")

    models.set_fusion("lf-learned", ZONES)
    models.set_thresholds("lf-learned", {"0.15": 0.2})

    pipeline = load_pipeline(models, "lf-learned")
    assert pipeline.learned.to_json() == ZONES and pipeline.threshold == 0.2 and pipeline.warnings == []
    assert pipeline.checksums == published.checksums(row)
    assert set(pipeline.checksums) == {*row.segmenters, "fusion"}
    models.publish("ct-distal", models.add(small_store.untrained("ct-distal", seed=1)).name)
    fusion, points = load_pipeline(models, "lf-learned").warnings
    assert "the fusion of lf-learned was fitted to other weights" in fusion
    assert "operating points of lf-learned were measured with other weights" in points
    assert load_pipeline(models, "lf-stratified").learned is None


def test_networks_and_points_are_of_one_moment(tmp_path, monkeypatch):
    store = ModelStore(tmp_path)
    small_store.publish(tmp_path, ["ct"])
    store.set_thresholds("ct", {"0.15": 0.4})
    published = Published(store, rows=ROWS)
    really, first = published.networks, published.versions()["ct"]

    def while_somebody_publishes(row, device):
        found = really(row, device)
        if store.published("ct") == first:
            store.publish("ct", store.add(small_store.untrained("ct", seed=1)).name)
            store.set_thresholds("ct", {"0.15": 0.7})
        return found

    monkeypatch.setattr(published, "networks", while_somebody_publishes)
    pipeline = in_use(ROWS["ct"], published, "cpu")
    assert pipeline.threshold == 0.7 and pipeline.versions["ct"] == store.published("ct") != first
