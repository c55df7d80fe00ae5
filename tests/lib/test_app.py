import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp

import main
from osln.active.strategies import STRATEGIES
from osln.published import SERVED_ROWS
from osln.rows.experiments import DEFAULT_ROW, SERVED_NETWORKS
from small import app as small_app
from small import store as small_store


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return small_app.make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def build(tmp_path, template, monkeypatch):
    """Builds the app on a store of one case, as the server does."""
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)
    small_store.make_case(tmp_path / "studies", "p1")
    shutil.copytree(template, tmp_path / "models")

    def app(**conf: str) -> main.OslnApp:
        given = {"models": str(tmp_path / "models"), **conf}
        return main.OslnApp(str(tmp_path / "app"), str(tmp_path / "studies"), given)

    return app


def test_the_class_is_a_direct_subclass_as_monai_label_looks_for_one():
    assert main.OslnApp.__bases__ == (MONAILabelApp,)


def test_info_lists_what_the_tables_declare_with_the_fused_pipeline_first(build):
    info = build().info()
    assert info["name"] == "OSLN Label"
    assert info["labels"] == {"lymph node": 1, "tumor": 2}
    assert list(info["models"]) == [*SERVED_ROWS, "node-click"] and next(iter(info["models"])) == DEFAULT_ROW
    assert list(info["trainers"]) == list(SERVED_NETWORKS)
    assert list(info["strategies"]) == list(STRATEGIES)
    assert list(info["scoring"]) == ["evidence"]
    assert info["datastore"]["total"] == 1
    assert info["models"]["osln"]["weights"]["ef-distal"]["trained_on"] == "phantom"
    assert info["train_stats"]["ct"] == {}


def test_another_row_leads_where_it_is_configured(build):
    app = build(row="osln-numbers")
    models = list(app.info()["models"])
    assert (
        models[:2] == ["osln-numbers", DEFAULT_ROW]
        and len(models) == len(set(models)) == len(SERVED_ROWS) + 1
    )
    assert next(iter(app.published.rows)) == "osln-numbers"
    with pytest.raises(ValueError, match="row"):
        build(row="osln-random-views")


def test_info_says_which_tagger_is_in_use_and_which_network_reads_its_tags(build, tmp_path):
    info = build().info()
    assert (info["tagger"]["origin"], info["tagger"]["trained_on"]) == ("phantom", "phantom 0")
    assert info["models"]["osln"]["tagger"] == info["tagger"]
    assert info["models"]["osln"]["classifier"] == "glnet" and info["models"]["osln"]["warnings"] == []
    shutil.rmtree(tmp_path / "models" / "shipped")
    bare = build().info()
    assert bare["tagger"] is None and bare["models"]["osln"]["tagger"] is None
    assert bare["models"]["osln"]["classifier"] == "local-ct-pet"
    assert "glnet reads tags and there is no tagger" in bare["models"]["osln"]["warnings"][0]


def test_the_chosen_tagger_takes_the_place_of_the_shipped_one_in_tasks_and_trainers(build, tmp_path):
    chosen = small_store.make_tagger(tmp_path / "own.safetensors", seed=3, origin="public LesaNet")
    app = build(lesanet=str(chosen))
    assert app.info()["tagger"]["origin"] == "public LesaNet"
    assert app._trainers["glnet"].place.tagger == chosen


def test_a_file_that_is_no_tagger_ends_the_start_with_the_difference(build, tmp_path):
    wrong = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file({"conv1_1.weight": torch.zeros(64, 1, 3, 3)}, str(wrong))
    with pytest.raises(ValueError, match=r"wrong\.safetensors: these are not weights of LesaNet") as caught:
        build(lesanet=str(wrong))
    assert "bn1_1.bias: missing instead of (64,)" in str(caught.value)
    with pytest.raises(ValueError, match=r"no tagger at .*nowhere: convert the public one"):
        build(lesanet=str(tmp_path / "nowhere"))


def test_options_in_lists_are_strings_because_slicer_needs_them(build):
    info = build().info()
    for task in [*info["models"].values(), *info["trainers"].values()]:
        for value in task["config"].values():
            assert not isinstance(value, list) or all(isinstance(item, str) for item in value)


def test_a_case_goes_from_sample_to_prediction_to_approved_label(build):
    app = build()
    sample = app.next_sample({"strategy": "first"})
    assert sample["id"] == "p1" and sample["path"].endswith("p1.nii.gz")
    result = app.infer({"model": "osln", "image": "p1", "save_label": True})
    label = app.datastore().save_label(
        "p1", result["file"], "final", {"label_info": [{"name": "lymph node", "idx": 1}]}
    )
    reply = app.on_save_label("p1", label)
    assert reply["nodes"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}
    told = "1 node; compared with the prediction: 0 new, 0 left out, 0 changed, 1 unchanged."
    assert told in reply["message"]
    assert app.next_sample({"strategy": "first"}) == {}
    assert app.info()["datastore"] == {
        "total": 1,
        "completed": 1,
        "label_tags": {"gtv": 1, "original": 1, "final": 1},
    }


def test_batch_inference_runs_through_the_app(build, tmp_path):
    small_store.write(tmp_path / "studies" / "bad.nii.gz", np.zeros((9, 9, 9), np.int16))
    report = build().batch_infer({"model": "osln", "images": "all", "device": "cuda"})
    assert report["p1"]["status"] == "done" and (report["p1"]["candidates"], report["p1"]["kept"]) == (1, 1)
    assert report["bad"]["status"] == "failed" and "every voxel of the CT is 0" in report["bad"]["error"]


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"weights": "x"}, "unknown --conf weights. Known are: models: folder of the model store"),
        ({"preset": "huge"}, "preset is one of paper, standard, demo, paper-fast, fine, wide, not 'huge'"),
        ({"device": "cuda:7"}, "device 'cuda:7' is not available here: expected cpu"),
        ({"threads": "-1"}, "threads is a whole number"),
    ],
)
def test_settings_that_cannot_work_end_the_start_with_a_sentence(build, conf, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(**conf)


def test_settings_choose_device_preset_and_threads(build, monkeypatch):
    threads = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    app = build(device="cpu", preset="paper", threads="3")
    assert app.configuration.devices[0] == "cpu"
    assert app._trainers["ct"].place.preset == "paper"
    assert threads == [3]


def test_address_of_a_pacs_opens_a_mirror_without_asking_it(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    app = main.OslnApp(str(tmp_path), "http://anna:secret@127.0.0.1:9/dicom-web/", {})

    assert app.studies == "http://127.0.0.1:9/dicom-web"
    assert app.datastore().root.parent == tmp_path / "cache"
    assert app.info()["datastore"]["total"] == 0 and "secret" not in str(app.info())
    assert app._trainers["ct"].place.studies == app.datastore().root
    assert app.sessions().store_path == str(app.datastore().root / ".cache" / "sessions")


def test_the_model_store_of_the_app_is_the_default(build):
    assert build(models="").configuration.models.parts[-2:] == ("app", "model")


def test_training_does_not_wait_for_a_tracking_service(build):
    build()
    assert settings.MONAI_LABEL_TRACKING_ENABLED is False


def test_sessions_stay_with_the_studies(build, tmp_path):
    assert build().sessions().store_path == str(tmp_path / "studies" / ".cache" / "sessions")
