"""Lesions of phantom patients with their tags: from a cohort in memory or from the sidecars of a store.

The sidecars say of every node and every mimic which tags hold; a tag that is not listed does not hold.
Hot spots and brown fat are not described by body region there, so for them the regions are unknown.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.imaging.grid import Volume, read_volume
from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.lesion_patch import MARGIN_MM, BoxMm, lesion_patch
from osln.tagging.lesion_set import Lesion

REGIONS = ("chest", "abdomen", "neck")
LEFT_OUT = ("vessel",)
"""Long walks through the fat: their center may lie beside the vessel."""


def finding_box(finding: Mapping[str, Any]) -> tuple[BoxMm, float]:
    """Lesion box of a finding in its axial plane, and its height.

    The sidecar knows the axes of a finding but not how they are turned. The box is a square around the
    center, half as wide as the long axis or as twice the short one, whichever is less, and padded as the
    boxes of candidates are.

    Args:
        finding: With center_mm (RAS), short_axis_mm and long_axis_mm.
    """
    x, y, z = (float(value) for value in finding["center_mm"])
    half = min(float(finding["long_axis_mm"]), 2 * float(finding["short_axis_mm"])) / 2 + MARGIN_MM
    return ((x - half, x + half), (y - half, y + half)), z


def finding_lesions(case: str, ct: Volume, findings: Sequence[Mapping[str, Any]]) -> Iterator[Lesion]:
    """The findings whose center lies in the field of the CT, without long vessels.

    Raises:
        ValueError: If a finding has a tag that LesaNet does not know.
    """
    last = np.asarray(ct.grid.shape) - 1
    for finding in findings:
        index = ct.grid.mm_to_index(np.asarray(finding["center_mm"], dtype=float))
        if finding["kind"] in LEFT_OUT or (index < -0.5).any() or (index > last + 0.5).any():
            continue
        if unknown := sorted(set(finding["tags"]) - set(TAG_NAMES)):
            raise ValueError(
                f"case {case}: LesaNet has no tags {', '.join(unknown)}; was the sidecar written by "
                "this program?"
            )
        labels = np.zeros(len(TAG_NAMES), dtype=bool)
        labels[[TAG_INDEX[name] for name in finding["tags"]]] = True
        certain = np.ones(len(TAG_NAMES), dtype=bool)
        if not set(REGIONS) & set(finding["tags"]):
            certain[[TAG_INDEX[name] for name in REGIONS]] = False
        image, box = lesion_patch(ct, *finding_box(finding))
        yield Lesion(case, image, box, labels, certain, reliable=certain)


def cohort_lesions(cohort: Cohort, case: str) -> Iterator[Lesion]:
    """Lesions of a phantom, on the CT that the tagger looks at; beyond it, its outermost voxels."""
    return finding_lesions(case, cohort.ct(case), cohort.findings(case))


def store_cases(root: str | Path) -> list[str]:
    """Cases of a store whose findings are told in `truth/<case>.json`, sorted.

    Raises:
        ValueError: If there is none.
    """
    cases = sorted(path.stem for path in (Path(root) / "truth").glob("*.json"))
    if not cases:
        raise ValueError(
            f"{root} holds no findings: expected truth/<case>.json beside <case>.nii.gz, as "
            "./scripts/osln phantoms writes them"
        )
    return cases


def store_lesions(root: str | Path, cases: Sequence[str]) -> Iterator[Lesion]:
    """Lesions of some cases of a store.

    Raises:
        ValueError: If a sidecar or its CT cannot be read.
    """
    for case in cases:
        path = Path(root) / "truth" / f"{case}.json"
        try:
            findings = json.loads(path.read_text())["findings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path.name} is not a phantom's sidecar ({error}): make the case anew"
            ) from error
        yield from finding_lesions(case, read_volume(Path(root) / f"{case}.nii.gz"), findings)
