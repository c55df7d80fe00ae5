"""A server driven as 3D Slicer's module drives it; what it submits is in test_slicer_submit."""

import time

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.rows.experiments import DEFAULT_ROW
from small import slicer_store
from small import store as small_store
from small.slicer_plugin import Plugin
from small.slicer_store import stored

pytestmark = pytest.mark.server

NO_SESSION = "00000000-0000-0000-0000-000000000000"
CASES = ("lps", "lps.again", "feet-first", "oblique", "sagittal")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with slicer_store.serving(tmp_path_factory.mktemp("slicer"), CASES) as running:
        yield running


@pytest.fixture
def slicer(server, tmp_path):
    return Plugin(server.url, tmp_path)


def test_what_the_module_shows_after_connecting(slicer):
    assert slicer.info["name"] == "OSLN Label"
    assert not slicer.info.get("config"), "else the module asks for a newer server"
    assert list(slicer.info["labels"]) == ["lymph node", "tumor"]
    kinds = {name: model["type"] for name, model in slicer.info["models"].items()}
    assert kinds.pop("node-click") == "deepgrow", "which SmartEdit offers"
    assert set(kinds.values()) == {"segmentation"}
    first = next(name for name, model in slicer.info["models"].items() if "lymph node" in model["labels"])
    assert first == DEFAULT_ROW, "which runs by itself on the next sample, if the annotator wants so"
    for section in ("models", "trainers", "strategies"):
        for one in slicer.info[section].values():
            choices = [value for value in one.get("config", {}).values() if isinstance(value, list)]
            assert all(isinstance(choice, str) for values in choices for choice in values)


def test_the_options_are_accepted_as_the_table_sends_them(server, slicer):
    for model in slicer.info["models"].keys() - {"node-click"}:
        slicer.open({"id": "lps"})
        assert slicer.run(model)["model"] == model
    for trainer in slicer.info["trainers"]:
        options = slicer.options("train", trainer)
        assert "no approved label" in slicer.message(slicer.client.train_start, trainer, options)
        assert "learning_rate is" in slicer.message(
            slicer.client.train_start, trainer, options | {"learning_rate": 2.0}
        )


@pytest.mark.parametrize("case", CASES)
def test_smart_edit_outlines_the_clicked_node_in_the_voxel_order_of_the_file(slicer, case):
    slicer.open({"id": case})
    inside = nib.affines.apply_affine(slicer_store.GEOMETRIES[case.split(".")[0]], (11.5, 21.0, 8.5))
    result = slicer.smart_edit("node-click", [inside], [])
    assert result["label_names"] == {"lymph node": 1} and result["clicks"]["foreground"] == 1
    np.testing.assert_allclose(result["node"]["center_mm"], inside, atol=3.0)
    node, found = small_store.ct() > 100, slicer.segments["lymph node"]
    assert 2 * (node & found).sum() / (node.sum() + found.sum()) > 0.6


def test_smart_edit_works_on_a_ct_that_the_server_does_not_have(slicer, tmp_path):
    slicer.load(small_store.write(tmp_path / "mine.nii.gz", small_store.ct()))
    inside = nib.affines.apply_affine(small_store.AFFINE_LPS, (11.5, 21.0, 8.5))
    slicer.smart_edit("node-click", [inside], [inside + np.array([0, 20, 0])])
    assert slicer.segments["lymph node"][11, 21, 8]
    assert not slicer.segments["lymph node"][11, 13, 8]


def test_samples_come_with_their_ct_and_its_checksum(slicer):
    ct = slicer.next_sample("first")
    assert slicer.sample["id"] == "feet-first" and slicer.sample["name"] == "feet-first.nii.gz"
    assert slicer.sample["checksum"].startswith("SHA256:")
    np.testing.assert_array_equal(np.asanyarray(nib.load(ct).dataobj), small_store.ct(faint=True))
    assert slicer.next_sample("random") is not None


@pytest.mark.parametrize("case", CASES)
def test_the_nodes_lie_on_the_bright_voxels_of_the_ct(slicer, case):
    slicer.open({"id": case})
    result = slicer.run("osln", show_rejected=True)
    np.testing.assert_array_equal(slicer.segments["lymph node"], slicer_store.kept())
    rejected = slicer_store.bright() & ~slicer_store.kept()
    np.testing.assert_array_equal(slicer.segments["rejected candidate"], rejected)
    assert [found["kept"] for found in result["candidates"]] == [True, False]


def test_a_run_that_rejects_all_and_one_that_finds_all_fill_the_right_segment(slicer):
    slicer.open({"id": "oblique"})
    slicer.run("osln", show_rejected=True, score=1.0)
    assert not slicer.segments["lymph node"].any()
    np.testing.assert_array_equal(slicer.segments["rejected candidate"], slicer_store.bright())
    slicer.run("lf-stratified")
    np.testing.assert_array_equal(slicer.segments["lymph node"], slicer_store.bright())


def test_a_stored_prediction_is_what_the_module_shows_with_the_next_sample(server, slicer):
    slicer.open({"id": "sagittal"})
    slicer.client.infer("osln", "sagittal", {"save_label": True, "show_rejected": True})
    known = slicer.client.datastore()["objects"]["sagittal"]["labels"]["original"]["info"]
    assert list(known["params"]["label_names"]) == ["lymph node", "rejected candidate"]
    label = np.asanyarray(nib.load(slicer.client.download_label("sagittal", "original")).dataobj)
    np.testing.assert_array_equal(label == 1, slicer_store.kept())


