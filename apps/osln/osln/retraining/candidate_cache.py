"""Candidate sets of a store's cases, made once and kept as files beside the studies.

A set belongs to the very weights, threshold, images and label that it was made from; if one of them
changes it is made anew. Each case's files are complete as soon as they are there, so that an interrupted
run goes on where it was.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from osln.detection import detect
from osln.files.arrays import read_array, write_array
from osln.files.whole import sweep, write_json
from osln.imaging.grid import Volume
from osln.imaging.study import Study
from osln.retraining.matched_points import candidate_counts, matched, unlabeled_columns
from osln.rows.experiments import ROWS, Preset
from osln.stage_one.inference import Predictor
from osln.stage_two.candidate_sets import CandidateSet, candidate_set, iou_path, load_set, node_iou, save_set
from osln.store.approved import marked_study
from osln.store.layout import StorePaths, companions, file_marks, load_study, marked_in_part
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore, Version

NODES_OUTSIDE = "nodes outside the column are missed"
"""Part of a set's key: sets that were made without counting them are made anew."""
NEAREST = "of equal thresholds the nearest"
"""Part of the key of sets by versions that are not in use: those at the highest of equals are made anew."""

_SETTINGS = {row.teacher.setting.key for row in ROWS.values() if row.classifier} - {ROWS["osln"].stage_one}
_MARKS = {key: f"-of-{key}" for key in _SETTINGS}
"""Part of a set's file name by what hands it over; none for the paper's, which came first."""
NOBODYS = "-of-"
"""In the name of a set that was handed over by what no row of this version of the software asks."""

LEFT_OUT = ".left-out-thresholds.json"
"""Beside the folder of the sets: at which threshold versions that left out patients hand over."""

MATCHED_CASES = 4
"""Unlabeled cases by which the threshold of other versions is found."""


@dataclass(frozen=True)
class Asked:
    """How the candidates of a case are made.

    Attributes:
        versions: Version of each stage-one network of the row.
        add_nodes: Add the true nodes, for training.
        labeled: False for a case whose nodes nobody has approved: as if it had none.
    """

    versions: Mapping[str, Version]
    add_nodes: bool
    labeled: bool = True


