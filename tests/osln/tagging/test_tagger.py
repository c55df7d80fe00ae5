"""A tagger is stored without code, refuses foreign weights in words and tags objects of a label map."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch

from osln.imaging.grid import Grid, Volume
from osln.networks.lesanet import LesaNet
from osln.tagging.lesion_patch import lesion_patch, lesion_places
from osln.tagging.tagger import CHUNK, Tagger, lesanet_of, publish_tagger, save_tagger, tagger_file
from osln.weights import devices
from osln.weights.model_store import ModelStore

ABOUT = {"origin": "phantom", "trained_on": "phantom", "thresholds": [0.5, 0.25]}


def small_network() -> LesaNet:
    torch.manual_seed(0)
    return LesaNet(width=2, embedding=4)


def small_tagger(number_format: str | None = "f32") -> Tagger:
    return Tagger(small_network(), ABOUT, number_format=number_format)


def some_lesions(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    images = rng.normal(0.2, 0.2, (count, 3, 120, 120)).astype(np.float32)
    return images, np.tile(np.float32([45, 45, 75, 75]), (count, 1))


def test_a_tagger_comes_back_from_its_file(tmp_path):
    path = tmp_path / "tagger.safetensors"
    save_tagger(path, small_network(), ABOUT)
    tagger = Tagger.load(path, number_format="f32")

    lesions = some_lesions(2)
    np.testing.assert_array_equal(tagger.probabilities(*lesions), small_tagger().probabilities(*lesions))
    assert tagger.metadata["thresholds"] == [0.5, 0.25]
    assert tagger.describe() == {
        "name": "LesaNet",
        "origin": "phantom",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "width": 2,
        "trained_on": "phantom",
    }
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_probability_is_the_sigmoid_of_the_propagated_score():
    tagger = small_tagger()
    images, boxes = some_lesions(1)
    with torch.inference_mode():
        tagger._network.class_scores2.bias[9] += 3.0
        scores = tagger._network(torch.from_numpy(images), torch.from_numpy(boxes))

    expected = 1 / (1 + np.exp(-scores.propagated.numpy()))
    np.testing.assert_allclose(tagger.probabilities(images, boxes), expected, rtol=1e-5)
    assert not np.allclose(expected, 1 / (1 + np.exp(-scores.logits.numpy())))


def test_half_precision_is_for_weights_only_and_computed_in_single(tmp_path):
    network = small_network()
    network.bn1_1.running_var.fill_(1e-9)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_tagger(whole, network, ABOUT)
    save_tagger(half, network, ABOUT, half=True)

    state = safetensors.torch.load_file(half)
    assert state["conv1_1.weight"].dtype == state["class_scores1.weight"].dtype == torch.float16
    assert state["bn1_1.running_var"].tolist() == pytest.approx([1e-9, 1e-9])
    assert half.stat().st_size < 0.62 * whole.stat().st_size
    lesions = some_lesions(2)
    np.testing.assert_allclose(
        Tagger.load(half, number_format="f32").probabilities(*lesions),
        Tagger.load(whole, number_format="f32").probabilities(*lesions),
        atol=0.01,
    )


def test_counters_of_training_are_not_stored(tmp_path):
    save_tagger(tmp_path / "t.safetensors", small_network(), ABOUT)

    state = safetensors.torch.load_file(tmp_path / "t.safetensors")
    assert len(state) == 94
    assert lesanet_of(state, 2, 4).bn1_1.num_batches_tracked == 0


def test_no_lesions_have_no_tags():
    assert small_tagger().probabilities(*some_lesions(0)).shape == (0, 171)


def test_many_lesions_are_tagged_as_each_alone():
    tagger = small_tagger()
    images, boxes = some_lesions(CHUNK + 2)

    together = tagger.probabilities(images, boxes)
    assert together.shape == (CHUNK + 2, 171)
    assert together.dtype == np.float32
    for lesion in (0, CHUNK - 1, CHUNK, CHUNK + 1):
        alone = tagger.probabilities(images[lesion : lesion + 1], boxes[lesion : lesion + 1])
        np.testing.assert_allclose(together[lesion], alone[0], atol=1e-5)


def test_openvino_gives_the_probabilities_of_torch_for_any_number_of_lesions():
    pytest.importorskip("openvino")
    exact = Tagger(small_network(), ABOUT, number_format="f32", runtime="torch")
    tagger = Tagger(small_network(), ABOUT, number_format="f32", runtime="openvino")
    images, boxes = some_lesions(CHUNK + 3)
    expected = exact.probabilities(images, boxes)

    found = tagger.probabilities(images, boxes)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected.std() > 0.01
    # Not only about the same: a lesion's tags depend on no other lesion.
    np.testing.assert_array_equal(tagger.probabilities(images[CHUNK:], boxes[CHUNK:]), found[CHUNK:])
    np.testing.assert_array_equal(tagger.probabilities(images[:1], boxes[:1]), found[:1])


@pytest.mark.parametrize("runtime", ["torch", None])
def test_a_tag_that_is_no_number_is_an_error_of_the_tagger(runtime):
    network = small_network()
    with torch.no_grad():
        # Finite by themselves; together infinity of either sign.
        network.fc_pool1.weight *= 1e38
        network.class_scores1.weight *= 1e38
    tagger = Tagger(network, ABOUT, number_format="f32", runtime=runtime)
    with pytest.raises(ValueError, match="the tagger answers with values that are no numbers: convert"):
        tagger.probabilities(*some_lesions(2))


def test_without_openvino_torch_tags(monkeypatch):
    monkeypatch.setattr(devices, "HAS_OPENVINO", False)

    tagger = Tagger(small_network(), ABOUT)
    assert (tagger.engine.runtime, tagger.arithmetic.number_format) == ("torch", "f32")
    assert tagger.probabilities(*some_lesions(2)).shape == (2, 171)
    with pytest.raises(ValueError, match="needs the package openvino"):
        Tagger(small_network(), ABOUT, runtime="openvino")


def test_bfloat16_gives_about_the_same_probabilities():
    lesions = some_lesions(2)

    exact = small_tagger("f32").probabilities(*lesions)
    np.testing.assert_allclose(small_tagger("bf16").probabilities(*lesions), exact, atol=0.02)
    assert small_tagger(None).arithmetic.number_format in ("f32", "bf16")


def test_images_of_another_size_or_with_nan_are_refused():
    tagger = small_tagger()
    images, boxes = some_lesions(2)
    with pytest.raises(ValueError, match=r"expected images .* got \(2, 3, 119, 120\) and \(2, 4\)"):
        tagger.probabilities(images[:, :, 1:], boxes)
    with pytest.raises(ValueError, match=r"\(1, 4\)"):
        tagger.probabilities(images, boxes[:1])
    images[1, 0, 5, 5] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        tagger.probabilities(images, boxes)


def two_objects() -> tuple[Volume, np.ndarray, Grid]:
    """A CT of 1 x 1 x 5 mm and a label map of 2 x 2 x 2.5 mm on a part of it."""
    rng = np.random.default_rng(2)
    ct_grid = Grid((90, 80, 10), np.diag([1.0, 1.0, 5.0, 1.0]))
    ct = Volume(rng.integers(-200, 300, ct_grid.shape).astype(np.int16), ct_grid, ct_grid)
    grid = Grid((30, 30, 12), np.array([[2, 0, 0, 10], [0, 2, 0, 10], [0, 0, 2.5, 5], [0, 0, 0, 1.0]]))
    labels = np.zeros(grid.shape, dtype=np.int32)
    labels[5, 6, 3] = 1
    labels[10:14, 12:15, 4] = 3
    labels[10:12, 12:14, 5:9] = 3
    return ct, labels, grid


def test_objects_of_a_label_map_are_seen_in_the_slice_of_their_largest_area():
    ct, labels, grid = two_objects()
    tagger = small_tagger()

    found = tagger.tag_lesions(ct, lesion_places(labels, grid))

    # Voxels 10..13 of 2 mm: 10 + 20 - 1 to 10 + 26 + 1 mm; slice 4 at 5 + 10 mm; 5 mm of margin.
    single = lesion_patch(ct, ((19 - 5, 21 + 5), (21 - 5, 23 + 5)), 12.5)
    large = lesion_patch(ct, ((29 - 5, 37 + 5), (33 - 5, 39 + 5)), 15.0)
    images, boxes = (np.stack(part) for part in zip(single, large, strict=True))
    np.testing.assert_allclose(found, tagger.probabilities(images, boxes), atol=1e-6)
    assert not np.allclose(found[0], found[1], atol=1e-4)


def test_a_patient_without_lesions_and_a_lesion_outside_the_ct():
    ct, _, _ = two_objects()
    tagger = small_tagger()

    assert tagger.tag_lesions(ct, np.zeros((0, 5))).shape == (0, 171)
    inside, apart = [14.0, 26, 16, 28, 12.5], [900.0, 910, 16, 28, 12.5]
    with pytest.raises(ValueError, match=r"lesion at \[905\.0, 22\.0, 12\.5\] mm lies outside the CT"):
        tagger.tag_lesions(ct, np.array([inside, apart]))


def test_the_checksum_of_a_file_is_that_of_the_loaded_tagger(tmp_path):
    path = tmp_path / "tagger.safetensors"
    save_tagger(path, small_network(), ABOUT)

    assert Tagger.checksum(path) == Tagger.load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_without_a_tagger_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(
        ValueError, match=r"no tagger at .*: convert the public one with \./scripts/osln convert"
    ):
        Tagger.load(tmp_path / "none.safetensors")
    path = tmp_path / "text.safetensors"
    path.write_bytes(b"this is text, not tensors")
    with pytest.raises(ValueError, match=r"text\.safetensors is no safetensors file .*convert the public"):
        Tagger.load(path)
    save_tagger(tmp_path / "good", small_network(), ABOUT)
    path.write_bytes((tmp_path / "good").read_bytes()[:-100])
    with pytest.raises(ValueError, match="is no safetensors file"):
        Tagger.load(path)


def test_foreign_weights_are_refused_with_the_difference_in_names_and_shapes(tmp_path):
    state = {k: v for k, v in small_network().state_dict().items() if "tracked" not in k}
    del state["fc_emb.bias"]
    state["class_scores1.weight"] = torch.zeros(80, 20)
    state["extra"] = torch.zeros(3)
    path = tmp_path / "foreign.safetensors"
    about = {"format": "osln-tagger-1", "width": 2, "embedding": 4, **ABOUT}
    safetensors.torch.save_file(state, path, metadata={"osln": json.dumps(about)})

    with pytest.raises(ValueError) as raised:
        Tagger.load(path)
    text = str(raised.value)
    assert text.startswith("foreign.safetensors: these are not weights of LesaNet (width 2, embedding 4)")
    assert "3 of 94 tensors differ" in text
    assert "class_scores1.weight: (80, 20) instead of (171, 20)" in text
    assert "extra: (3,) instead of nothing" in text
    assert "fc_emb.bias: missing instead of (4,)" in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("conv3_2.weight", np.nan, r"weights conv3_2\.weight of LesaNet are not finite numbers"),
        ("bn3_2.running_var", -1.0, r"variance bn3_2\.running_var of LesaNet is negative"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(tmp_path, name, value, words):
    state = {k: v.clone() for k, v in small_network().state_dict().items() if "tracked" not in k}
    state[name].view(-1)[0] = value
    path = tmp_path / "broken.safetensors"
    about = {"format": "osln-tagger-1", "width": 2, "embedding": 4, **ABOUT}
    safetensors.torch.save_file(state, path, metadata={"osln": json.dumps(about)})

    with pytest.raises(ValueError, match=words):
        Tagger.load(path)


def test_tensors_that_do_not_say_where_they_come_from_are_refused(tmp_path):
    path = tmp_path / "bare.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"width 64, embedding 256\): 95 of 94 tensors differ"):
        Tagger.load(path)

    with torch.device("meta"):
        names = LesaNet().state_dict()
    state = {k: torch.zeros(v.shape, dtype=torch.float16) for k, v in names.items() if "tracked" not in k}
    safetensors.torch.save_file(state, path)
    with pytest.raises(ValueError, match="does not say where its weights come from"):
        Tagger.load(path)


def test_a_tagger_without_an_origin_or_with_broken_weights_is_not_stored(tmp_path):
    with pytest.raises(ValueError, match=r"says its origin \(public LesaNet, trained here, phantom\)"):
        save_tagger(tmp_path / "t", small_network(), {"origin": "internet", "trained_on": "x"})
    with pytest.raises(ValueError, match="and None"):
        save_tagger(tmp_path / "t", small_network(), {"origin": "phantom"})
    network = small_network()
    torch.nn.init.constant_(network.conv1_1.weight, 1e6)
    with pytest.raises(ValueError, match=r"conv1_1\.weight holds values that are not finite"):
        save_tagger(tmp_path / "t", network, ABOUT, half=True)
    assert not list(tmp_path.iterdir())


def test_a_tagger_has_versions_as_every_network_has(tmp_path):
    store, file = ModelStore(tmp_path / "models"), tmp_path / "tagger.safetensors"
    assert tagger_file(store) is None and tagger_file(store, file) == file
    save_tagger(file, small_network(), ABOUT)
    first = publish_tagger(store, file, metric=0.8123)
    content = file.read_bytes()
    save_tagger(file, small_network(), {**ABOUT, "trained_on": "others"})
    second = publish_tagger(store, file)

    assert first.name.endswith("-0.812") and first.metadata["metric"] == 0.8123
    assert (first.trained_on, first.metadata["origin"]) == (ABOUT["trained_on"], ABOUT["origin"])
    assert [one.name for one in store.versions("lesanet")] == [first.name, second.name]
    assert tagger_file(store) == second.path and second.trained_on == "others"
    assert Tagger.load(second.path).sha256 == second.sha256
    store.rollback("lesanet")
    assert tagger_file(store).read_bytes() == content
    first.path.write_bytes(b"changed")
    # There is no earlier version to roll back to.
    ways = rf"restore its files, or publish another version \(.* publish lesanet {second.name}\)"
    for ask in (lambda: tagger_file(store), lambda: store.publish("lesanet", first.name)):
        with pytest.raises(ValueError, match=rf"of lesanet are missing or were changed .*{ways}"):
            ask()


def test_what_is_no_tagger_is_not_stored_as_a_version(tmp_path):
    store, file = ModelStore(tmp_path / "models"), tmp_path / "text.safetensors"
    file.write_bytes(b"this is text, not tensors")
    with pytest.raises(ValueError, match="is no safetensors file with a tagger"):
        publish_tagger(store, file)
    assert store.versions("lesanet") == [] and not store.root.exists()
    with pytest.raises(ValueError, match=r"no weights for lesanet: train it \(\./scripts/osln train-tagger"):
        store.file("lesanet")
