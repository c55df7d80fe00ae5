"""The training script end to end: on DeepLesion's layout, on a store and on generated phantoms."""

from dataclasses import replace

import pytest

from osln.__main__ import command_line, main
from osln.cli import train_tagger as script
from osln.cohorts.phantoms import FIRST_SEED
from osln.phantom import make_phantom
from osln.phantom.written.store import write_case
from osln.rows.experiments import PRESETS
from osln.tagging.deeplesion import DeepLesion
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore
from small.deeplesion import write_deeplesion, write_table

SMALL = ["--width", "2", "--embedding", "8", "--batch", "4", "--epochs", "1"]


def deeplesion_options(root, train=8, validation=4) -> list[str]:
    write_deeplesion(root, train, validation)
    ontology = write_table(root / "ontology.xlsx", {"calcified": ("noncalcified", "", "")})
    return [
        *("--deeplesion", str(root), "--labels", str(root / "labels.json"), "--ontology", str(ontology)),
        *("--out", str(root / "out" / "tagger.safetensors"), "--work", str(root / "work"), *SMALL),
    ]


def test_a_tagger_is_trained_on_deeplesion_as_it_is_distributed(tmp_path, capsys):
    options = deeplesion_options(tmp_path)
    assert main(["train-tagger", *options]) == 0
    said = capsys.readouterr().out
    assert "train: slices of 8 of 8 lesions are here" in said
    assert "learned from 8 lesions; mean AUC on 4 others: all" in said
    tagger = Tagger.load(tmp_path / "out" / "tagger.safetensors")
    assert tagger.describe()["origin"] == "trained here" and tagger.describe()["trained_on"] == "DeepLesion"
    assert tagger.metadata["tags"].keys() == {"calcified"}
    assert 0 < tagger.metadata["tags"]["calcified"]["threshold"] <= 1
    assert tagger.metadata["recipe"]["name"] == "paper" and tagger.metadata["recipe"]["momentum"] == 0.9
    assert tagger.metadata["command"].startswith("./scripts/osln train-tagger")


def test_lesions_of_deeplesion_are_cut_out_once_and_the_state_is_gone_in_the_end(tmp_path, monkeypatch):
    options = deeplesion_options(tmp_path)
    assert main(["train-tagger", *options]) == 0
    first = (tmp_path / "out" / "tagger.safetensors").read_bytes()
    assert sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "work").iterdir()) == [
        "deeplesion-train",
        "deeplesion-val",
    ]
    monkeypatch.setattr(DeepLesion, "lesions", None)
    assert main(["train-tagger", *options]) == 0
    again = Tagger.load(tmp_path / "out" / "tagger.safetensors")
    whole = Tagger.load(write_bytes(tmp_path / "first.safetensors", first))
    assert again.metadata["losses"] == whole.metadata["losses"]


def write_bytes(path, data):
    path.write_bytes(data)
    return path


COARSE = replace(PRESETS["demo"], spacing_mm=(5.0, 5.0, 6.0), window=(44, 44, 64))


@pytest.mark.slow
def test_a_tagger_is_trained_on_generated_phantoms_and_shipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "PRESETS", {"demo": COARSE})
    monkeypatch.setattr(script, "SHIPPED_TAGGER", tmp_path / "shipped" / "lesanet.safetensors")
    options = ["--phantoms", "2", "--judged", "1", "--ship", "--work", str(tmp_path / "work"), *SMALL]
    assert main(["train-tagger", *options, "--ct-spacing", "4", "4", "6"]) == 0
    first = FIRST_SEED["tagger"]
    made = {path.stem for path in (tmp_path / "work").glob("phantoms-*/*.npz")}
    assert made == {str(first), str(first + 1), str(first + 2)}
    tagger = Tagger.load(ModelStore(tmp_path).file("lesanet"))
    assert tagger.describe()["origin"] == tagger.describe()["trained_on"] == "phantom"
    assert {"chest", "lymph node", "blood vessel"} <= tagger.metadata["tags"].keys()
    assert "learned from" in capsys.readouterr().out


