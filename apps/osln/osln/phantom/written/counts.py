"""Counts of a phantom cohort: the only thing its parameters were tuned by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.phantom.findings.findings import Finding
from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.scan import Phantom

_PERCENTILES = (5, 25, 50, 75, 95)
_SIZE_CLASSES_MM = ((0.0, 5.0), (5.0, 7.0), (7.0, 9.5), (9.5, 99.0))


@dataclass(frozen=True)
class CaseCounts:
    """What the counts table needs of one case.

    Attributes:
        findings: nodes and mimics.
        osln_voxels: voxels of each OSLN.
        proximal_share: share of the voxels within 70 mm of the tumor.
    """

    findings: Sequence[Finding]
    osln_voxels: Sequence[int]
    proximal_share: float


def case_counts(phantom: Phantom) -> CaseCounts:
    """Reduce a phantom to its counts."""
    spacing = np.abs(np.diag(phantom.affine))[:3]
    distance = ndimage.distance_transform_edt(~phantom.tumor, sampling=spacing)
    voxels = np.bincount(phantom.nodes.ravel())[1:].tolist()
    return CaseCounts(phantom.findings, voxels, float((distance <= 70.0).mean()))


def breaks_rule(finding: Finding, parameters: PhantomParameters) -> bool:
    """Whether an OSLN would not count by the rule with a hard border at 70 mm."""
    if finding.zone == "proximal":
        return finding.short_axis_mm < parameters.visible_short_mm
    return not (finding.avid or finding.short_axis_mm >= parameters.enlarged_short_mm)


def counts_table(cases: Iterable[CaseCounts], parameters: PhantomParameters) -> list[tuple[str, str]]:
    """Rows of (what, value) for a cohort.

    Args:
        cases: one entry per patient, at least one.
        parameters: the cohort's parameters.

    Returns:
        Printable rows.
    """
    cases = list(cases)
    if not cases:
        raise ValueError("counts_table expects at least one case, got none")
    n = len(cases)
    nodes = [f for case in cases for f in case.findings if f.kind == "node"]
    oslns = [f for f in nodes if f.osln]
    rows = [("patients", str(n)), ("OSLN per patient", f"{len(oslns) / n:.2f}")]
    for zone in ("proximal", "distal"):
        here = [f for f in oslns if f.zone == zone]
        rows.append((f"  {zone}", f"{len(here) / n:.2f}"))
        rows.append((f"  {zone}, avid share", _share(f.avid for f in here)))
    rows.append(("avid share of OSLNs", _share(f.avid for f in oslns)))
    rows.append(("patients without OSLN", str(sum(not any(f.osln for f in case.findings) for case in cases))))
    rows.append(
        ("OSLN short axis, mm, percentiles 5 25 50 75 95", _percentiles([f.short_axis_mm for f in oslns]))
    )
    rows.append(("OSLN under 10 mm", _share(f.short_axis_mm < 10 for f in oslns)))
    rows.append(("SUVmax of avid OSLNs, percentiles", _percentiles([f.suv_max for f in oslns if f.avid])))
    voxels = [v for case in cases for v in case.osln_voxels]
    rows.append(("OSLN voxels, percentiles 5 25 50 75 95", _percentiles(voxels)))
    rows.append(("OSLNs that break the hard rule", _share(breaks_rule(f, parameters) for f in oslns)))
    for zone in ("proximal", "distal"):
        benign = [f for f in nodes if not f.osln and f.zone == zone]
        sizes = "  ".join(
            f"{low:g}-{high:g} mm {sum(low <= f.short_axis_mm < high for f in benign) / n:.1f}"
            for low, high in _SIZE_CLASSES_MM
        )
        rows.append((f"non-OSLN nodes per patient, {zone}", f"{len(benign) / n:.1f} ({sizes})"))
    kinds = sorted({f.kind for case in cases for f in case.findings} - {"node"})
    for kind in kinds:
        of_kind = [f for case in cases for f in case.findings if f.kind == kind]
        near = sum(f.zone == "proximal" for f in of_kind)
        rows.append((f"{kind} per patient", f"{len(of_kind) / n:.1f} ({near / n:.1f} proximal)"))
    rows.append(("voxels in the proximal zone", f"{np.mean([case.proximal_share for case in cases]):.0%}"))
    return rows


def _share(flags: Iterable[bool]) -> str:
    """Share of true flags, "-" when there are none."""
    values = list(flags)
    return f"{np.mean(values):.0%} of {len(values)}" if values else "-"


def _percentiles(values: Sequence[float]) -> str:
    """The five percentiles of the table."""
    if not len(values):
        return "-"
    return " ".join(f"{v:.1f}" for v in np.percentile(values, _PERCENTILES))
