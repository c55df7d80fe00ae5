"""A trained LesaNet as a file, and the tags that it gives to lesions of a patient."""

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from osln.files.arrays import plain
from osln.files.images import write_atomically
from osln.imaging.grid import Volume
from osln.networks.lesanet import LesaNet
from osln.rows.experiments import TAGGER
from osln.rows.tags import TAG_NAMES
from osln.tagging.lesion_patch import PATCH_PIXELS, lesion_patch
from osln.weights.devices import Engine, filled_up
from osln.weights.model_store import ModelStore, Version
from osln.weights.tensors import check_numbers, differing_tensors, filled

FORMAT = "osln-tagger-1"
PUBLIC, TRAINED, PHANTOM = "public LesaNet", "trained here", "phantom"
ORIGINS = (PUBLIC, TRAINED, PHANTOM)
CONVERT = (
    "convert the public one with ./scripts/osln convert-tagger or train one with ./scripts/osln train-tagger"
)
COUNTER = "num_batches_tracked"
"""Ends the names of counters of batch normalization, which only training needs."""

CHUNK = 8
"""Lesions at a time, which bounds the memory; OpenVINO's graph is for so many, and fewer are filled up."""


class Tagger:
    """A trained LesaNet on a device. Calls from several threads are served one by one.

    Args:
        network: Trained weights; changed to evaluation mode.
        metadata: JSON values; "origin" (one of `ORIGINS`) and "trained_on" are needed.
        sha256: Checksum of the file that it came from; "" for none.
        device: "cpu", "cuda" or "cuda:N".
        number_format, runtime: As `Engine.on`.

    Raises:
        ValueError: If the metadata is not as above, or the device, runtime or number format is not there.
    """

    def __init__(
        self,
        network: LesaNet,
        metadata: Mapping[str, Any],
        sha256: str = "",
        device: str = "cpu",
        number_format: str | None = None,
        runtime: str | None = None,
    ) -> None:
        self.engine = Engine.on(device, runtime, number_format)
        self.arithmetic = self.engine.arithmetic
        _check_metadata(metadata)
        self.metadata = dict(metadata)
        self.sha256 = sha256
        self.device = torch.device(device)
        self._network = network.eval().to(self.device, memory_format=torch.channels_last)
        self._compiled: Any = None
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", number_format: str | None = None) -> "Tagger":
        """The tagger of a file that `save_tagger` wrote; nothing in the file is executed.

        Raises:
            ValueError: If the file is missing, is of another kind, or its tensors are not LesaNet's; says
                which names and shapes differ.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"no tagger at {path}: {CONVERT}")
        data = path.read_bytes()
        try:
            state = safetensors.torch.load(data)
            texts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
            metadata = json.loads(texts.get("osln", "{}"))
        except (SafetensorError, ValueError) as error:
            raise ValueError(
                f"{path.name} is no safetensors file with a tagger ({error}): {CONVERT}"
            ) from error
        named = isinstance(metadata, dict) and metadata.get("format") == FORMAT
        size = {key: int(metadata.get(key, 0)) for key in ("width", "embedding")} if named else {}
        try:
            network = lesanet_of(state, **size)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        if not named:
            raise ValueError(f"{path.name} does not say where its weights come from: {CONVERT}")
        return cls(network, metadata, hashlib.sha256(data).hexdigest(), device, number_format)

    def describe(self) -> dict[str, Any]:
        """JSON values for results: name, origin, sha256, width and trained_on."""
        return {
            "name": "LesaNet",
            "origin": self.metadata["origin"],
            "sha256": self.sha256,
            "width": self._network.width,
            "trained_on": self.metadata["trained_on"],
        }

    def probabilities(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """(N, 171) float32 probabilities in the order of `osln.tagging.tags.TAG_NAMES`.

        Args:
            images: (N, 3, 120, 120) from `osln.tagging.lesion_patch`; N may be 0.
            boxes: (N, 4) lesion boxes in pixels of the images.

        Raises:
            ValueError: If the shapes are others, or a value that is given or found is not finite.
        """
        wanted = (len(images), 3, PATCH_PIXELS, PATCH_PIXELS)
        if images.shape != wanted or boxes.shape != (len(images), 4):
            raise ValueError(
                f"expected images (N, 3, {PATCH_PIXELS}, {PATCH_PIXELS}) and boxes (N, 4), "
                f"got {images.shape} and {boxes.shape}"
            )
        if not (np.isfinite(images).all() and np.isfinite(boxes).all()):
            raise ValueError("the images or boxes of lesions hold NaN or infinity: check the CT's values")
        run = self._with_openvino if self.engine.runtime == "openvino" else self._with_torch
        with self._lock:
            parts = [run(images[i : i + CHUNK], boxes[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
        found = np.concatenate([np.zeros((0, len(TAG_NAMES)), dtype=np.float32), *parts])
        if not np.isfinite(found).all():
            raise ValueError(f"the tagger answers with values that are no numbers: {CONVERT}")
        return found

    def tag_lesions(self, ct: Volume, lesions: np.ndarray) -> np.ndarray:
        """Tag probabilities of lesions of one patient.

        Args:
            ct: HU, not clipped.
            lesions: (N, 5) box x0, x1, y0, y1 and height z in RAS mm, as `lesion_places` gives them.

        Returns:
            (N, 171) float32.

        Raises:
            ValueError: If the center of a lesion lies outside the CT.
        """
        if not len(lesions):
            return np.zeros((0, len(TAG_NAMES)), dtype=np.float32)
        x0, x1, y0, y1, z = np.asarray(lesions, dtype=np.float64).T
        centers = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, z], axis=1)
        index = ct.grid.mm_to_index(centers)
        outside = ((index < -1) | (index > np.asarray(ct.grid.shape))).any(axis=1)
        if outside.any():
            place = np.round(centers[outside][0], 1).tolist()
            raise ValueError(
                f"the lesion at {place} mm lies outside the CT: check that both are of one patient"
            )
        patches = [lesion_patch(ct, ((x0, x1), (y0, y1)), z) for x0, x1, y0, y1, z in lesions]
        images, boxes = zip(*patches, strict=True)
        return self.probabilities(np.stack(images), np.stack(boxes))

    @staticmethod
    def checksum(path: str | Path) -> str:
        """SHA-256 of a tagger's file, as `describe` says it of the loaded one."""
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def _with_torch(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(
            self.device, memory_format=torch.channels_last
        )
        at = torch.from_numpy(np.ascontiguousarray(boxes, dtype=np.float32)).to(self.device)
        with torch.inference_mode(), self.arithmetic.autocast():
            return torch.sigmoid(self._network(x, at).propagated).cpu().numpy()

    def _with_openvino(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        if self._compiled is None:
            self._compiled = self._compile(images.shape[1:])
        from osln.networks.lesanet_openvino import block_boxes

        blocks, heads = self._compiled
        # One graph for any number of lesions, whose tags thus depend on no other lesion.
        regions = blocks([filled_up(part, CHUNK) for part in (images, *block_boxes(boxes))])
        found = heads(list(regions.values()))
        blocks.release_memory()
        return found[0][: len(images)].copy()

    def _compile(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        from osln.networks.lesanet_openvino import regions_graph, tags_graph

        blocks = self.engine.compiled(regions_graph(self._network, (CHUNK, *shape)))
        # A small part of the work, in which half precision would only blur the probabilities.
        return blocks, self.engine.compiled(tags_graph(self._network, CHUNK), "f32")


def save_tagger(path: Path, network: LesaNet, metadata: Mapping[str, Any], *, half: bool = False) -> None:
    """Writes a trained LesaNet atomically as safetensors: tensors and JSON, never code.

    Args:
        path: Its folder exists.
        network: Trained weights.
        metadata: JSON values; "origin" (one of `ORIGINS`) and "trained_on" are needed, others (thresholds
            and AUC of the tags, seed, ...) are kept as they are.
        half: Stores weights as float16, which halves the file; biases and statistics stay float32.

    Raises:
        ValueError: If the metadata is incomplete or has no JSON form, or a weight is not finite as stored.
    """
    _check_metadata(metadata)
    size = {"width": network.width, "embedding": network.embedding}
    about = {**plain(dict(metadata)), "format": FORMAT, **size}
    state = {}
    for name, tensor in network.state_dict().items():
        if name.endswith(COUNTER):
            continue
        tensor = tensor.detach().cpu().float()
        tensor = tensor.half() if half and tensor.ndim > 1 else tensor
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite: train again")
        state[name] = tensor.contiguous()
    write_atomically(path, safetensors.torch.save(state, metadata={"osln": json.dumps(about)}))


def tagger_file(store: ModelStore, chosen: Path | None = None) -> Path | None:
    """File of the tagger to use: the chosen one, else the published version; None if there is neither.

    Raises:
        ValueError: If the published file is missing or not the one that was stored.
    """
    if chosen is not None:
        return chosen
    return store.file(TAGGER) if store.history(TAGGER) else None


def publish_tagger(store: ModelStore, file: Path, metric: float | None = None) -> Version:
    """Stores a copy of a tagger's file as a version and puts it into use.

    Args:
        store: Where to.
        file: As `save_tagger` wrote it.
        metric: Mean AUC of its tags on lesions that it has not seen.

    Raises:
        ValueError: As `Tagger.load`.
    """
    version = store.add_tagger(file, Tagger.load(file).describe(), metric)
    return store.publish(TAGGER, version.name)


def lesanet_of(state: Mapping[str, torch.Tensor], width: int = 64, embedding: int = 256) -> LesaNet:
    """LesaNet with a copy of these weights, in evaluation mode.

    Args:
        state: Tensors by published name; the counters of batch normalization may be missing.
        width, embedding: Of the network; the published one by default.

    Raises:
        ValueError: If names or shapes differ, or a weight is not a finite number or a variance negative; says
            which.
    """
    with torch.device("meta"):
        network = LesaNet(width, embedding)
    if differing := differing_tensors(network.state_dict(), state, ignored=COUNTER):
        count = sum(not name.endswith(COUNTER) for name in network.state_dict())
        raise ValueError(
            f"these are not weights of LesaNet (width {width}, embedding {embedding}): {len(differing)} of "
            f"{count} tensors differ: {'; '.join(differing[:6])}{'; ...' if len(differing) > 6 else ''}"
        )
    check_numbers(state, "LesaNet", CONVERT)
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(COUNTER)}
    filled(network, {**counters, **state})
    return network.eval()


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if metadata.get("origin") not in ORIGINS or not isinstance(metadata.get("trained_on"), str):
        raise ValueError(
            f"a tagger says its origin ({', '.join(ORIGINS)}) and what it was trained on, got "
            f"{metadata.get('origin')!r} and {metadata.get('trained_on')!r}"
        )
