"""Runs a trained network on a column: OpenVINO on the CPU where it is installed, torch otherwise."""

import importlib.util
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from osln.imaging.distance import zone_mask
from osln.imaging.lung_column import Column
from osln.imaging.transforms import network_input
from osln.imaging.turns import TURNS, Turn, turned_column
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.stage_one.windows import fit_window, predict_windows
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import available_devices

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


class Predictor:
    """A trained network on a device.

    On the CPU, OpenVINO runs these networks several times faster than torch, with probabilities that
    differ by rounding only; on CUDA, torch with channels_last_3d and autocast does. Processors that
    multiply in bfloat16 use it by default: three times as fast, with probabilities that differ by up to
    some hundredths; docs/performance.md counts what that changes.
    Compiled networks are kept by window size. Calls from several threads are served one by one.

    Args:
        checkpoint: Trained weights.
        device: "cpu", "cuda" or "cuda:N".
        runtime: "openvino" or "torch"; None chooses the fastest for the device.
        precision: Of OpenVINO: "f32" or "bf16"; None chooses what the processor is made for. Figures that
            must not depend on the computer ask for "f32".

    Raises:
        ValueError: If the device, runtime or precision is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        runtime: str | None = None,
        precision: str | None = None,
    ) -> None:
        if device not in (available := available_devices()):
            raise ValueError(f"device {device!r} is not available here: expected {' or '.join(available)}")
        runtime = runtime or ("openvino" if device == "cpu" and HAS_OPENVINO else "torch")
        if runtime == "openvino" and (device != "cpu" or not HAS_OPENVINO):
            raise ValueError("the OpenVINO runtime serves the CPU and needs the package openvino")
        if precision not in (None, "f32", "bf16"):
            raise ValueError(f"precision {precision!r} is not known: expected f32 or bf16")
        self.checkpoint = checkpoint
        self.segmenter = SEGMENTERS[checkpoint.name]
        self.preset = PRESETS[checkpoint.preset]
        self.device = device
        self.runtime = runtime
        self._precision = precision
        self._network = checkpoint.network()
        if runtime == "torch" and device != "cpu":
            self._network = self._network.to(device, memory_format=torch.channels_last_3d)
        self._compiled: dict[tuple[int, ...], Callable[[np.ndarray], np.ndarray]] = {}
        self._lock = threading.Lock()

    def probability(self, column: Column) -> np.ndarray:
        """(x, y, z) float32 probability of a node; 0 in windows without a body voxel of the network's zone.

        Raises:
            ValueError: If the column lacks an input (PET, distance) of this network.
        """
        images = network_input(column.images, self.segmenter.inputs, self.checkpoint.scaling)
        needed = column.body
        if self.segmenter.zone != "all":
            if column.distance_mm is None:
                raise ValueError(f"network {self.segmenter.name} needs the primary tumor: contour it first")
            needed = needed & zone_mask(column.distance_mm, self.segmenter.zone)
        window = fit_window(needed.shape, self.preset.window, self._network.stride)
        with self._lock:
            return predict_windows(self._on_window(window), images, needed, window)

    def _on_window(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        if window not in self._compiled:
            compile_for = self._with_openvino if self.runtime == "openvino" else self._with_torch
            self._compiled[window] = compile_for(window)
        return self._compiled[window]

    def _with_openvino(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        import openvino as ov

        from osln.networks.unet3d_openvino import probability_graph

        graph = probability_graph(self._network, (1, len(self.segmenter.inputs), *window))
        core = ov.Core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = self._precision or ("bf16" if fast else "f32")
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(graph, "CPU", settings)
        return lambda images: compiled(images[None])[0][0, 0]

    def _with_torch(self, window: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        def run(images: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(images[None])
            on_gpu = self.device != "cpu"
            if on_gpu:
                x = x.to(self.device).contiguous(memory_format=torch.channels_last_3d)
            with torch.inference_mode(), torch.autocast("cuda", torch.float16) if on_gpu else nullcontext():
                probability = torch.sigmoid(self._network(x).float())
            return probability[0, 0].cpu().numpy()

        return run


def mean_probability(network: Predictor, column: Column, turns: int) -> np.ndarray:
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
