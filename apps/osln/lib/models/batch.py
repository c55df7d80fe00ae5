"""Batch inference: predictions for many cases, one report per case, whatever a single case does.

MONAI Label's own task divides by the number of GPUs, also where there is none, and ends at the first
case that fails.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType, BatchInferTask

from lib.errors import translated
from lib.models import node_click
from lib.models.jobs import JobFiles, Report, be_idle
from lib.options import Choice, Number, Option, checked, listed
from lib.temporary import server

logger = logging.getLogger(__name__)

OF_THE_SERVER = ("job",)
"""Keys that the server puts into a request."""
OF_THE_STOCK_BODY = ("model", "images", "multi_gpu", "gpus", "max_workers", "save_label")
"""Keys of the default body that mean nothing here: one case after the other on one device, always saved."""


class Batch(BatchInferTask):
    """Runs a row on all, the labeled or the unlabeled cases and stores the predictions.

    Args:
        devices: Devices that can be asked for, the default first.
    """

    def __init__(self, devices: tuple[str, ...]) -> None:
        self.devices = devices
        # The default body of the route says "cuda" on every computer.
        self.options: tuple[Option, ...] = (
            Choice("device", (*devices, "cuda") if "cuda" not in devices else devices),
            Choice("label_tag", (DefaultLabelTag.ORIGINAL.value,)),
            Number("max_batch_size", 0, 0, 1_000_000),
        )
        self.passed_on = ("operating_point", "score", "show_rejected", "result_extension")

    def check(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The checked options of a request; those of the row are checked by the row itself.

        Raises:
            ValueError: If an option is unknown or not allowed, or the model needs somebody who clicks.
        """
        if request.get("model") == node_click.NAME:
            raise ValueError(
                f"{node_click.NAME} needs clicks in a case: ask it with POST /infer/{node_click.NAME}; the "
                "rows, osln for instance, run on many cases"
            )
        return checked(request, self.options, (*OF_THE_STOCK_BODY, *OF_THE_SERVER, *self.passed_on))

    def wanted(self, request: Mapping[str, Any], datastore: Datastore) -> list[str]:
        """The cases of a request in their order, those of its job if it has one.

        Raises:
            ValueError: If an option is not allowed, or a listed case is not in the store.
        """
        if number := request.get("job"):
            return JobFiles(datastore.root).cases(number)
        cases, most = self.get_images(request, datastore), self.check(request)["max_batch_size"]
        return cases[:most] if most else cases

    def get_images(self, request: Mapping[str, Any], datastore: Datastore) -> list[str]:
        """The cases that a request asks for, by name.

        Raises:
            ValueError: If a listed case is not in the store.
        """
        images = request.get("images", BatchInferImageType.IMAGES_ALL)
        if isinstance(images, str):
            wanted = BatchInferImageType(images)
            if wanted == BatchInferImageType.IMAGES_LABELED:
                return sorted(datastore.get_labeled_images())
            if wanted == BatchInferImageType.IMAGES_UNLABELED:
                return sorted(datastore.get_unlabeled_images())
            return sorted(datastore.list_images())
        strange = sorted(set(images) - set(datastore.list_images()))
        if strange:
            raise ValueError(f"these cases are not in the store: {listed(strange)}")
        return list(images)

    def __call__(self, request: Mapping[str, Any], datastore: Datastore, infer: Callable) -> dict[str, Any]:
        """Runs the row on the cases, one after the other.

        Args:
            request: `model`, `images` ("all", "labeled", "unlabeled" or a list of ids) and options.
            datastore: Where the cases are and the predictions go.
            infer: The app's inference, called as `infer(request, datastore)`.

        Returns:
            By case: `status` "done" or "failed", and what was found or why not; every case that was asked
            for is there, unless the job was canceled.
        """
        with translated():
            options = self.check(request)
            cases = self.wanted(request, datastore)
        number = request.get("job")
        job = Report(JobFiles(datastore.root), number, len(cases)) if number else None
        if server()[0] not in (0, os.getpid()):
            be_idle()
        device = options["device"] if options["device"] in self.devices else self.devices[0]
        if device != options["device"]:
            logger.info("batch: no GPU here, running on %s", device)
        report: dict[str, Any] = {}
        start = time.monotonic()
        for count, case in enumerate(cases, start=1):
            if job is not None:
                if job.canceled:
                    break
                job.begin(case)
            own = {key: request[key] for key in self.passed_on if key in request}
            own |= {"model": request.get("model"), "image": case, "device": device, "save_label": True}
            report[case] = one_case(own, datastore, infer)
            if job is not None:
                job.end(case, report[case].get("error"))
            left = (time.monotonic() - start) / count * (len(cases) - count)
            logger.info("batch %d/%d %s: %s; %.0f s left", count, len(cases), case, said(report[case]), left)
        failed = sum(entry["status"] == "failed" for entry in report.values())
        logger.info("batch: %d cases done, %d failed", len(report) - failed, failed)
        return report


def one_case(
    request: dict[str, Any], datastore: Datastore, infer: Callable, *, again: bool = True
) -> dict[str, Any]:
    """Runs one case and reports instead of raising; once more, if its files changed meanwhile."""
    start = time.monotonic()
    try:
        result = infer(request, datastore)
        Path(result["file"]).unlink(missing_ok=True)
    except HTTPException as error:
        if again and error.status_code == 409:
            logger.info("batch: case %s once more: %s", request["image"], error.detail)
            return one_case(request, datastore, infer, again=False)
        return {"status": "failed", "error": str(error.detail)}
    except Exception as error:
        logger.exception("batch: case %s failed", request["image"])
        return {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    found = result["params"]
    return {
        "status": "done",
        "label": result["label"],
        "tag": result["tag"],
        "candidates": len(found["candidates"]),
        "kept": sum(candidate["kept"] for candidate in found["candidates"]),
        "warnings": found["warnings"],
        "seconds": round(time.monotonic() - start, 2),
    }


def said(entry: Mapping[str, Any]) -> str:
    """One case's report as a line of the log."""
    if entry["status"] == "failed":
        return f"failed: {entry['error']}"
    return f"{entry['kept']} of {entry['candidates']} candidates kept in {entry['seconds']} s"
