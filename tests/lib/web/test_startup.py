"""What the log says when the server is up."""

from types import SimpleNamespace

from lib.store.datastore import OslnDatastore
from lib.web.startup import log_startup, startup_lines
from osln.rows.experiments import SERVED_CLASSIFIERS
from osln.stage_two.answering import answering
from osln.weights.model_store import Version
from small.store import make_case


def app(tmp_path, versions, tagger=None):
    make_case(tmp_path / "store", "one")
    make_case(tmp_path / "store", "two", gtv=False)
    (tmp_path / "store" / "two words.nii.gz").write_bytes(b"")
    store = OslnDatastore(tmp_path / "store")
    return SimpleNamespace(
        name="OSLN Label",
        version="0.1.0",
        app_dir="/app",
        studies=str(tmp_path / "store"),
        datastore=lambda: store,
        _infers={"osln": None, "ct": None},
        published=SimpleNamespace(
            store=SimpleNamespace(root="/app/model", damage=lambda: ["published.json is damaged"]),
            versions=lambda: versions,
            tagger=SimpleNamespace(path="/lesanet.safetensors", describe=lambda: tagger),
            remarks=lambda row: (
                answering(row.classifier, versions, tagger).warnings if row.classifier else []
            ),
        ),
    )


def test_the_block_says_version_app_studies_cases_models_and_weights(tmp_path):
    shipped = Version("ct", "shipped", tmp_path, "0" * 64, "phantom", {})
    text = "\n".join(startup_lines(app(tmp_path, {"ct": shipped, "ef-distal": None})))
    for part in (
        "OSLN Label 0.1.0 (MONAI Label",
        "app      /app",
        f"studies  {tmp_path / 'store'}",
        "cases    2: 0 approved, 0 predicted, 1 with a tumor contour",
        "left out two words.nii.gz cannot be a case, rename it",
        "models   osln, ct",
        "tagger   none",
        "note     glnet reads tags and there is no tagger: convert the public LesaNet",
        "weights  /app/model",
        "ct            shipped, trained on phantom",
        "ef-distal     none: train it first",
        "not for clinical use",
    ):
        assert part in text


def test_the_tagger_is_named_and_the_classifiers_that_cannot_use_it(tmp_path):
    public = {"name": "LesaNet", "origin": "public LesaNet", "sha256": "ab" * 32, "trained_on": "DeepLesion"}
    own = public | {"origin": "phantom", "sha256": "cd" * 32, "trained_on": "phantom 7"}
    others = [name for name in SERVED_CLASSIFIERS if name not in ("glnet", "tag")]
    versions = {name: Version(name, "shipped", tmp_path, "2" * 64, "cohort", {}) for name in others} | {
        "glnet": Version("glnet", "shipped", tmp_path, "0" * 64, "cohort", {"tagger": own}),
        "tag": Version("tag", "shipped", tmp_path, "1" * 64, "cohort", {"tagger": public}),
    }
    lines = startup_lines(app(tmp_path, versions, public))
    name = "LesaNet (public LesaNet, trained on DeepLesion, abababababab)"
    assert f"  tagger   {name}: /lesanet.safetensors" in lines
    assert [line for line in lines if "note" in line] == [
        "  note     glnet was trained with the tags of LesaNet (phantom, trained on phantom 7, cdcdcdcdcdcd)"
        f", the tagger in use is {name}: retrain glnet (trainer glnet); until then local-ct-pet scores the "
        "candidates"
    ]
    assert not any("not for clinical use" in line for line in lines)
    assert any("not for clinical use" in line for line in startup_lines(app(tmp_path, versions, own)))


def test_it_is_one_entry_of_the_log(tmp_path, caplog):
    caplog.set_level("INFO", logger="lib.web.startup")
    log_startup(app(tmp_path, {}))
    assert [record.name for record in caplog.records if record.name == "lib.web.startup"] == [
        "lib.web.startup"
    ]
