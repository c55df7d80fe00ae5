"""`node-click`: a node's outline from clicks, as 3D Slicer's SmartEdit and the viewers' panels ask for it."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.models.label_maps import write_label_map
from lib.options import Choice, Number, Option, Switch, checked
from lib.store.cases import read_ct
from osln.clicks.answering import InUse
from osln.clicks.clicks import checked_clicks, from_indices, points_of
from osln.clicks.outline import RADIUS_MM, Outline
from osln.files.arrays import plain
from osln.files.images import split_suffix
from osln.imaging.grid import Grid, grid_in_file_order, in_file_order
from osln.imaging.resampling import resample
from osln.imaging.study import Study, build_study
from osln.output.cases import load_for
from osln.output.label_maps import DTYPES, EXTENSIONS, LABELS
from osln.output.result import NOTE
from osln.published import SERVED_ROWS
from osln.store.layout import companions

logger = logging.getLogger(__name__)

NAME = "node-click"
POINTS = ("foreground", "background", "foreground_mm", "background_mm")
FROM_VIEWERS = ("model", "image", "session", "label", "reset_state", *POINTS)
"""Keys that are no options: the URL's, the clicks, the segment that is drawn, and SAM's."""
OPTIONS: tuple[Option, ...] = (
    Choice("result_extension", (".nrrd", *(one for one in EXTENSIONS if one != ".nrrd"))),
    Choice("result_dtype", DTYPES),
    Switch("result_compress", True),
    Switch("crop", False),
)
RADIUS = Number("radius_mm", RADIUS_MM[0], *RADIUS_MM)
KEPT_CASES, KEPT_BYTES = 4, 1_500_000_000
"""Images of so many cases, and at most so many bytes of them, stay in memory between clicks."""


class ClickInfer(InferTask):
    """The click model as MONAI Label's inference task.

    Args:
        in_use: What answers.
    """

    def __init__(self, in_use: InUse) -> None:
        super().__init__(InferType.DEEPGROW, LABELS, 3, f"One node by clicks inside and outside it. {NOTE}")
        self.in_use = in_use
        self.images = Images()

    def is_valid(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        return super().info() | {"needs": ["ct"]}

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Outlines the clicked node.

        Args:
            request: `image` is the path of the CT in a store or of a session's upload, `session` is there for
                the latter. `foreground` and `background` are lists of voxel indices in the axes order of the
                CT's file, `foreground_mm` and `background_mm` of RAS mm; both kinds may be mixed.
                `radius_mm` is the radius that the answer shall have, `crop` asks for its box alone.

        Returns:
            Path of a temporary label map, value 1 the node, and the result as JSON values.

        Raises:
            ValueError: If an option is not allowed, the clicks cannot be of one node, or the case cannot be
                used.
        """
        options = checked(request, (*OPTIONS, RADIUS), FROM_VIEWERS)
        radius = None if request.get(RADIUS.name) is None else options[RADIUS.name]
        points = {name: points_of(request.get(name), name) for name in POINTS}
        begun = time.perf_counter()
        study, warnings = self.images.of(Path(request["image"]), in_session="session" in request)
        read = time.perf_counter()
        inside, outside = (
            np.concatenate([from_indices(points[name], study.ct), points[f"{name}_mm"]])
            for name in ("foreground", "background")
        )
        answer = self.in_use()
        found, method = answer(study.ct, study.pet, checked_clicks(inside, outside, study.ct), radius)
        answered = time.perf_counter()
        path, place = _written(found, study, options)
        done = time.perf_counter()
        latencies = {
            "read": read - begun,
            "outline": answered - read,
            "write": done - answered,
            "total": done - begun,
        }
        told = {
            "model": NAME,
            "method": method,
            "node": _node(found, study),
            "clicks": {"foreground": len(inside), "background": len(outside)},
            "warnings": warnings,
            "latencies": {step: round(seconds, 3) for step, seconds in latencies.items()},
            "label_names": LABELS,
            "coordinates": "RAS patient system in millimeters",
            "note": NOTE,
        }
        return str(path), plain(told | place)


