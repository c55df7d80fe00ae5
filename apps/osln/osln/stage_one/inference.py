"""Runs a trained network on a column: OpenVINO on the CPU where it is installed, torch otherwise."""

import threading
from collections.abc import Callable

import numpy as np
import torch

from osln.imaging.distance import zone_mask
from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import network_input
from osln.imaging.turns import TURNS, Turn, turned_column
from osln.rows.experiments import SEGMENTERS
from osln.stage_one.windows import fit_window, predict_windows
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import Engine


class Predictor:
    """A trained network on a device.

    On the CPU, OpenVINO runs these networks several times faster than torch, with probabilities that
    differ by rounding only; on CUDA, torch with channels_last_3d does. Processors that multiply in bfloat16
    use it by default: three times as fast, with probabilities that differ by up to some hundredths;
    docs/performance.md counts what that changes.
    Compiled networks are kept by window size. Calls from several threads are served one by one.

    Args:
        checkpoint: Trained weights.
        device: "cpu", "cuda" or "cuda:N".
        runtime, number_format: As `Engine.on`.

    Raises:
        ValueError: If the device, runtime or number format is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        runtime: str | None = None,
        number_format: str | None = None,
    ) -> None:
        self.engine = Engine.on(device, runtime, number_format)
        self.arithmetic = self.engine.arithmetic
        self.checkpoint = checkpoint
        self.segmenter = SEGMENTERS[checkpoint.name]
        self.preset = checkpoint.preparation
        self.device = device
        self._network = checkpoint.network()
        if self.engine.runtime == "torch" and device != "cpu":
            self._network = self._network.to(device, memory_format=torch.channels_last_3d)
        self._compiled: dict[tuple[int, ...], Callable[[np.ndarray], np.ndarray]] = {}
        self._release: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def probability(self, column: LungColumn) -> np.ndarray:
        """(x, y, z) float32 probability of a node; 0 in windows without a body voxel of the network's zone.

        Raises:
            ValueError: If the column lacks an input (PET, distance) of this network, or was resampled in
                another way than the patients that it learned from.
        """
        if column.prefiltered != self.preset.prefilter:
            how = ["without", "with"]
            raise ValueError(
                f"network {self.segmenter.name} was trained on images resampled "
                f"{how[self.preset.prefilter]} a prefilter, case {column.case} was resampled "
                f"{how[column.prefiltered]} one: prepare it with the network's own preset "
                "(`Checkpoint.preparation`)"
            )
        images = network_input(column.images, self.segmenter.inputs, self.checkpoint.scaling)
        needed = column.body
        if self.segmenter.zone != "all":
            if column.distance_mm is None:
                raise ValueError(f"network {self.segmenter.name} needs the primary tumor: contour it first")
            needed = needed & zone_mask(column.distance_mm, self.segmenter.zone)
        window = fit_window(needed.shape, self.preset.window, self._network.stride)
        with self._lock:
            try:
                return predict_windows(self._on_window(window), images, needed, window)
            finally:
                for release in self._release:
                    release()

    def _on_window(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        if window not in self._compiled:
            compile_for = self._with_openvino if self.engine.runtime == "openvino" else self._with_torch
            self._compiled[window] = _finite(compile_for(window), self.segmenter.name)
        return self._compiled[window]

    def _with_openvino(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        from osln.networks.unet3d_openvino import probability_graph

        graph = probability_graph(self._network, (1, len(self.segmenter.inputs), *window))
        compiled = self.engine.compiled(graph)
        # What lies between the layers, some 20 MB here: a row's networks run one after another.
        self._release.append(compiled.release_memory)
        return lambda images: compiled(images[None])[0][0, 0]

    def _with_torch(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        def run(images: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(images[None])
            if self.device != "cpu":
                x = x.to(self.device).contiguous(memory_format=torch.channels_last_3d)
            with torch.inference_mode(), self.arithmetic.autocast():
                probability = torch.sigmoid(self._network(x).float())
            return probability[0, 0].cpu().numpy()

        return run


def _finite(run: Callable[[np.ndarray], np.ndarray], name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A network whose map is a ValueError where it holds no numbers, in which no node would be found."""

    def checked(images: np.ndarray) -> np.ndarray:
        found = run(images)
        # One value that is none makes the sum none.
        if not np.isfinite(found.sum()):
            raise ValueError(
                f"the network {name} answers with values that are no numbers: go back to the version before "
                f"(./scripts/osln models rollback {name}) or train it again"
            )
        return found

    return checked


def mean_probability(network: Predictor, column: LungColumn, turns: int) -> np.ndarray:
    """(x, y, z) float32 mean probability of a network over the first `turns` views of a patient.

    Args:
        network: Of stage one.
        column: As the network would see it unturned.
        turns: 1 to 8.

    Raises:
        ValueError: As `Predictor.probability`.
    """
    if turns == 1:
        return network.probability(column)
    total = np.zeros(column.ct_hu.shape, dtype=np.float32)
    for turn in TURNS[:turns]:
        total += _turned_back(network.probability(turned_column(column, turn)), turn)
    return total / np.float32(turns)


def _turned_back(prob: np.ndarray, turn: Turn) -> np.ndarray:
    return np.rot90(np.flip(prob, turn.flips), -turn.quarters, axes=(0, 1))
