"""Runs a trained stage-two network on all candidates of a patient at once."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from osln.imaging.transforms import network_input
from osln.imaging.turns import TURNS, Turn
from osln.networks.build import on_device
from osln.networks.glnet import GLNet
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.stage_two.numbers import known_of
from osln.stage_two.patches import Patches
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import Engine, filled_up

LARGEST_BATCH = 64
"""Candidates in one pass of torch, a patient's as a rule; a pathological number does not fill the memory."""

FILLED_UP = 8
"""Candidates that OpenVINO's graph is for."""


class CandidateScorer:
    """A trained row of `CLASSIFIERS` on a device.

    Args:
        checkpoint: Trained weights.
        device: "cpu", "cuda" or "cuda:N".
        number_format, runtime: As `Engine.on`; OpenVINO runs GLNet's local module.

    Raises:
        ValueError: If the weights are of another kind, or the device, runtime or number format is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        number_format: str | None = None,
        runtime: str | None = None,
    ) -> None:
        self.engine = Engine.on(device, runtime, number_format)
        self.arithmetic = self.engine.arithmetic
        self.checkpoint = checkpoint
        self.classifier = CLASSIFIERS[checkpoint.name]
        self.stage_two = PRESETS[checkpoint.preset].stage_two
        self.device = torch.device(device)
        self._network = on_device(checkpoint.network(), self.device)
        self._glnet = getattr(self._network, "glnet", self._network)
        written_down = isinstance(self._glnet, GLNet) and len(self._glnet.blocks) > 0
        self._graph = written_down and self.engine.runtime == "openvino"
        self._compiled: Any = None
        self._lock = threading.Lock()

    @property
    def tagger(self) -> dict[str, Any] | None:
        """The tagger whose tags the network has learned from; None if it reads none."""
        return self.checkpoint.metadata.get("tagger") if self.classifier.tags else None

    def scores(self, patches: Patches, tags: np.ndarray | None = None) -> np.ndarray:
        """Probability that each of n candidates is a node that counts.

        Args:
            patches: The candidates' patches.
            tags: (n, 171) probabilities; only for a network that reads tags.

        Returns:
            (n,) float32; empty for no candidate.

        Raises:
            ValueError: If PET or tags are asked for and not there, or are not of these candidates, or a score
                is not a number.
        """
        return self.judged(patches, tags)[0]

    def judged(self, patches: Patches, tags: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The scores with what they were made of.

        Arguments and errors as `scores`.

        Returns:
            (n,) float32 probability, and (n, F) float32 what the last layer reads; F is 0 for no candidate.
        """
        count = len(patches)
        if self.classifier.tags and (tags is None or len(tags) != count):
            raise ValueError(f"{self.classifier.name} reads tags: give 171 probabilities for each candidate")
        if not count:
            return np.zeros(0, dtype=np.float32), np.zeros((0, 0), dtype=np.float32)
        known = known_of(self.classifier, tags, patches, PRESETS[self.checkpoint.preset].spacing_mm)
        with torch.inference_mode(), self.arithmetic.autocast():
            parts = [
                self._features(patches, known, slice(start, start + LARGEST_BATCH))
                for start in range(0, count, LARGEST_BATCH)
            ]
            features = torch.cat(parts)
            scores = torch.sigmoid(self._network.judge(features)).cpu().numpy()
        if not (np.isfinite(scores).all() and bool(torch.isfinite(features).all())):
            name = self.classifier.name
            raise ValueError(
                f"the network {name} answers with scores that are no numbers: go back to the version before "
                f"(./scripts/osln models rollback {name}) or train it again"
            )
        return scores, features.float().cpu().numpy()

    def _features(self, patches: Patches, known: np.ndarray | None, part: slice) -> torch.Tensor:
        given = None if known is None else self._on_device(known[part])
        if not self.classifier.inputs:
            return self._network.features(None, None, given)
        images, boxes = self._images(patches, part), np.ascontiguousarray(patches.boxes[part])
        # A ReLU of OpenVINO would make 0 of it.
        if not np.isfinite(images).all():
            raise ValueError("the patches of candidates hold NaN or infinity: check the values of CT and PET")
        if self._graph:
            local = torch.from_numpy(self._with_openvino(images, boxes))
            return local if given is None else torch.cat([local, given], dim=1)
        on_device = self._on_device(images).contiguous(memory_format=torch.channels_last_3d)
        return self._network.features(on_device, self._on_device(boxes), given)

    def _with_openvino(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """(n, features) of GLNet's local module."""
        from osln.networks.glnet_openvino import box_weights, local_graph

        weights = box_weights(boxes, images.shape[2:], len(self._glnet.blocks))
        found = []
        with self._lock:
            if self._compiled is None:
                graph = local_graph(self._glnet, (FILLED_UP, *images.shape[1:]))
                self._compiled = self.engine.compiled(graph)
            # One graph for any number of candidates, whose features thus depend on no other candidate.
            for start in range(0, len(images), FILLED_UP):
                some = slice(start, start + FILLED_UP)
                given = [filled_up(one[some], FILLED_UP) for one in (images, *weights)]
                found.append(self._compiled(given)[0][: len(images[some])].copy())
            self._compiled.release_memory()
        return np.concatenate(found)

    def _images(self, patches: Patches, part: slice) -> np.ndarray:
        pet = patches.pet_suv
        # The channels of all candidates are scaled as one tall volume, then parted again.
        stacked = {
            "ct": patches.ct_hu[part].reshape(-1, *patches.ct_hu.shape[2:]),
            "pet": None if pet is None else pet[part].reshape(-1, *pet.shape[2:]),
        }
        scaled = network_input(stacked, self.classifier.inputs, self.checkpoint.scaling)
        return scaled.reshape(len(scaled), -1, *patches.ct_hu.shape[1:]).swapaxes(0, 1)

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def mean_scores(scorer: CandidateScorer, patches: Patches, tags: np.ndarray | None, turns: int) -> np.ndarray:
    """(n,) float32 mean score of n candidates over the first `turns` views of their patches.

    Tags and context are not turned: they say where in the body a candidate is.

    Args:
        scorer: Network of stage two.
        patches: As cut.
        tags: (n, 171) probabilities; only for a network that reads tags.
        turns: 1 to 8.

    Raises:
        ValueError: As `CandidateScorer.scores`.
    """
    views = [scorer.scores(view, tags) for view in _views(patches, turns)]
    return np.mean(views, axis=0, dtype=np.float32)


def mean_judged(
    scorer: CandidateScorer, patches: Patches, tags: np.ndarray | None, turns: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `mean_scores`, with (n, F) float32 what the last layer reads of the patches as cut."""
    views = [scorer.judged(view, tags) for view in _views(patches, turns)]
    return np.mean([scores for scores, _ in views], axis=0, dtype=np.float32), views[0][1]


def _views(patches: Patches, turns: int) -> list[Patches]:
    if turns == 1:
        return [patches]
    return [turned_patches(patches, turn) for turn in TURNS[:turns]]


def turned_patches(patches: Patches, turn: Turn) -> Patches:
    """The patches turned with their boxes."""
    shape = patches.ct_hu.shape[1:]
    boxes = [turn.of_box(box, shape) for box in patches.boxes]
    return replace(
        patches,
        ct_hu=turn.of_patch(patches.ct_hu),
        pet_suv=None if patches.pet_suv is None else turn.of_patch(patches.pet_suv),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 3, 2),
    )
