"""Runs the tables on a cohort and writes the report."""

import json
import os
import platform
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from osln.cohorts.approved_cases import StoreCohort
from osln.cohorts.cohort import SPLITS, Cohort
from osln.cohorts.phantoms import KINDS, PLANTED_SPLITS, Background, PhantomCohort
from osln.files.arrays import write_json
from osln.files.code import code_key
from osln.files.images import write_atomically
from osln.jobs.artifact import Artifact, Made, with_needs
from osln.jobs.engine import Engine
from osln.jobs.processes import available_gpus
from osln.jobs.run import run_jobs
from osln.learning.cores import usable_cores
from osln.metrics.intervals import setting
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.classes import OUTSIDE, node_classes, node_volumes_mm3
from osln.reproduction.code import TRAINED
from osln.reproduction.figures import Result, all_figures, table_figures
from osln.reproduction.gallery import draw_all
from osln.reproduction.html import page
from osln.reproduction.kept_training import CODE
from osln.reproduction.plan import EVALUATED, Plan
from osln.reproduction.reading import read_candidates, read_result
from osln.reproduction.report import Content, blocks, markdown, write_tables
from osln.reproduction.stage_one import read_figures
from osln.rows.experiments import CLASSIFIERS, Preset, Row
from osln.rows.paper import TABLES, CohortSizes
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import load_checkpoint

PHANTOM = "phantom"
"""Instead of a folder: patients are generated."""
RECORD = "seconds.jsonl"
"""File of the times that artifacts took."""


def open_cohort(
    data: str,
    work: Path,
    preset: Preset,
    sizes: CohortSizes,
    kind: str = "default",
    backgrounds: Sequence[Path] = (),
    ct_spacing_mm: tuple[float, float, float] | None = None,
) -> Cohort:
    """The cohort of the command line.

    Args:
        data: "phantom", or the folder of a store.
        work: Folder for the prepared patients.
        preset: Gives the working grid.
        sizes: Of a generated cohort.
        kind: The same, of `KINDS`.
        backgrounds: Of the same: real CTs that some of the training patients are planted into.
        ct_spacing_mm: Of the same: voxels of the CT that the tagger looks at.

    Raises:
        ValueError: The store cannot be used; says why.
    """
    if data == PHANTOM:
        splits = {split: sizes.of(split) for split in SPLITS}
        into = tuple(map(Background, backgrounds))
        return PhantomCohort(work, preset, KINDS[kind], splits, into, ct_spacing_mm)
    return StoreCohort.open(Path(data), work, preset)


def run_tables(plan: Plan, output: Path, engine: Engine) -> Content:
    """Does what is not done yet, then writes tables, pictures, report and the record of the run.

    Args:
        plan: What is run.
        output: Folder of the report.
        engine: Makes what is missing.

    Returns:
        What was written. Rows whose networks could not be trained or asked are named in `missing`.

    Raises:
        ValueError: Another run uses the same folder, the cohort cannot be used, or no row could be run.
    """
    artifacts = Artifacts(plan)
    wanted = artifacts.all()
    failures = make_all(plan.work, wanted, engine)
    missing = artifacts.rows_without(failures)
    results = {row: read_result(artifacts, row) for row in plan.rows if row not in missing}
    if not results:
        raise ValueError(f"no row could be run: {next(iter(missing.values()))}")
    content = collect(artifacts, results, missing, _seconds(plan.work / RECORD, with_needs(wanted)))
    write_report(artifacts, content, results, output)
    return content


def make_all(work: Path, wanted: Iterable[Artifact], engine: Engine) -> dict[str, Exception]:
    """Makes what is not there of these and notes how long each took.

    Args:
        work: Folder that everything lies in.
        wanted: What they need is made too.
        engine: Makes them.

    Returns:
        As `run_jobs`.

    Raises:
        ValueError: Another run uses the same folder; others as `run_jobs`.
    """
    work.mkdir(parents=True, exist_ok=True)

    def note(name: str, made: Made) -> None:
        append(work / RECORD, json.dumps({"job": name, "seconds": round(made.seconds, 2)}))

    try:
        with FileLock(work / "lock", timeout=0):
            return run_jobs(wanted, engine, note)
    except Timeout as error:
        raise ValueError(f"another run works in {work}: wait for it or give another --work") from error