def _written(found: Outline, study: Study, options: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The label map of the whole CT or of the node's box, and where the box lies."""
    kinds = {
        "extension": options["result_extension"],
        "dtype": options["result_dtype"],
        "compress": options["result_compress"],
    }
    whole = study.ct.file_grid
    box = grid_in_file_order(found.grid, whole)
    node = in_file_order(found.node, found.grid, box).astype(np.uint8)
    start = np.round(whole.mm_to_index(box.affine[:3, 3])).astype(int)
    if options["crop"]:
        crop = {"start": start, "shape": box.shape, "origin_mm": box.affine[:3, 3], "affine": box.affine}
        return write_label_map(node, box, box, LABELS, **kinds), {"crop": crop}
    # In the file's own order from the beginning: turning a whole CT takes longer than answering.
    labels = np.zeros(whole.shape, np.uint8, order="F")
    labels[tuple(slice(a, a + n) for a, n in zip(start, box.shape, strict=True))] = node
    return write_label_map(labels, whole, whole, LABELS, **kinds), {}


def _node(found: Outline, study: Study) -> dict[str, Any]:
    """What is told of a node, as of a candidate."""
    inside = np.argwhere(found.node)
    corners = found.grid.index_to_mm(np.array(_corners(found.grid)) - 0.5)
    peak = None
    if study.pet is not None:
        peak = float(resample(study.pet.array, study.pet.grid, found.grid)[found.node].max())
    return {
        "center_mm": found.grid.index_to_mm(inside.mean(axis=0)),
        "radius_mm": found.radius_mm,
        "volume_mm3": len(inside) * found.grid.voxel_mm3,
        "box_mm": [corners.min(axis=0), corners.max(axis=0)],
        "suv_max": peak,
    }


def _corners(grid: Grid) -> list[tuple[int, int, int]]:
    x, y, z = grid.shape
    return [(i, j, k) for i in (0, x) for j in (0, y) for k in (0, z)]


class Images:
    """CT and PET of the last cases, so that only the first click of a case waits for files.

    Files that were written again are read again.
    """

    def __init__(self, cases: int = KEPT_CASES, most_bytes: int = KEPT_BYTES) -> None:
        self._cases, self._bytes = cases, most_bytes
        self._kept: OrderedDict[tuple[Any, ...], tuple[Study, list[str]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, ct: Path, *, in_session: bool) -> tuple[Study, list[str]]:
        """The images of the case that a CT belongs to, without tumor and nodes, and warnings about them.

        A PET that cannot be used is left out with a warning, as clicks are answered without one too.

        Raises:
            ValueError: The CT cannot be used.
        """
        paths = None if in_session else companions(ct.parent, split_suffix(ct)[0])
        files = [ct] if paths is None or paths.pet is None else [ct, paths.pet]
        stats = [path.stat() for path in files]
        # Files of one size that were unpacked with the times of an archive differ in their place on the disk.
        key = tuple(
            (str(path), one.st_ino, one.st_size, one.st_mtime_ns)
            for path, one in zip(files, stats, strict=True)
        )
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if paths is None:
            read = (build_study("session", read_ct("session", ct)), list[str]())
        else:
            read = load_for(SERVED_ROWS["ct"], replace(paths, tumor=None))
        with self._lock:
            self._kept[key] = read
            # What a case was before its files changed is of no use.
            for other in [one for one in self._kept if one != key and one[0][0] == key[0][0]]:
                del self._kept[other]
            while len(self._kept) > 1 and (len(self._kept) > self._cases or self._size() > self._bytes):
                self._kept.popitem(last=False)
        return read

    def _size(self) -> int:
        studies = [study for study, _ in self._kept.values()]
        return sum(image.array.nbytes for study in studies for image in (study.ct, study.pet) if image)
