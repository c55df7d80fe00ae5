"""Inference tasks: one per row of the table, from a case of the store to a label map and JSON."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.errors import NotReadyError
from lib.models.label_maps import DTYPES, EXTENSIONS, entries, write_label_map
from lib.models.operation import operation, row_options
from lib.models.published import ROWS, Published, described
from lib.options import Choice, Option, Switch, checked, listed, shown
from lib.store.cases import read_ct
from osln.detection import detect
from osln.files.arrays import plain
from osln.files.images import split_suffix
from osln.imaging.study import Study, build_study
from osln.rows.experiments import Experiment
from osln.stage_one.candidates import Detections
from osln.store.layout import companions, load_study
from osln.weights.devices import available_devices

LABELS = {"lymph node": 1}
WITH_REJECTED = {**LABELS, "rejected candidate": 2}
NOTE = "Research software, not for clinical use: every candidate is to be checked by a physician."
FROM_SERVER = ("model", "image", "session", "restore_label_idx")
"""Keys of a request that the URL or a viewer sets and that are no options."""

FILE_OPTIONS: tuple[Option, ...] = (
    Choice("result_extension", EXTENSIONS),
    Choice("result_dtype", DTYPES),
    Switch("result_compress", True),
    Switch("save_label", False),
    Choice("label_tag", (DefaultLabelTag.ORIGINAL.value,)),
)

_device_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)


def devices(preferred: str | None = None) -> tuple[str, ...]:
    """The devices of this computer, best first.

    Args:
        preferred: Device to put first.

    Raises:
        ValueError: If the preferred device is not there.
    """
    found = sorted(available_devices(), key=lambda name: name == "cpu")
    if preferred is None:
        return tuple(found)
    if preferred not in found:
        raise ValueError(f"device {preferred!r} is not available: this computer has {listed(found)}")
    return (preferred, *(name for name in found if name != preferred))


class RowInfer(InferTask):
    """One row of the table as MONAI Label's inference task.

    Args:
        row: Which networks are asked and fused, and which one scores the candidates again.
        published: The weights in use.
        devices: Devices that can be asked for, the default first.
    """

    def __init__(self, row: Experiment, published: Published, devices: tuple[str, ...]) -> None:
        labels = LABELS if row.classifier is None else WITH_REJECTED
        super().__init__(InferType.SEGMENTATION, labels, 3, f"{row.title}. {NOTE}")
        self.row = row
        self.published = published
        self.devices = devices

    def is_valid(self) -> bool:
        """A row without weights stays in the viewers' list: asking it says what is missing."""
        return True

    def get_path(self, validate: bool = True) -> str | None:
        """The weights file of a row of one network, which `GET /model/NAME` hands out."""
        if len(self.row.networks) > 1:
            return None
        version = self.published.versions()[self.row.networks[0]]
        return str(version.path) if version else None

    def viewer_options(self) -> tuple[Option, ...]:
        return row_options(self.row, self.published, self.devices)

    def config(self) -> dict[str, Any]:
        return shown(self.viewer_options())

    def info(self) -> dict[str, Any]:
        versions, answering = self.published.versions(), self.published.answering(self.row)
        names = [*self.row.networks, *([answering.classifier] if answering else [])]
        needs = ["ct", *(["pet"] if self.row.needs_pet else []), *(["tumor"] if self.row.needs_tumor else [])]
        told = {"needs": needs, "weights": described({name: versions[name] for name in names})}
        if answering is not None:
            tagger = self.published.tagger.describe() if self.row.needs_tags else None
            told |= {
                "classifier": answering.classifier,
                "tagger": tagger,
                "warnings": answering.warnings,
            }
        return super().info() | told

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Runs the row on one case.

        Args:
            request: `image` is the path of the CT in a store or of a session's upload, `session` is there
                for the latter; the rest are options.

        Returns:
            Path of a temporary label map in the CT's voxel order, and the result as JSON values.

        Raises:
            ValueError: If an option is not allowed, weights are missing, or the case cannot be used.
        """
        options = checked(request, (*self.viewer_options(), *FILE_OPTIONS), FROM_SERVER)
        device = options["device"]
        start = time.perf_counter()
        with room_on(device):
            chosen = operation(self.row, self.published, options)
        loaded = time.perf_counter()
        study, warnings = self.study(Path(request["image"]), in_session="session" in request)
        read = time.perf_counter()
        # "cuda" and "cuda:0" are one device.
        with _device_locks["cuda:0" if device == "cuda" else device], room_on(device):
            begun = time.perf_counter()
            found = detect(study, self.row, chosen.networks, chosen.threshold, chosen.second)
        detected = time.perf_counter()
        with_rejected = bool(options.get("show_rejected"))
        names = WITH_REJECTED if with_rejected else LABELS
        path = write_label_map(
            label_map(found, study, with_rejected=with_rejected),
            study.ct.grid,
            study.ct.file_grid,
            names,
            extension=options["result_extension"],
            dtype=options["result_dtype"],
            compress=options["result_compress"],
        )
        done = time.perf_counter()
        latencies = {
            "networks": loaded - start,
            "read": read - loaded,
            "wait": begun - read,
            **found.seconds,
            "write": done - detected,
            "total": done - start,
        }
        return str(path), plain(
            entries(found)
            | {
                "model": self.row.name,
                "operating_point": chosen.point,
                "device": device,
                "warnings": [*chosen.warnings, *warnings, *found.column.warnings],
                "models": described(chosen.versions),
                "latencies": {step: round(seconds, 3) for step, seconds in latencies.items()},
                "label_names": names,
                "note": NOTE,
            }
        )

    def study(self, ct: Path, *, in_session: bool) -> tuple[Study, list[str]]:
        """The case that this CT belongs to, without the approved nodes, which no network may see.

        A companion that the row does not need serves the candidates' values (SUV, distance) if it can be
        used, and is left out with a warning if it cannot.
        """
        if in_session:
            return self._uploaded(ct), []
        paths = replace(companions(ct.parent, split_suffix(ct)[0]), nodes=None)
        needed = replace(
            paths,
            pet=paths.pet if self.row.needs_pet else None,
            tumor=paths.tumor if self.row.needs_tumor else None,
        )
        try:
            return load_study(paths), []
        except ValueError as error:
            if needed == paths:
                raise
            return load_study(needed), [f"left out, as {self.row.name} does not need it: {error}"]

    def _uploaded(self, ct: Path) -> Study:
        if self.row.needs_pet or self.row.needs_tumor:
            lacking = "PET and tumor" if self.row.needs_pet else "the tumor"
            raise ValueError(
                f"a session holds a CT alone, and {self.row.name} needs {lacking}: use ct, or put the case "
                "into the store"
            )
        return build_study("session", read_ct("session", ct))


@contextmanager
def room_on(device: str) -> Iterator[None]:
    """Where the networks are loaded and run; a GPU without room says so and keeps nothing of the attempt."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise NotReadyError(
            f"{device} has no memory left for this case: ask again with device cpu, or when other "
            "programs have left the GPU"
        ) from error


def label_map(found: Detections, study: Study, *, with_rejected: bool) -> np.ndarray:
    """(x, y, z) uint8 on the CT's grid: 1 for nodes, and 2 for rejected candidates if they are asked for."""
    if not with_rejected:
        found = replace(found, labels=found.kept_labels)
    labels = found.labels_on_ct(study)
    values = (labels > 0).astype(np.uint8)
    # Candidates come by falling score: the kept ones have the smallest ids.
    values += labels > len(found.kept)
    return values


def build(published: Published, devices: tuple[str, ...]) -> dict[str, InferTask]:
    """The tasks by row name; the fused pipeline leads."""
    return {name: RowInfer(row, published, devices) for name, row in ROWS.items()}
