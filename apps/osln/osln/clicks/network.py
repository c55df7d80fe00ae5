"""The click network as a file, and its probabilities for a patch."""

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import safetensors.torch
import torch
from safetensors import SafetensorError

from osln.clicks.clicks import Clicks
from osln.clicks.outline import Look
from osln.clicks.patch import CHANNELS, COARSE_MM, FINE_MM, SIZE, Patch, channels
from osln.files.arrays import plain
from osln.files.images import write_atomically
from osln.networks.unet3d import UNet3D
from osln.networks.unet3d_openvino import probability_graph
from osln.weights.tensors import check_numbers, differing_tensors

FORMAT = "osln-click-1"
FILE = "click.safetensors"
"""Name among the weights that come with the software."""
WIDTHS = ((8, 8), (16, 16), (32, 32), (32, 32))
OUTPUT_BIAS = -2.0
REPAIR = "./scripts/osln train-click --ship makes them"
_COUNTER = "num_batches_tracked"


def empty_network() -> UNet3D:
    """The network with first weights."""
    return UNet3D(CHANNELS, WIDTHS, output_bias=OUTPUT_BIAS)


class ClickNetwork:
    """A trained click network. Calls from several threads are served one by one.

    Args:
        network: Trained weights, changed to evaluation mode.
        metadata: JSON values, told with results.
        sha256: Checksum of the file; "" for none.
        threads: Of the CPU; None takes what OpenVINO chooses.
    """

    looks = (Look(FINE_MM), Look(COARSE_MM, 7.0))
    size = SIZE

    def __init__(
        self, network: UNet3D, metadata: Mapping[str, Any], sha256: str = "", threads: int | None = None
    ) -> None:
        self.metadata, self.sha256 = dict(metadata), sha256
        # What another CPU would compute in bfloat16 must not depend on the computer.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        graph = probability_graph(network.eval(), (1, CHANNELS, SIZE, SIZE, SIZE))
        self._request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> "ClickNetwork":
        """The network of a file that `save_network` wrote; nothing in the file is executed.

        Raises:
            ValueError: If the file is missing, of another kind, or its tensors are not this network's or no
                finite numbers.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"no weights of the click network at {path}: {REPAIR}")
        data = path.read_bytes()
        try:
            state = safetensors.torch.load(data)
            texts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
            metadata = json.loads(texts.get("osln", "{}"))
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{path.name} is no safetensors file with a click network ({error})") from error
        if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
            raise ValueError(f"{path.name} holds no click network (expected format {FORMAT})")
        network = empty_network()
        if differing := differing_tensors(network.state_dict(), state, ignored=_COUNTER):
            raise ValueError(f"{path.name}: tensors differ, first {'; '.join(differing[:3])}")
        check_numbers(state, "the click network", REPAIR)
        floats = {name: tensor.float() for name, tensor in state.items()}
        network.load_state_dict(floats, strict=False)
        return cls(network, metadata, hashlib.sha256(data).hexdigest(), threads)

    def __call__(self, patch: Patch, clicks: Clicks) -> np.ndarray:
        """Probability of the clicked node, (x, y, z) float32.

        Args:
            patch: Of `SIZE` voxels a side.
            clicks: In RAS mm.
        """
        given = channels(patch, clicks)[None]
        with self._lock:
            return np.array(self._request.infer([given])[0])[0, 0]


def save_network(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes a network atomically as safetensors: weights of convolutions as float16, the rest as float32.

    Args:
        path: Its folder exists.
        state: Weights as `osln.learning.fit.weights_of` gives them.
        metadata: JSON values.

    Raises:
        ValueError: A weight is not finite as stored.
    """
    stored = {}
    for name, tensor in state.items():
        if name.endswith(_COUNTER):
            continue
        kept = tensor.float().half() if tensor.ndim > 1 else tensor.float()
        if not kept.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite: train again")
        stored[name] = kept.contiguous()
    about = {**plain(dict(metadata)), "format": FORMAT}
    write_atomically(path, safetensors.torch.save(stored, metadata={"osln": json.dumps(about)}))