class CandidateCache:
    """Candidates, and tags, of the approved cases of a store in one setting of stage one.

    Args:
        root: Folder of the studies; the files lie below `<root>/.osln/.candidates`.
        store: Gives the weights and the threshold at which stage one hands over.
        row: Row of `ROWS` whose stage two is handed the candidates.
        preset: Of the networks; gives patch and margin.
        tagger: Tagger whose tags are wanted; None for none.
        device: Where the networks run.
        overlaps: Whether the sets have their `iou`.
    """

    def __init__(
        self,
        root: Path,
        store: ModelStore,
        row: str,
        preset: Preset,
        tagger: Tagger | None = None,
        device: str = "cpu",
        *,
        overlaps: bool = False,
    ) -> None:
        self.overlaps = overlaps
        self.root, self.store, self.preset, self.device = root, store, preset, device
        self.row = ROWS[ROWS[row].stage_one]
        self.threshold = ROWS[row].handed(store.thresholds(self.row.name))
        self.mark = _MARKS.get(ROWS[row].teacher.setting.key, "")
        self.tagger = tagger
        self._networks: dict[str, tuple[str, Predictor]] = {}
        self._thresholds: dict[tuple[str, ...], float] = {}
        self._counts: dict[tuple[str, ...], np.ndarray] = {}

    @property
    def folder(self) -> Path:
        return self.root / ".osln" / ".candidates"

    def in_use(self) -> dict[str, Version]:
        """The published version of each network of the row.

        Raises:
            ValueError: A network has no weights.
        """
        found = {}
        for name in self.row.segmenters:
            version = self.store.published(name)
            if version is None:
                self.store.load(name)
            found[name] = version
        return found  # type: ignore[return-value]

    def has(self, case: str, asked: Asked) -> bool:
        """Whether everything that `get` would make is there."""
        path = self._path(case, file_marks(companions(self.root, case)), asked)
        if self.overlaps and not iou_path(path).is_file():
            return False
        return path.is_file() and (self.tagger is None or _tags_path(path, self.tagger).is_file())

    def get(self, case: str, asked: Asked) -> tuple[CandidateSet, np.ndarray | None]:
        """The set of a case and, with a tagger, the (n, 171) float32 tags of its candidates.

        What is not there is made; files of the case that were made from something else are removed.

        Raises:
            ValueError: The case cannot be used: says what it lacks.
        """
        paths = companions(self.root, case)
        marks = file_marks(paths)
        path = self._path(case, marks, asked)
        content = _read(path, self.overlaps)
        if content is None:
            # Somebody may have stored a label since: the set is kept as that of what it was made from.
            study, marks = marked_study(self.root, case)
            path = self._path(case, marks, asked)
            content = self._made(study, asked)
            save_set(path, content)
            if content.iou is not None:
                write_array(iou_path(path), content.iou)
        tags = None if self.tagger is None else self._tags(self.tagger, paths, path, content)
        sweep(path.parent)
        for other in path.parent.iterdir():
            # A file that begins with a dot is being written by somebody else.
            if _mark(other.name) in (self.mark, NOBODYS) and not other.name.startswith((path.stem, ".")):
                other.unlink(missing_ok=True)
        return replace(content, partial=marked_in_part(marks)), tags

    def collect(
        self,
        wanted: Mapping[str, Asked],
        on_step: Callable[[str], None] | None = None,
        most: int | None = None,
    ) -> tuple[list[CandidateSet], list[np.ndarray] | None, dict[str, str]]:
        """The sets of several cases, made one after the other where they are not there yet.

        Args:
            wanted: How each case's candidates are made.
            on_step: Called with a sentence before a case's candidates are made.
            most: Ends with so many sets, which takes more cases where some cannot be used.

        Returns:
            Sets, their tags (None without a tagger), and the reasons for the cases that cannot be used.
        """
        sets: list[CandidateSet] = []
        tags, skipped = [], {}
        for number, (case, asked) in enumerate(wanted.items(), start=1):
            if len(sets) == most:
                break
            try:
                if on_step is not None and not self.has(case, asked):
                    on_step(f"looking for the candidates of {case} ({number} of {len(wanted)})")
                content, told = self.get(case, asked)
            except ValueError as error:
                skipped[case] = str(error)
                continue
            sets.append(content)
            tags.append(told)
        return sets, None if self.tagger is None else tags, skipped  # type: ignore[return-value]

    def keep_only(self, cases: Iterable[str]) -> None:
        """Removes what is kept of all other cases, whose labels or images are gone."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name not in set(cases):
                shutil.rmtree(path, ignore_errors=True)

    def _made(self, study: Study, asked: Asked) -> CandidateSet:
        networks = {name: self._network(name, version) for name, version in asked.versions.items()}
        if not asked.labeled:
            none = np.zeros(study.ct.grid.shape, dtype=np.uint8)
            study = replace(study, nodes=Volume(none, study.ct.grid, study.ct.file_grid))
        found = detect(study, self.row, networks, self._threshold_of(asked.versions))
        content = candidate_set(found, self.preset.stage_two, add_nodes=asked.add_nodes)
        return replace(content, iou=node_iou(found, content)) if self.overlaps else content

    def _threshold_of(self, versions: Mapping[str, Version]) -> float:
        """The operating point of these versions.

        It was measured for those in use. Others, which were trained without some patients, get the threshold
        that finds as many candidates in unlabeled cases; without such a case they get that of those in use.
        """
        key, in_use = _together(versions), self.in_use()
        if key == _together(in_use):
            return self.threshold
        if key not in self._thresholds:
            self._thresholds[key] = self._kept_threshold(versions, in_use)
        return self._thresholds[key]

    def _kept_threshold(self, versions: Mapping[str, Version], in_use: Mapping[str, Version]) -> float:
        """The threshold, found once and kept: cases that come later do not part sets of the same versions."""
        path = self.folder.with_name(LEFT_OUT)
        told = (_together(versions), _together(in_use), self.row.name, self.threshold, NEAREST)
        key = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
        kept = _thresholds_in(path)
        if key not in kept:
            value = matched(self._counted(in_use), self._counted(versions), self.threshold)
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = _thresholds_in(path) | {key: float(value)}
            write_json(path, kept)
        return kept[key]

    def _counted(self, versions: Mapping[str, Version]) -> np.ndarray:
        """Candidates that versions find in unlabeled cases, at each threshold."""
        key = _together(versions)
        if key not in self._counts:
            columns = unlabeled_columns(self.root, self.row.segmenters[0], self.preset)[:MATCHED_CASES]
            networks = {
                name: Predictor(self.store.load(name, version), self.device)
                for name, version in versions.items()
                if columns
            }
            self._counts[key] = candidate_counts(self.row, networks, columns)
        return self._counts[key]

    def _network(self, name: str, version: Version) -> Predictor:
        """The network, loaded; of each name only the one used last is kept in memory."""
        sha256, network = self._networks.get(name, ("", None))
        if network is None or sha256 != version.sha256:
            network = Predictor(self.store.load(name, version), self.device)
            self._networks[name] = (version.sha256, network)
        return network

    def _tags(self, tagger: Tagger, paths: StorePaths, path: Path, content: CandidateSet) -> np.ndarray:
        target = _tags_path(path, tagger)
        tags = _read_tags(target)
        if tags is None or len(tags) != len(content.lesions):
            for other in path.parent.glob(f"{path.stem}-tags-*.npy"):
                other.unlink(missing_ok=True)
            ct_alone = replace(paths, pet=None, tumor=None, nodes=None, truth=None)
            tags = tagger.tag_lesions(load_study(ct_alone).ct, content.lesions)
            write_array(target, tags)
        return tags

    def _path(self, case: str, marks: tuple[object, ...], asked: Asked) -> Path:
        content = (
            sorted((name, version.sha256) for name, version in asked.versions.items()),
            self.row.name,
            self.threshold,
            # Versions that are not in use have their threshold from those that are.
            *([] if _together(asked.versions) == (used := _together(self.in_use())) else (*used, NEAREST)),
            self.preset.spacing_mm,
            self.preset.window,
            self.preset.stage_two.patch,
            self.preset.stage_two.margin,
            asked.add_nodes,
            asked.labeled,
            NODES_OUTSIDE,
            *marks,
        )
        key = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
        return self.folder / case / f"{key}{self.mark}.npz"


def _thresholds_in(path: Path) -> dict[str, float]:
    """What was kept; a damaged file is made anew."""
    try:
        found = json.loads(path.read_text())
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _read(path: Path, iou: bool) -> CandidateSet | None:
    """The stored set; a damaged file is made anew."""
    wanted = (path, iou_path(path)) if iou else (path,)
    try:
        return load_set(path, iou=iou) if all(one.is_file() for one in wanted) else None
    except (ValueError, OSError):
        for one in wanted:
            one.unlink(missing_ok=True)
        return None


def _read_tags(path: Path) -> np.ndarray | None:
    """The stored tags; None if there are none or the file is damaged."""
    try:
        return read_array(path) if path.is_file() else None
    except (ValueError, OSError):
        return None


def _mark(name: str) -> str:
    """Whose sets a file belongs to; those of others, which other networks are handed, lie beside it."""
    return next((mark for mark in _MARKS.values() if mark in name), NOBODYS if NOBODYS in name else "")


def _together(versions: Mapping[str, Version]) -> tuple[str, ...]:
    """What tells a set of versions from another one."""
    return tuple(version.sha256 for _, version in sorted(versions.items()))


def _tags_path(path: Path, tagger: Tagger) -> Path:
    """File of the tags beside that of the set."""
    return path.with_name(f"{path.stem}-tags-{tagger.sha256[:12]}.npy")
