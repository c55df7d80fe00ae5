"""Sidecar entries of a patient's nodes and mimics, measured on its images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from osln.imaging.instances import radius_mm
from osln.phantom.findings.findings import Deposit, Finding, zone_of
from osln.phantom.patient.fields import SplineField
from osln.phantom.patient.pet import shown_at
from osln.phantom.patient.plan import PlannedPatient

# How far beyond a finding's own surface its uptake is searched, in mm: half a PET voxel's diagonal.
_SEARCH_MM = 3.0


def measure_findings(
    patient: PlannedPatient,
    boundary_mm: np.ndarray,
    voxel_mm3: float,
    counts: list[int],
    labels: list[int],
    pet_suv: np.ndarray,
    pet_grid: Sequence[np.ndarray],
    motion: SplineField | None,
) -> list[Finding]:
    """Sidecar entries of all nodes and mimics, measured on the images."""
    deposits = [*patient.nodes, *patient.mimics, *patient.spots]
    if not deposits:
        return []
    centers = np.array([d.center_mm for d in deposits])
    tree = cKDTree(boundary_mm) if len(boundary_mm) else None
    distances = tree.query(centers)[0] if tree else np.full(len(centers), np.inf)
    found = []
    for i, (deposit, where) in enumerate(zip(deposits, shown_at(centers, motion), strict=True)):
        is_node = i < len(patient.nodes)
        x, y, z = deposit.center_mm
        volume = counts[i] * voxel_mm3 if is_node else float(deposit.volume_mm3)
        found.append(
            Finding(
                kind=deposit.kind,
                zone=zone_of(float(distances[i])),
                distance_mm=float(distances[i]),
                center_mm=(float(x), float(y), float(z)),
                volume_mm3=volume,
                radius_mm=float(radius_mm(volume)),
                short_axis_mm=float(deposit.short_axis_mm),
                long_axis_mm=float(deposit.long_axis_mm),
                suv_max=_suv_max(deposit, where, pet_suv, pet_grid),
                avid=deposit.avid,
                osln=deposit.osln,
                tags=deposit.tags,
                label=labels[i] if is_node else 0,
                station=deposit.station,
            )
        )
    return found


def _suv_max(
    deposit: Deposit, where_mm: np.ndarray, pet_suv: np.ndarray, pet_grid: Sequence[np.ndarray]
) -> float:
    """Largest SUV within the finding's box around the place where the PET shows it; 0 outside the PET."""
    low = np.min([s.low_mm for s in deposit.outline], axis=0) - deposit.center_mm + where_mm - _SEARCH_MM
    high = np.max([s.high_mm for s in deposit.outline], axis=0) - deposit.center_mm + where_mm + _SEARCH_MM
    box = tuple(
        slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b)))
        for axis, a, b in zip(pet_grid, low, high, strict=True)
    )
    part = pet_suv[box]
    return float(part.max()) if part.size else 0.0
