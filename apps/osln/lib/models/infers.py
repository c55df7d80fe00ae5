"""Inference tasks: one per row of the table, from a case of the store to a label map and JSON."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.models import node_click
from lib.models.label_maps import write_label_map
from lib.models.operation import row_options
from lib.options import Choice, Option, Switch, checked, shown
from lib.store.cases import read_ct
from osln.active.evidence import weights_key
from osln.active.gathering import case_evidence
from osln.clicks.answering import InUse
from osln.files.images import split_suffix
from osln.imaging.study import Study, build_study
from osln.jobs.memory import give_back
from osln.output.cases import load_for
from osln.output.label_maps import (
    DTYPES,
    EXTENSIONS,
    LABELS,
    WITH_REJECTED,
    candidate_map,
    candidate_names,
    label_map,
)
from osln.output.result import NOTE, described, result
from osln.pipeline import NoRoomError, Pipeline, in_use
from osln.published import Published
from osln.rows.experiments import Row
from osln.stage_one.candidates import Detections
from osln.store.layout import companions
from osln.weights.store_state import SHIPPED

logger = logging.getLogger(__name__)

CPU = "cpu"
FROM_SERVER = ("model", "image", "session", "restore_label_idx")
"""Keys of a request that the URL or a viewer sets and that are no options."""

FILE_OPTIONS: tuple[Option, ...] = (
    Choice("result_extension", EXTENSIONS),
    Choice("result_dtype", DTYPES),
    Switch("result_compress", True),
    Choice("candidates", ("kept", "all")),
    Switch("save_label", False),
    Choice("label_tag", (DefaultLabelTag.ORIGINAL.value,)),
)

EVIDENCE = "evidence"
"""Key of a result that is stored: what it leaves behind for the strategies. No reply has it."""

_device_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)


def alone(row: Row) -> str:
    """What has to be known of a row that ends with stage one; nothing for the others."""
    if row.classifier is not None:
        return ""
    false = round(100 * (1 - float(row.handed_at)))
    return (
        f"Ends with stage one, whose candidates stage two is there to sort out: at precision {row.handed_at} "
        f"about {false} of 100 are false. "
    )


class RowInfer(InferTask):
    """One row of the table as MONAI Label's inference task.

    Args:
        row: Which networks are asked and fused, and which one scores the candidates again.
        published: The weights in use.
        devices: Devices that can be asked for, the default first.
    """

    def __init__(self, row: Row, published: Published, devices: tuple[str, ...]) -> None:
        labels = LABELS if row.classifier is None else WITH_REJECTED
        super().__init__(InferType.SEGMENTATION, labels, 3, f"{row.title}. {alone(row)}{NOTE}")
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
        remarks = self.published.remarks(self.row)
        names = [*self.row.networks, *([answering.classifier] if answering else [])]
        needs = ["ct", *(["pet"] if self.row.needs_pet else []), *(["tumor"] if self.row.needs_tumor else [])]
        told = {"needs": needs, "weights": described({name: versions[name] for name in names})}
        if self.row.classifier is not None:
            tagger = self.published.tagger.describe() if self.row.needs_tags else None
            classifier = answering and answering.classifier
            told |= {"classifier": classifier, "tagger": tagger, "warnings": remarks}
        return super().info() | told

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Runs the row on one case.

        Args:
            request: `image` is the path of the CT in a store or of a session's upload, `session` is there
                for the latter; the rest are options.

        Returns:
            Path of a temporary label map in the CT's voxel order, and the result as JSON values; with the
            option save_label a `CaseEvidence` under `EVIDENCE` besides.

        Raises:
            ValueError: If an option is not allowed, weights are missing, or the case cannot be used.
        """
        options = checked(request, (*self.viewer_options(), *FILE_OPTIONS), FROM_SERVER)
        device = options["device"]
        start = time.perf_counter()
        pipeline = self._pipeline(device, options)
        loaded = time.perf_counter()
        study, warnings = self.study(Path(request["image"]), in_session="session" in request)
        read = time.perf_counter()
        found, pipeline = self._detect(pipeline, study, options)
        detected = time.perf_counter()
        every = options["candidates"] == "all"
        with_rejected = bool(options.get("show_rejected")) and not every
        path = self._written(found, study, options, with_rejected=with_rejected)
        done = time.perf_counter()
        latencies = {
            "networks": loaded - start,
            "read": read - loaded,
            "wait": max(0.0, detected - read - sum(found.seconds.values())),
            **found.seconds,
            "write": done - detected,
            "total": done - start,
        }
        told = result(
            found,
            pipeline,
            warnings=warnings,
            latencies=latencies,
            with_rejected=with_rejected,
            with_values=every,
        )
        if options["save_label"]:
            # Of a row with stage two that at which these candidates were handed over, whatever was published
            # since; else the row's own: a prediction at another point, which was asked for, is kept.
            threshold = pipeline.threshold if pipeline.second else self.published.handed(self.row)
            key = weights_key(self.row.name, pipeline.checksums, threshold)
            told[EVIDENCE] = case_evidence(found, study.case, key)
        give_back()
        return str(path), told

    def _written(
        self, found: Detections, study: Study, options: Mapping[str, Any], *, with_rejected: bool
    ) -> Path:
        """A temporary label map: of the nodes, or of every candidate, whose values need their own type."""
        if options["candidates"] == "all":
            labels, names = candidate_map(found, study), candidate_names(found)
            dtype = labels.dtype.name
        else:
            labels = label_map(found, study, with_rejected=with_rejected)
            names = WITH_REJECTED if with_rejected else LABELS
            dtype = options["result_dtype"]
        return write_label_map(
            labels,
            study.ct.grid,
            study.ct.file_grid,
            names,
            extension=options["result_extension"],
            dtype=dtype,
            compress=options["result_compress"],
        )

    def _pipeline(self, device: str, options: Mapping[str, Any]) -> Pipeline:
        """The row on a device, or on the CPU if a GPU has no room for its networks."""
        point, score = options["operating_point"], options.get("score", 0.0)
        try:
            return in_use(self.row, self.published, device, point, score)
        except NoRoomError:
            if device == CPU:
                raise
            return _fallen_back(in_use(self.row, self.published, CPU, point, score), device)

    def _detect(
        self, pipeline: Pipeline, study: Study, options: Mapping[str, Any]
    ) -> tuple[Detections, Pipeline]:
        """What is found, and what has found it: the CPU, once, if a GPU has no room for the case."""
        device = pipeline.device
        try:
            with _turn_on(device):
                return pipeline.detect(study), pipeline
        except NoRoomError:
            if device == CPU:
                raise
        pipeline = _fallen_back(self._pipeline(CPU, options), device)
        with _turn_on(CPU):
            return pipeline.detect(study), pipeline

    def study(self, ct: Path, *, in_session: bool) -> tuple[Study, list[str]]:
        """The case that this CT belongs to, without the approved nodes, which no network may see."""
        if in_session:
            return self._uploaded(ct), []
        return load_for(self.row, companions(ct.parent, split_suffix(ct)[0]))

    def _uploaded(self, ct: Path) -> Study:
        if self.row.needs_pet or self.row.needs_tumor:
            lacking = "PET and tumor" if self.row.needs_pet else "the tumor"
            raise ValueError(
                f"a session holds a CT alone, and {self.row.name} needs {lacking}: use ct, or put the case "
                "into the store"
            )
        return build_study("session", read_ct("session", ct))


def _turn_on(device: str) -> threading.Lock:
    # "cuda" and "cuda:0" are one device.
    return _device_locks["cuda:0" if device == "cuda" else device]


def _fallen_back(pipeline: Pipeline, device: str) -> Pipeline:
    warning = f"{device} had no memory left, so this was computed on the CPU, which takes longer"
    logger.warning("%s: %s", pipeline.row.name, warning)
    return replace(pipeline, warnings=[*pipeline.warnings, warning])


def build(published: Published, devices: tuple[str, ...]) -> dict[str, InferTask]:
    """The tasks by name: the rows, of which the fused pipeline leads, and the one that answers clicks."""
    rows = {name: RowInfer(row, published, devices) for name, row in published.rows.items()}
    clicks = node_click.ClickInfer(InUse(published.store.root / SHIPPED))
    return {**rows, node_click.NAME: clicks}
