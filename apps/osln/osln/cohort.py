"""Phantom patients as training columns in memory, kept in a folder so that they are made once."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from osln.column import Column, prepare
from osln.experiments import Preset
from osln.grid import Grid, canonical
from osln.phantom import GENERATOR_VERSION, PhantomParameters
from osln.phantom.imaging import image_patient
from osln.phantom.patient import grid_axes, plan_patient
from osln.sampling import compact
from osln.study import build_study

FIRST_SEED = {
    "train": 100_000,
    "validation": 200_000,
    "test": 300_000,
    "stage two": 400_000,
    "tagger": 500_000,
}
"""First phantom seed of each split; patients of different splits never share a seed."""
FORMAT = 2
"""Of the stored files; another one makes them anew."""
CENTER_MM = (0.0, -10.0)
"""Where the lungs of the phantoms lie in x and y on average, as `prepare` would find them."""
LENGTH_MM = (0.0, 312.0)


@dataclass(frozen=True)
class Patient:
    """A phantom as networks see it, and the truth about its nodes.

    Attributes:
        column: Compact column; `nodes` holds the instances that count.
        truth: Entry by instance label: zone, avid, short_axis_mm.
        others: Number of nodes that do not count, by zone.
        findings: Every node and every mimic: kind, center_mm (RAS), short_axis_mm, long_axis_mm, tags.
    """

    column: Column
    truth: dict[int, dict[str, object]]
    others: dict[str, int]
    findings: tuple[dict[str, Any], ...] = ()


def cohort_key(preset: Preset, parameters: PhantomParameters) -> str:
    """Short name of everything that the columns depend on besides the seed."""
    content = (
        FORMAT,
        GENERATOR_VERSION,
        asdict(parameters),
        preset.spacing_mm,
        preset.window,
        CENTER_MM,
        LENGTH_MM,
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def split_seeds(split: str, count: int) -> range:
    """Phantom seeds of the first `count` patients of a split."""
    return range(FIRST_SEED[split], FIRST_SEED[split] + count)


def make_patient(seed: int, preset: Preset, parameters: PhantomParameters | None = None) -> Patient:
    """Make a phantom and prepare it like a patient.

    Only the lung column is imaged, which is what `prepare` would cut out of the whole body. It is as
    wide as at inference, so that the networks see skin and back muscle too.

    Args:
        seed: The phantom's seed.
        preset: Gives the working grid.
        parameters: The phantom's numbers; the frozen ones if omitted.
    """
    half = [0.5 * size * step for size, step in zip(preset.window, preset.spacing_mm, strict=True)]
    box = [(c - h, c + h) for c, h in zip(CENTER_MM, half[:2], strict=True)]
    plan = plan_patient(seed, parameters or PhantomParameters())
    phantom = image_patient(plan, grid_axes([*box, LENGTH_MM], preset.spacing_mm))
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    study = build_study(
        f"phantom-{seed}",
        canonical(phantom.ct_hu, grid),
        canonical(phantom.pet_suv, Grid(phantom.pet_suv.shape, phantom.pet_affine)),
        canonical(phantom.tumor, grid),
        canonical(phantom.nodes, grid),
    )
    nodes = [finding for finding in phantom.findings if finding.kind == "node"]
    others = [finding.zone for finding in nodes if not finding.label]
    return Patient(
        column=compact(prepare(study, preset)),
        truth={
            finding.label: {
                "zone": finding.zone,
                "avid": finding.avid,
                "short_axis_mm": round(finding.short_axis_mm, 2),
            }
            for finding in nodes
            if finding.label
        },
        others={zone: others.count(zone) for zone in ("proximal", "distal")},
        findings=tuple(
            {
                name: value
                for name, value in finding.to_json().items()
                if name in ("kind", "center_mm", "short_axis_mm", "long_axis_mm", "tags")
            }
            for finding in phantom.findings
        ),
    )


@dataclass(frozen=True)
class PhantomCohort:
    """Phantoms of one preset in a folder.

    Args:
        root: Folder for the columns, about 6 MB each.
        preset: Gives the working grid.
        parameters: The phantom's numbers.
    """

    root: Path
    preset: Preset
    parameters: PhantomParameters = field(default_factory=PhantomParameters)

    @property
    def folder(self) -> Path:
        return self.root / f"phantoms-{cohort_key(self.preset, self.parameters)}"

    def patient(self, seed: int) -> Patient:
        """The patient of a seed, read from the folder or made and stored there."""
        path = self.folder / f"{seed}.npz"
        if path.is_file():
            return _read(path)
        patient = make_patient(seed, self.preset, self.parameters)
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, patient)
        return patient

    def patients(self, seeds: Iterable[int]) -> Iterator[Patient]:
        """The patients of several seeds, one after the other."""
        for seed in seeds:
            yield self.patient(seed)


def _write(path: Path, patient: Patient) -> None:
    column = patient.column
    description = {
        "case": column.case,
        "truth": {str(label): entry for label, entry in patient.truth.items()},
        "others": patient.others,
        "findings": patient.findings,
        "warnings": list(column.warnings),
    }
    temporary = path.with_name(f".{path.stem}.npz")
    np.savez(
        temporary,
        affine=column.grid.affine,
        ct_hu=column.ct_hu,
        pet_suv=column.pet_suv,  # type: ignore[arg-type]
        distance_mm=column.distance_mm,  # type: ignore[arg-type]
        nodes=column.nodes,  # type: ignore[arg-type]
        body=np.packbits(column.body),
        description=np.array(json.dumps(description)),
    )
    temporary.replace(path)


def _read(path: Path) -> Patient:
    with np.load(path) as stored:
        ct_hu = stored["ct_hu"]
        description = json.loads(str(stored["description"]))
        column = Column(
            case=description["case"],
            grid=Grid(ct_hu.shape, stored["affine"]),
            ct_hu=ct_hu,
            pet_suv=stored["pet_suv"],
            distance_mm=stored["distance_mm"],
            tumor=None,
            nodes=stored["nodes"],
            body=np.unpackbits(stored["body"], count=ct_hu.size).reshape(ct_hu.shape).astype(bool),
            warnings=tuple(description["warnings"]),
        )
    truth = {int(label): entry for label, entry in description["truth"].items()}
    return Patient(column, truth, description["others"], tuple(description["findings"]))


def count_patients(patients: Iterable[Patient]) -> dict[str, float]:
    """Means per patient of what decides how hard a cohort is; the parameters are chosen by these alone.

    "precision of finding every node" is the macro precision of a detector that finds all nodes and nothing
    else, but does not know which of them count: below it, the clinical rule is not asked for.
    """
    n, small, sizes = 0, 0, 0
    total: dict[str, float] = {}
    precisions = []
    for patient in patients:
        n += 1
        for entry in patient.truth.values():
            key = f"nodes {entry['zone']} {'avid' if entry['avid'] else 'cold'}"
            total[key] = total.get(key, 0) + 1
            sizes += 1
            small += float(entry["short_axis_mm"]) < 10  # type: ignore[arg-type]
        for zone, count in patient.others.items():
            total[f"other nodes {zone}"] = total.get(f"other nodes {zone}", 0) + count
        everything = len(patient.truth) + sum(patient.others.values())
        if everything:
            precisions.append(len(patient.truth) / everything)
    means = {name: value / max(n, 1) for name, value in sorted(total.items())}
    return {
        "patients": n,
        "nodes": sizes / max(n, 1),
        **means,
        "share below 10 mm": small / max(sizes, 1),
        "precision of finding every node": float(np.mean(precisions)) if precisions else 0.0,
    }