def append(record: Path, line: str) -> None:
    """Adds a line; the last one may have been torn by a full disk."""
    with record.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(f"{line}\n".encode())


def write_report(artifacts: Artifacts, content: Content, results: dict[Row, Result], output: Path) -> None:
    """Tables as Markdown and JSON, pictures, report.md, report.html and run.json."""
    write_tables(content, output)
    pictures = draw_all(artifacts, results, output / "pictures")
    listed = list(blocks(content, pictures))
    write_atomically(output / "report.md", markdown(listed, output).encode())
    write_atomically(output / "report.html", page(listed).encode())
    write_json(
        output / "run.json",
        {
            **content.about,
            "trainings": content.trainings,
            "job_seconds": content.seconds,
            "cohort_figures": content.cohort,
        },
    )


def collect(
    artifacts: Artifacts, results: dict[Row, Result], missing: dict[Row, str], seconds: dict[str, float]
) -> Content:
    """Everything that the report tells."""
    plan, cohort = artifacts.plan, artifacts.cohort
    figures = all_figures(results, cohort.patients_of("test"))
    settings = dict.fromkeys(row.setting for row in results if row.kind == "froc" and not row.detector)
    titles = {line.row: line.title for name in plan.tables for line in TABLES[name].lines}
    trainings = _trainings(artifacts, results)
    about = _about(plan)
    if former := _by_former_code(trainings):
        about["former_code"] = (
            f"trained by other code than this version's, and kept: {', '.join(former)}; another --work "
            "trains anew"
        )
    return Content(
        about=about,
        tables=[one for name in plan.tables if (one := table_figures(TABLES[name], figures))["lines"]],
        cohort={split: describe(cohort, split) for split in SPLITS if cohort.cases(split)},
        classes={
            titles[row]: [read_figures(artifacts.counts(row, seed).path) for seed in range(plan.seeds)]
            for row in results
            if row.kind == "recall"
        },
        candidates={row.key: _candidates(artifacts, row) for row in settings},
        trainings={name: record for name, (record, _) in trainings.items()},
        left_out=cohort.left_out_cases,
        missing={titles[row]: reason for row, reason in missing.items()},
        seconds=seconds,
    )


def describe(cohort: Cohort, split: str) -> dict[str, float]:
    """Figures of a split's patients; volumes and zones are of the nodes in the searched column."""
    patient_of = dict(zip(cohort.cases(split), cohort.patients_of(split), strict=True))
    patient_of = {case: patient for case, patient in patient_of.items() if cohort.path(case).is_file()}
    columns = [cohort.column(case) for case in patient_of]
    volumes = np.concatenate([node_volumes_mm3(column) for column in columns] or [np.zeros(0)])
    classes = [words for column in columns for words in node_classes(column).values()]
    # In every figure they are missed.
    outside = [column.nodes_outside() for column in columns]
    nodes = len(volumes) + sum(outside)
    with_nodes = {
        patient
        for patient, column, beyond in zip(patient_of.values(), columns, outside, strict=True)
        if beyond or column.nodes.any()  # type: ignore[union-attr]
    }
    patients = len(set(patient_of.values()))
    found = {
        "patients": patients,
        **({"cases": len(columns)} if len(columns) > patients else {}),
        "nodes": nodes,
        **({f"nodes {OUTSIDE}": sum(outside)} if any(outside) else {}),
        "nodes per patient": nodes / max(patients, 1),
        "patients without nodes": patients - len(with_nodes),
    }
    if len(volumes):
        low, middle, high = np.percentile(volumes, [25, 50, 75])
        found |= {"volume, mm3: 25 %": low, "50 %": middle, "75 %": high}
    for name in sorted({zone for zone, _ in classes}):
        found[f"nodes per patient, {name}"] = sum(zone == name for zone, _ in classes) / patients
    return {name: float(value) for name, value in found.items()}


