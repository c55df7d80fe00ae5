"""What is found in slices becomes nodes on the working grid, in the place where it lies."""

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.mulan.canvas import SliceCanvas
from osln.mulan.detection import SliceDetector
from osln.mulan.sampling import slice_target
from osln.networks.mulan import Mulan, SliceDetections, build_mulan
from osln.networks.mulan_heads import box_masks
from osln.networks.unet3d import UNet3D
from osln.rows.detectors import DETECTORS
from osln.rows.experiments import SEGMENTERS
from osln.weights.checkpoint import Checkpoint
from small.columns import SHAPE, small_column, tiny_preset
from small.detectors import use_tiny


@pytest.fixture
def recipe(monkeypatch):
    return use_tiny(monkeypatch)


def untrained(recipe, name: str = "mulan-ct") -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(name, "demo", Scaling(), build_mulan(DETECTORS[name], recipe).state_dict(), "")


def answer_with_truth(monkeypatch, column, recipe, score) -> None:
    """Lets the network answer the true nodes; the slices are counted as they come."""
    seen = iter(range(SHAPE[2]))
    canvas = SliceCanvas.whole(column, recipe.pixel_mm)

    def detections(self, maps, size):
        found = []
        for _ in maps:
            labels = torch.from_numpy(column.nodes[:, :, next(seen)].T.astype(np.float32))
            drawn = canvas.draw(labels[None, None], mode="nearest")[0, 0].numpy()
            target = slice_target(drawn, recipe.margin_mm / recipe.pixel_mm, {})
            count = len(target.boxes)
            masks = box_masks(target.masks, target.boxes)
            found.append(SliceDetections(target.boxes, torch.full((count,), score), masks))
        return found

    monkeypatch.setattr(Mulan, "detections", detections)


@pytest.mark.parametrize("pixel_mm", [2.5, 1.25])
def test_true_boxes_become_the_true_nodes(monkeypatch, pixel_mm):
    # With this margin the box of a ball's tip overlaps the next slice's by (1 + 6.4)^2 / (3 + 6.4)^2 = .62.
    recipe = use_tiny(monkeypatch, pixel_mm=pixel_mm, margin_mm=8.0)
    column = small_column(0)
    answer_with_truth(monkeypatch, column, recipe, 0.75)

    found = SliceDetector(untrained(recipe)).detect(column)
    scored = found.scored(column.nodes)

    assert found.scores.tolist() == [0.75] * 4 and found.labels.max() == 4
    assert scored.hits.tolist() == [True] * 4 and scored.n_nodes == 4
    # The masks' cells do not end where voxels do.
    shared, both = ((found.labels > 0) & (column.nodes > 0)).sum(), (found.labels > 0).sum()
    assert 2 * shared / (both + (column.nodes > 0).sum()) > 0.9


def test_a_patient_in_whom_nothing_is_found_has_an_empty_map(monkeypatch, recipe):
    column = small_column(0, nodes=0)
    answer_with_truth(monkeypatch, column, recipe, 0.9)

    found = SliceDetector(untrained(recipe)).detect(column)

    assert not found.labels.any() and found.scores.shape == (0,)
    assert len(found.scored(small_column(0).nodes).scores) == 0


def test_chunks_of_slices_change_nothing(monkeypatch, recipe):
    monkeypatch.setattr("osln.networks.mulan.LEAST_SCORE", 0.0)
    column, checkpoint = small_column(0), untrained(recipe)
    whole = SliceDetector(checkpoint, number_format="f32").detect(column)
    monkeypatch.setattr("osln.mulan.detection.CHUNK", 7)
    again = SliceDetector(checkpoint, number_format="f32").detect(column)

    assert len(whole.scores) > 0
    np.testing.assert_allclose(again.scores, whole.scores, rtol=1e-4)
    assert (again.labels != whole.labels).mean() < 0.001


def test_a_patient_without_pet_is_refused_by_the_network_that_needs_it(recipe):
    with pytest.raises(ValueError, match="no pet"):
        SliceDetector(untrained(recipe, "mulan-ct-pet")).detect(small_column(0, pet=False))


def test_weights_of_another_kind_and_unknown_devices_are_refused(recipe):
    unet = UNet3D(len(SEGMENTERS["ct"].inputs), tiny_preset().widths)
    with pytest.raises(ValueError, match="of ct, which does not find nodes by itself: expected mulan-ct"):
        SliceDetector(Checkpoint("ct", "demo", Scaling(), unet.state_dict(), ""))
    with pytest.raises(ValueError, match="'tpu' is not available"):
        SliceDetector(untrained(recipe), device="tpu")
    with pytest.raises(ValueError, match="'f16' is not known"):
        SliceDetector(untrained(recipe), number_format="f16")