def test_every_fifth_case_of_a_store_is_for_validation(tmp_path):
    store, output = tmp_path / "store", tmp_path / "tagger.safetensors"
    phantom = make_phantom(3, spacing_mm=(6.0, 6.0, 6.0))
    for case in ("a", "b", "c", "d", "e", "f"):
        write_case(store, case, replace(phantom, findings=phantom.findings[:3]), approve=False)
    options = ["--store", str(store), "--out", str(output), "--work", str(tmp_path / "work"), *SMALL]
    assert main(["train-tagger", *options]) == 0
    about = Tagger.load(output).metadata
    assert about["origin"] == "phantom" and about["lesions"] == 5 * about["validation_lesions"] > 0


def test_a_trained_tagger_is_published_as_a_version(tmp_path, capsys):
    store, models = tmp_path / "store", ModelStore(tmp_path / "models")
    phantom = make_phantom(3, spacing_mm=(6.0, 6.0, 6.0))
    for case in ("a", "b", "c", "d", "e"):
        write_case(store, case, replace(phantom, findings=phantom.findings[:3]), approve=False)
    work = ["--work", str(tmp_path / "work"), "--models", str(models.root)]
    assert main(["train-tagger", "--store", str(store), "--publish", *work, *SMALL]) == 0

    version = models.published("lesanet")
    about = Tagger.load(models.file("lesanet")).metadata
    assert version.trained_on == "phantom" and version.metadata["metric"] == about["mean_auc"]["all"]
    assert f"lesanet {version.name}: learned from" in capsys.readouterr().out
    assert not list((tmp_path / "work").glob("lesanet*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--deeplesion", "x", "--out", "y"], "--deeplesion needs --labels and --ontology"),
        (["--store", "x", "--ship"], "only a tagger trained on generated phantoms is shipped"),
        (["--store", "x", "--out", "y", "--ct-spacing", "1", "1", "2"], "--ct-spacing is about phantoms"),
        (
            ["--phantoms", "2", "--out", "y", "--ct-spacing", "1", "0", "2"],
            "three voxel sizes between 0.5 and",
        ),
        (["--phantoms", "2"], "one of the arguments -o/--out --publish --ship is required"),
        (["--out", "y"], "one of the arguments --deeplesion --phantoms --store is required"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(arguments, sentence, capsys):
    assert main(["train-tagger", *arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_an_error_is_a_sentence_and_nothing_is_written(tmp_path, capsys):
    output = tmp_path / "tagger.safetensors"
    assert main(["train-tagger", "--store", str(tmp_path), "--out", str(output)]) == 1
    assert "holds no findings" in capsys.readouterr().err
    assert not output.exists()


def test_the_recipe_is_that_of_the_data_unless_it_is_chosen():
    def chosen(*arguments):
        return script.recipe_of(command_line().parse_args(["train-tagger", *arguments, "--out", "y"]))

    assert (chosen("--phantoms", "2").name, chosen("--phantoms", "2").width) == ("demo", 16)
    assert (chosen("--deeplesion", "x").name, chosen("--deeplesion", "x").width) == ("paper", 64)
    narrow = chosen("--deeplesion", "x", "--recipe", "demo", "--width", "8", "--epochs", "0.5")
    assert (narrow.width, narrow.embedding, narrow.epochs) == (8, 64, 0.5)


def test_the_shipped_tagger_is_small_and_says_that_it_is_of_phantoms():
    tagger = Tagger.load(script.SHIPPED_TAGGER, number_format="f32")
    assert script.SHIPPED_TAGGER.stat().st_size < 8e6
    assert tagger.describe()["origin"] == "phantom" and tagger.describe()["width"] == 16
    assert " --phantoms " in tagger.metadata["command"]
