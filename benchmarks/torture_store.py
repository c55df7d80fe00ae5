"""What clients send to a store under torture, what was acknowledged, and whether all of it is still there."""

import gzip
import hashlib
import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import requests
import torch

from benchmarks.torture_tally import Tally
from osln.files.images import twins
from osln.imaging.transforms import Scaling
from osln.networks.build import segmenter_network
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.store.revisions import label_revisions
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore

NETWORK = "ef-distal"
NODES = [{"name": "lymph node", "idx": 1}]
THERE, MAYBE, GONE = "there", "maybe", "gone"


def digest(image: np.ndarray) -> str:
    """Checksum of an image's voxels and shape."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def voxels(path: Path) -> np.ndarray:
    """Of a NIfTI file, in its own order."""
    return np.asanyarray(nib.load(path).dataobj)


def nifti(array: np.ndarray, affine: np.ndarray) -> bytes:
    """The bytes of a .nii.gz file."""
    return gzip.compress(nib.Nifti1Image(array, affine).to_bytes(), 1)


class Annotator:
    """Draws and sends labels of one case, each with other nodes than all before.

    Args:
        studies: The store.
        case: Id of the case.
        seed: Of what is drawn.
        name: Sent as the author.
    """

    def __init__(self, studies: Path, case: str, seed: int, name: str) -> None:
        image = nib.load(studies / f"{case}.nii.gz")
        self.case, self.name = case, name
        self._shape, self._affine = image.shape, image.affine
        self._random = np.random.default_rng(seed)

    def draw(self) -> np.ndarray:
        """Some boxes of nodes."""
        label = np.zeros(self._shape, np.uint8)
        for _ in range(3):
            low = [int(self._random.integers(0, size - 6)) for size in self._shape]
            label[tuple(slice(start, start + int(self._random.integers(2, 6))) for start in low)] = 1
        return label

    def send(self, url: str, label: np.ndarray, base: int | None = None) -> requests.Response:
        """Submits a label; `base` is the revision that was edited."""
        params: dict[str, Any] = {"label_info": NODES, "client_id": self.name}
        if base is not None:
            params["base_revision"] = base
        return requests.put(
            f"{url}/datastore/label?image={self.case}&tag=final",
            files={"label": ("label.nii.gz", nifti(label, self._affine))},
            data={"params": json.dumps(params)},
            timeout=30,
        )


@dataclass
class Ledger:
    """What was acknowledged; written by many threads.

    Attributes:
        labels: By case: revision number and checksum of its voxels.
        cts: Uploaded CTs by case: state and checksum.
        versions: Published versions of the network that is trained.
        in_turn: Those that are published in turn, as on the page of the models.
        usable: Which of those may be in use: the one that was acknowledged last, and those asked for since.
        published: Number of acknowledged publications of these.
    """

    labels: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    cts: dict[str, tuple[str, str]] = field(default_factory=dict)
    versions: set[str] = field(default_factory=set)
    in_turn: tuple[str, ...] = ()
    usable: set[str] = field(default_factory=set)
    published: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def label(self, case: str, revision: int, label: np.ndarray, tally: Tally) -> None:
        """Notes an acknowledged label; a number that was given before is a loss."""
        with self.lock:
            if revision in self.labels[case]:
                tally.found("lost", f"revision {revision} of {case} was acknowledged twice")
            self.labels[case][revision] = digest(label > 0)
            tally.acknowledged += 1

    def check(self, studies: Path, models: Path, tally: Tally) -> None:
        """Compares everything acknowledged with what lies in the stores."""
        for case, known in self.labels.items():
            check_labels(studies, case, known, tally)
        for case, (state, checksum) in self.cts.items():
            check_ct(studies, case, state, checksum, tally)
        check_models(models, self.versions, tally)
        if self.usable:
            check_used(models, {*self.in_turn} - self.usable, tally)


def check_labels(studies: Path, case: str, known: dict[int, str], tally: Tally) -> None:
    """Every acknowledged revision is in the history with its voxels, and the final label is the newest."""
    kept = label_revisions(studies, case, "final")
    with kept.lock():
        kept.settle()
        history = {revision.revision: revision for revision in kept.history()}
    for number, checksum in known.items():
        if number not in history:
            tally.found("lost", f"revision {number} of {case} was acknowledged and is not in the history")
        elif digest(voxels(kept.path(number)) > 0) != checksum:
            tally.found("lost", f"revision {number} of {case} holds other voxels than those acknowledged")
    if known:
        head = history[max(history)]
        if hashlib.sha256(kept.final.read_bytes()).hexdigest() != head.sha256:
            tally.found("lost", f"the final label of {case} is not its newest revision")


def check_ct(studies: Path, case: str, state: str, checksum: str, tally: Tally) -> None:
    """An acknowledged CT is there with its voxels, a deleted one is gone with its companions."""
    path = studies / f"{case}.nii.gz"
    found = [path] if path.exists() else twins(path)
    if found and digest(voxels(found[0])) != checksum:
        tally.found("lost", f"CT {case} holds other voxels than those acknowledged")
    if state == THERE and not found:
        tally.found("lost", f"CT {case} was acknowledged and is not there")
    if state == GONE and found:
        tally.found("lost", f"CT {case} was deleted and is there again")
    if not found and any((studies / "labels" / tag / path.name).exists() for tag in ("final", "gtv")):
        tally.found("lost", f"case {case} was deleted by half: a label lies there without its CT")


def check_models(models: Path, versions: set[str], tally: Tally) -> None:
    """Every published version is in the history, and the weights in use are whole."""
    store = ModelStore(models)
    try:
        history = {version.name for version in store.history(NETWORK)}
        store.load(NETWORK)
    except ValueError as error:
        tally.found("lost", f"the weights in use cannot be read: {error}")
        return
    if missing := versions - history:
        tally.found("lost", f"published versions are gone: {', '.join(sorted(missing))}", len(missing))


def check_used(models: Path, replaced: set[str], tally: Tally) -> None:
    """None of the versions that others were put in place of is in use."""
    used = ModelStore(models).published(NETWORK)
    if used is not None and used.name in replaced:
        tally.found("lost", f"{used.name} is in use again, although another version was put in its place")


def untrained(seed: int) -> Checkpoint:
    """Random weights of the network that is trained."""
    torch.manual_seed(seed)
    network = segmenter_network(SEGMENTERS[NETWORK], PRESETS["demo"])
    return Checkpoint(NETWORK, "demo", Scaling(), network.state_dict(), "phantom", {"preset": "demo"})


def publish_untrained(models: Path, seed: int = 0) -> str:
    """Puts random weights into use; returns the name of the version."""
    store = ModelStore(models)
    return store.publish(NETWORK, store.add(untrained(seed)).name).name
