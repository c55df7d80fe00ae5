"""Inference tasks: one per row of the table, from a case of the store to a label map and JSON."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.errors import NotReadyError
from lib.options import Choice, Option, Switch, checked, listed, shown
from lib.published import ROWS, Published, described
from lib.results import DTYPES, EXTENSIONS, plain, write_label_map
from osln.detection import Detections, detect
from osln.experiments import Experiment
from osln.grid import read_volume
from osln.imagefile import split_suffix
from osln.inference import Predictor, available_devices
from osln.study import Study, build_study, companions, load_study

LABELS = {"lymph node": 1}
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
        row: Which networks are asked and fused.
        published: The weights in use.
        devices: Devices that can be asked for, the default first.
    """

    def __init__(self, row: Experiment, published: Published, devices: tuple[str, ...]) -> None:
        super().__init__(InferType.SEGMENTATION, LABELS, 3, f"{row.title}. {NOTE}")
        self.row = row
        self.published = published
        self.devices = devices

    def is_valid(self) -> bool:
        """A row without weights stays in the viewers' list: asking it says what is missing."""
        return True

    def get_path(self, validate: bool = True) -> str | None:
        """The weights file of a row of one network, which `GET /model/NAME` hands out."""
        if len(self.row.segmenters) > 1:
            return None
        version = self.published.versions()[self.row.segmenters[0]]
        return str(version.path) if version else None

    def viewer_options(self) -> tuple[Option, ...]:
        points = tuple(f"precision {name}" for name in self.published.thresholds(self.row.name))
        return Choice("operating_point", points), Choice("device", self.devices)

    def config(self) -> dict[str, Any]:
        return shown(self.viewer_options())

    def info(self) -> dict[str, Any]:
        versions = self.published.versions()
        weights = described({name: versions[name] for name in self.row.segmenters})
        needs = ["ct", *(["pet"] if self.row.needs_pet else []), *(["tumor"] if self.row.needs_tumor else [])]
        return super().info() | {"needs": needs, "weights": weights}

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
        networks, versions = self.published.networks(self.row.name, device)
        loaded = time.perf_counter()
        study, warnings = self.study(Path(request["image"]), in_session="session" in request)
        read = time.perf_counter()
        threshold = self.published.thresholds(self.row.name)[
            options["operating_point"].removeprefix("precision ")
        ]
        # "cuda" and "cuda:0" are one device.
        with _device_locks["cuda:0" if device == "cuda" else device]:
            begun = time.perf_counter()
            found = self.detections(study, networks, threshold, device)
        detected = time.perf_counter()
        labels = found.labels_on_ct(study) > 0
        path = write_label_map(
            labels,
            study.ct.grid,
            study.ct.file_grid,
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
                "operating_point": options["operating_point"],
                "device": device,
                "warnings": [*warnings, *found.column.warnings],
                "models": described(versions),
                "latencies": {step: round(seconds, 3) for step, seconds in latencies.items()},
                "label_names": LABELS,
                "note": NOTE,
            }
        )

    def detections(
        self, study: Study, networks: Mapping[str, Predictor], threshold: float, device: str
    ) -> Detections:
        """Runs the networks; a GPU without room says so and keeps nothing of the attempt."""
        try:
            return detect(study, self.row, networks, threshold)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise NotReadyError(
                f"{device} has no memory left for this case: ask again with device cpu, or when other "
                "programs have left the GPU"
            ) from error

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
        return build_study("session", read_volume(ct))


def entries(found: Detections) -> dict[str, Any]:
    """Candidates as JSON values, each with its box in millimeters, and the grid their voxel boxes mean."""
    result = found.to_json()
    del result["seconds"]
    for entry in result["candidates"]:
        corners = [[x, y, z] for x in entry["box"][0] for y in entry["box"][1] for z in entry["box"][2]]
        # Voxel faces, half a voxel before the first and past the last center.
        faces = found.column.grid.index_to_mm([[value - 0.5 for value in corner] for corner in corners])
        entry["box_mm"] = [faces.min(axis=0), faces.max(axis=0)]
    grid = found.column.grid
    return result | {
        "coordinates": "RAS patient system in millimeters (x to the right, y to the front, z to the head)",
        "grid": {"shape": grid.shape, "affine": grid.affine, "meaning": "voxel boxes of the candidates"},
    }


def build(published: Published, devices: tuple[str, ...]) -> dict[str, InferTask]:
    """The tasks by row name; the fused pipeline leads."""
    return {name: RowInfer(row, published, devices) for name, row in ROWS.items()}