def _candidates(artifacts: Artifacts, row: Row) -> dict[str, dict[str, float]]:
    """What a setting leaves to stage two, of the first seed."""
    found = {}
    for split in EVALUATED:
        sets = read_candidates(artifacts, row, 0, split)
        scored = [one.scored() for one in sets]
        nodes = sum(one.n_nodes for one in scored)
        found[split] = {
            "nodes": nodes / len(sets),
            "candidates": sum(one.n_candidates for one in sets) / len(sets),
            "false": sum(int((~one.hits).sum()) for one in scored) / len(sets),
            "ceiling": sum(int(one.hits.sum()) for one in scored) / nodes if nodes else float("nan"),
        }
    return found


def _trainings(artifacts: Artifacts, rows: Iterable[Row]) -> dict[str, tuple[dict[str, Any], str]]:
    """Records of these rows' trainings by name, each with its kind of `code.TRAINED`."""
    found: dict[str, Artifact] = {}
    for seed in range(artifacts.plan.seeds):
        for row in rows:
            if row.detector:
                found[f"{row.key} seed {seed}"] = artifacts.detector(row, seed)
                continue
            found |= {one.name: artifacts.training(one) for one in artifacts.plan.networks(row, seed)}
            if row.classifier:
                found[f"{row.teacher.key} seed {seed}"] = artifacts.classifier(row, seed)
    return {
        name: (dict(load_checkpoint(one.path).metadata), one.name.split()[0]) for name, one in found.items()
    }


def _by_former_code(trainings: Mapping[str, tuple[Mapping[str, Any], str]]) -> list[str]:
    """Names of the trainings of which it is not known that the present code would give the same."""
    return [name for name, (record, kind) in trainings.items() if record.get(CODE) != code_key(TRAINED[kind])]


def _about(plan: Plan) -> dict[str, Any]:
    """What a run needs to be repeated and understood."""
    sizes = {split: len(plan.cohort.cases(split)) for split in SPLITS}
    words = ", ".join(f"{number} {split}" for split, number in sizes.items())
    if isinstance(plan.cohort, PhantomCohort):
        kind = plan.cohort.name
        source = "generated phantoms" if kind == "default" else f"generated phantoms of the kind {kind}"
        if names := [background.path.name for background in plan.cohort.backgrounds]:
            source += f", some planted into {', '.join(names)}"
            for split in PLANTED_SPLITS:
                parts = sorted(plan.cohort.parts(split).items())
                words += f"; of {split} " + ", ".join(f"{number} {kind}" for kind, number in parts)
    else:
        source = "the cases of a store"
    about = {"cohort": f"{source} ({words})"}
    measured = "generated phantoms" if plan.cohort.trained_on == PHANTOM else "the patients given"
    about["warning"] = (
        f"Measured on {measured} and with these networks. The paper's own figures are about its 141 patients "
        "and stand here to be looked up: they are not comparable."
    )
    about["recipe"] = (
        f"{plan.preset.iterations} steps a network, {plan.preset.stage_two.epochs} passes a classifier"
    )
    if plan.keys:
        about["recipe"] += f"; of the tables' rows only {', '.join(plan.keys)}"
    reads = any(row.classifier and CLASSIFIERS[row.classifier].tags for row in plan.rows)
    told = Tagger.load(plan.tagger).describe() if reads else {}
    about["tagger"] = (
        f"tagger {told['name']}, {told['origin']}, trained on {told['trained_on']}, "
        f"sha256 {str(told['sha256'])[:12]}"
        if told
        else "no row reads tags"
    )
    about["hardware"] = hardware()
    return setting(
        plan.command,
        preset=plan.preset.name,
        seeds=plan.seeds,
        sizes=sizes,
        tables=plan.tables,
        trained_on=plan.cohort.trained_on,
        **about,
    )


def hardware() -> str:
    """Processor, usable cores and GPUs in words."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    gpus = [torch.cuda.get_device_name(index) for index in range(len(available_gpus()))]
    return f"{name}, {usable_cores()} cores, {', '.join(gpus) or 'no GPU'}"


def _seconds(record: Path, names: Container[str]) -> dict[str, float]:
    """Time that each of these took when it was made last; nothing for one that an earlier record lacks."""
    found: dict[str, float] = {}
    for line in record.read_text(errors="replace").splitlines() if record.is_file() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            # Torn; that artifact's time is not known.
            continue
        if entry["job"] in names:
            found[entry["job"]] = entry["seconds"]
    return found