def test_a_ct_that_the_store_does_not_have_is_run_in_a_session_and_becomes_a_case(server, slicer, tmp_path):
    affine = slicer_store.GEOMETRIES["oblique"]
    slicer.load(small_store.write(tmp_path / "guest.nii.gz", small_store.ct(faint=True), affine))
    slicer.run("ct")
    np.testing.assert_array_equal(slicer.segments["lymph node"], slicer_store.bright())
    assert "a session holds a CT alone" in slicer.message(slicer.run, "osln")
    slicer.segments["tumor"] = small_store.tumor() > 0
    assert slicer.submit()["tumor"] == "updated"
    np.testing.assert_array_equal(stored(server, "guest"), slicer_store.bright())
    np.testing.assert_array_equal(stored(server, "guest", "gtv"), small_store.tumor())
    slicer.run("ct-stratified")


@pytest.mark.parametrize("extension", [".nrrd", ".seg.nrrd"])
def test_other_file_extensions_of_the_modules_settings_serve_a_session_too(server, tmp_path, extension):
    slicer = Plugin(server.url, tmp_path, extension)
    case = f"guest{extension.replace('.', '-')}"
    affine = slicer_store.GEOMETRIES["feet-first"]
    slicer.load(small_store.write(tmp_path / f"{case}.nii.gz", small_store.ct(faint=True), affine))
    slicer.run("ct")
    slicer.submit()
    np.testing.assert_array_equal(stored(server, case), slicer_store.bright())
    image = sitk.ReadImage(str(server.studies / f"{case}.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, small_store.ct(faint=True))


def test_a_submitted_case_is_corrected_by_opening_its_ct_by_hand(server, slicer):
    slicer.open({"id": "lps.again"})
    slicer.run("osln")
    assert slicer.submit()["revision"] == 1
    slicer.load(server.studies / "lps.again.nii.gz")
    slicer.sample["id"] = "lps.again"
    slicer.segments["lymph node"] = slicer_store.bright()
    assert slicer.submit()["nodes"] == {"added": 1, "removed": 0, "changed": 0, "unchanged": 1}
    np.testing.assert_array_equal(stored(server, "lps.again"), slicer_store.bright())


def test_a_pet_that_was_loaded_first_is_refused_as_a_ct(server, slicer):
    slicer.load(server.studies / "pet" / "lps.nii.gz")
    assert "load the CT first" in slicer.message(slicer.run, "ct")
    slicer.sample["id"] = "pet"
    assert "load the CT first" in slicer.message(slicer.submit)
    assert not (server.studies / "pet.nii.gz").exists()


def test_a_volume_whose_name_is_no_case_id_is_run_but_has_to_be_renamed_to_be_stored(slicer, tmp_path):
    slicer.load(small_store.write(tmp_path / "scan.nii.gz", small_store.ct()))
    slicer.sample["id"] = "2: CT Thorax / B30f"
    slicer.run("ct")
    assert "is not a case id: expected up to 128 letters" in slicer.message(slicer.submit)


def test_every_refusal_reaches_the_error_box_as_a_sentence(server, slicer):
    client = slicer.client
    slicer.open({"id": "lps"})
    told = {
        "no case 'gone'": (client.infer, "osln", "gone", {}),
        "operating_point is one of": (client.infer, "osln", "lps", {"operating_point": "9"}),
        "score is a number from 0": (client.infer, "osln", "lps", {"score": 2}),
        "there is no model 'spleen'": (client.infer, "spleen", "lps", {}),
        "there is no such session": (client.infer, "ct", "lps", {}, None, None, NO_SESSION),
        "'oldest'": (client.next_sample, "oldest", {}),
        "a session holds a NIfTI or NRRD image": (client.create_session, str(server.log)),
        "there is no train task 'spleen'": (client.train_start, "spleen", {}),
    }  # fmt: skip
    for sentence, (act, *args) in told.items():
        message = slicer.message(act, *args)
        assert sentence in message, message
        assert message.startswith("Message:: Status: 4") and "Traceback" not in message


def test_training_starts_shows_its_progress_in_the_bars_and_stops(server, slicer):
    assert slicer.client.train_status(check_if_running=True) is False
    slicer.open({"id": "lps"})
    slicer.run("osln")
    slicer.submit()
    slicer.connect()
    assert slicer.info["datastore"]["completed"] > 0, "else the button Train stays gray"
    options = slicer.options("train", "ct-proximal") | {"iterations": 500}
    started = slicer.client.train_start("ct-proximal", options)
    assert {"id", "status", "start_ts"} <= started.keys()
    # The module waits a second before it asks.
    while not slicer.client.train_status(check_if_running=True):
        assert slicer.client.train_status()["status"] in ("SUBMITTED", "RUNNING")
        time.sleep(0.05)
    assert "already" in slicer.message(slicer.client.train_start, "ct-proximal", options)
    percent = 0.0
    while percent <= 1:
        status = slicer.client.train_status()
        assert status["status"] in ("SUBMITTED", "RUNNING"), status["details"]
        percent, accuracy = slicer.training() if any(slicer.client.info()["train_stats"].values()) else (0, 0)
        time.sleep(0.2)
    assert percent < 100 and 0 <= accuracy <= 100
    assert next(iter(slicer.client.info()["train_stats"])) == "ct-proximal"
    stopped = slicer.client.train_stop()
    assert stopped["status"] == "STOPPED" and stopped["details"][-1]
    assert slicer.client.train_status(check_if_running=True) is False
