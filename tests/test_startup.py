"""What the log says when the server is up."""

from types import SimpleNamespace

from lib.datastore import OslnDatastore
from lib.startup import log_startup, startup_lines
from osln.weights import Version
from small_store import make_case


def app(tmp_path, versions):
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
        published=SimpleNamespace(store=SimpleNamespace(root="/app/model"), versions=lambda: versions),
    )


def test_the_block_says_version_app_studies_cases_models_and_weights(tmp_path):
    shipped = Version("ct", "shipped", tmp_path, "0" * 64, "phantom", {})
    text = "\n".join(startup_lines(app(tmp_path, {"ct": shipped, "ef-distal": None})))
    for part in (
        "OSLN Label 0.1.0 (MONAI Label",
        "app      /app",
        f"studies  {tmp_path / 'store'}",
        "cases    2: 0 approved, 0 predicted, 1 with a tumor contour",
        "left out two words.nii.gz cannot be a case id",
        "models   osln, ct",
        "weights  /app/model",
        "ct            shipped, trained on phantom",
        "ef-distal     none: train it first",
        "not for clinical use",
    ):
        assert part in text


def test_it_is_one_entry_of_the_log(tmp_path, caplog):
    caplog.set_level("INFO", logger="lib.startup")
    log_startup(app(tmp_path, {}))
    assert [record.name for record in caplog.records if record.name == "lib.startup"] == ["lib.startup"]
