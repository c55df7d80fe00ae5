"""Tumor and nodes of one CT from what was drawn on it, read from the newest to the oldest.

Only what has been read tells what a set has: one that cannot be used, or that has neither tumor nor node,
gives way to the next. Which was taken, and why the others were not, is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from osln.dicom.intake.case_labels import CaseLabels, case_labels, check_names, combined, segment_labels
from osln.dicom.intake.case_plans import CasePlan
from osln.dicom.intake.label_choice import HOLDS, KINDS, holds, made_at, newest_first
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.reading.files import DAMAGED, Series
from osln.dicom.reading.rtstruct import StructureSet, read_structures
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import ct_series
from osln.dicom.reading.volume import SeriesVolume
from osln.dicom.web.errors import PacsError


@dataclass
class DrawnLabels:
    """What was drawn on the CT of one case.

    Attributes:
        plan: Its series; which of them were chosen or left out is added there.
        rules: What names of regions mean.
        file_of: Gives the file of a structure set or segmentation.
        tell: Is told what is read.
        warnings: What a person should look at; grows.
        used: What tumor and nodes were taken from; another program's first.
    """

    plan: CasePlan
    rules: RoiRules
    file_of: Callable[[Series], Path]
    tell: Callable[[str], None]
    warnings: list[str]
    used: list[Series] = field(default_factory=list)
    _structures: dict[int, StructureSet] = field(default_factory=dict)

    def check_names(self) -> None:
        """Reads other programs' structure sets up to the one that counts, before pixels are read.

        Raises:
            AmbiguousNamesError: If somebody has to decide what a region is.
            ValueError: If one cannot be read.
        """
        for item in self.plan.structures:
            if not holds(item):
                meanings = check_names(self._structure_set(item), self.rules)
                if any(meaning.kind != "other" for meaning in meanings.values()):
                    return

    def read(self, ct: SeriesVolume, slices: list[Slice]) -> CaseLabels:
        """Tumor and nodes: at most one set of another program, and of ours what it lacks or has older.

        Args:
            ct: The volume.
            slices: Its images.

        Raises:
            AmbiguousNamesError: If somebody has to decide what a region or segment is.
            PacsError: If the PACS fails.
            ValueError: If a structure set cannot be used.
        """
        found: list[tuple[str, CaseLabels]] = []
        other, its = self._of_another_program(ct, slices)
        if other is not None and its is not None:
            self.used.append(other)
            found.append(("", its))
        for part in HOLDS.values():
            newer_than = other if its is not None and getattr(its, part) is not None else None
            if (own := self._approved(part, newer_than, ct, slices)) is not None:
                found.append((part, own))
        labels = combined(found)
        if labels.nodes is None and any(part == "nodes" and own.is_empty for part, own in found):
            # A person has approved that there are none.
            labels = replace(labels, nodes=np.zeros(ct.volume.grid.shape, np.uint16, order="F"))
        self.warnings += labels.warnings
        if found and labels.tumor is None:
            what = "region" if any(item.modality == "RTSTRUCT" for item in self.used) else "segment"
            self.warnings.append(f"no {what} is named as the primary tumor: contour it in the viewer")
        return labels

    def _of_another_program(
        self, ct: SeriesVolume, slices: list[Slice]
    ) -> tuple[Series | None, CaseLabels | None]:
        """The first that has tumor or nodes: structure sets before segmentations, the newest first.

        Where none has any it is the first that can be read, so that its regions are told.
        """
        items = [item for item in self.plan.drawn if not holds(item)]
        read: list[tuple[Series, CaseLabels]] = []
        for item in items:
            if (own := self._labels(item, ct, slices)) is not None:
                read.append((item, own))
                if has_any := own.tumor is not None or own.nodes is not None:
                    break
        if not read:
            return None, None
        chosen, labels = read[-1] if has_any else read[0]
        for item, own in read[:-1] if has_any else read:
            self.warnings.append(f"{item.name} was left out: it has neither tumor nor node")
            self.warnings += [f"{item.name}: {told}" for told in own.warnings if item is not chosen]
        if has_any:
            self._tell_choice(items, items.index(chosen))
        return chosen, labels

    def _tell_choice(self, items: list[Series], number: int) -> None:
        chosen, *older = items[number:]
        for item in older:
            if item.modality == chosen.modality:
                self.plan.left_out.append(f"{item.name}: a newer {KINDS[item.modality]} lies on this CT")
            else:
                told = "the structure set of this CT goes before it"
                self.warnings.append(f"{item.name} was left out: {told}")
        if chosen.modality == "SEG":
            has = "has tumor or nodes" if items[0].modality == "RTSTRUCT" else "lies on this CT"
            self.plan.chosen.append(f"{chosen.name} gives the labels: no structure set {has}")
        elif number:
            self.plan.chosen.append(f"{chosen.name} gives the labels: the newest that has tumor or nodes")

    def _approved(
        self, part: str, newer_than: Series | None, ct: SeriesVolume, slices: list[Slice]
    ) -> CaseLabels | None:
        """The newest tumor or nodes that were approved with this program.

        Args:
            part: "tumor" or "nodes".
            newer_than: Another program's set that has them, too, and goes before older ones, or None.
            ct, slices: As in `read`.
        """
        taken = None
        for item in newest_first([item for item in self.plan.drawn if holds(item) == part]):
            if taken is not None:
                told = f"the {part} approved with this program are in another object"
                self.plan.left_out.append(f"{item.name}: {told}")
            elif newer_than is not None and made_at(item) < made_at(newer_than):
                told = f"the {part} approved with this program are older than {newer_than.name}"
                self.warnings.append(f"{item.name} was left out: {told}")
            elif (taken := self._labels(item, ct, slices)) is not None:
                self.used.append(item)
                self.plan.chosen.append(f"{item.name} gives the {part}: approved with this program")
        return taken

    def _labels(self, item: Series, ct: SeriesVolume, slices: list[Slice]) -> CaseLabels | None:
        """Of one object; None, with a warning, for a segmentation that does not lie on the CT.

        Programs write segmentations in many ways, and CT and PET are worth having without them.
        """
        grid = ct.volume.grid
        if item.modality == "RTSTRUCT":
            self.tell("filling contours")
            return case_labels(self._structure_set(item), self.rules, grid, self.plan.ct.frame, ct.images)
        self.tell("reading the segmentation")
        try:
            drawn_on = ct_series(slices)
            if not drawn_on.grid.matches(grid):
                raise ValueError("the CT was resampled, so that the segmentation has no place on it")
            seg = read_seg(self.file_of(item), drawn_on)
        except PacsError:
            # That it did not come says nothing about it, and an older one must not take its place.
            raise
        except (ValueError, *DAMAGED) as error:
            self.warnings.append(f"{item.name} was left out: {error}")
            return None
        return segment_labels(seg, self.rules)

    def _structure_set(self, item: Series) -> StructureSet:
        if id(item) not in self._structures:
            self._structures[id(item)] = read_structures(self.file_of(item))
        return self._structures[id(item)]
