"""Cohorts from tables: marks with centers as LUNA16 has them, or bare (score, hit) lists."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from osln.evaluation.csv_table import PATIENT, CsvRow, CsvTable, read_patients, read_table, refuse_repeats
from osln.evaluation.figures import ScoredPatients
from osln.metrics.criteria import Criterion
from osln.metrics.marks import NO_MARKS, Marks, match_marks
from osln.metrics.matching import Scored

COLUMNS = {
    "patient": PATIENT,
    "x": ("x_mm", "x", "coordx"),
    "y": ("y_mm", "y", "coordy"),
    "z": ("z_mm", "z", "coordz"),
    "radius": ("radius_mm", "radius"),
    "diameter": ("diameter_mm", "diameter"),
    "score": ("score", "probability"),
}
"""Columns of a table of marks; the second names are LUNA16's or common ones."""

UNKNOWN_DIAMETER_MM = 10.0
"""Of an ignored finding whose diameter is given as below 0, as LUNA16's evaluation takes it."""

MOST_NODES = 65535
"""Of a patient; as many as a label map can tell apart."""

ANSWERS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def mark_cohort(
    predictions: Path,
    truth: Path,
    criterion: Criterion,
    ignored: Path | None = None,
    patients: Path | None = None,
    only_common: bool = False,
) -> ScoredPatients:
    """Reads and matches tables of marks.

    Args:
        predictions: One prediction a line: patient, center, score and, unless the criterion does without,
            radius or diameter.
        truth: One node a line: patient, center, radius or diameter. May hold no line but the header.
        criterion: Row of `CRITERIA`.
        ignored: Findings that make a prediction neither true nor false, as `truth`.
        patients: List of everybody who was looked at. Without it those with some mark are the cohort, and
            patients with none are missing from the divisor of the false positives.
        only_common: Leave marks of patients who are not on the list out, instead of refusing them.

    Raises:
        ValueError: A table cannot be used as it is; the message names file, line and remedy.
    """
    tables = {
        "predictions": read_table(predictions, COLUMNS, ("patient", "x", "y", "z", "score")),
        "nodes": read_table(truth, COLUMNS, ("patient", "x", "y", "z")),
    }
    files = {"predictions": predictions, "nodes": truth}
    if ignored is not None:
        tables["ignored"] = read_table(ignored, COLUMNS, ("patient", "x", "y", "z"))
        files["ignored"] = ignored
    notes = [note for name, table in tables.items() for note in table.note(files[name])]
    marks = {name: _marks(table, files[name], name) for name, table in tables.items()}
    if twice := sum(map(_repeats, marks["predictions"].values())):
        notes.append(f"predictions that repeat another line of {predictions.name}, each counted: {twice}")
    named = {case for found in marks.values() for case in found}
    left_out: list[str] = []
    if patients is None:
        cases = sorted(named)
        notes.append("patients without any mark are not counted: no list of patients was given")
        notes += _one_sided(marks["predictions"], marks["nodes"], predictions, truth)
    else:
        cases = read_patients(patients)
        for name, found in marks.items():
            left_out += _strangers(files[name], found, set(cases), only_common)
        if named and not named & set(cases):
            raise ValueError(
                f"{patients.name} names none of the patients that have marks: it begins with {cases[0]!r}, "
                f"the marks are of {min(named)!r} and others; give one id a line, as the tables have it"
            )
        if cases[0] not in named:
            notes.append(
                f"{cases[0]!r}, the first line of {patients.name}, was taken for a patient without any mark: "
                "if it is a heading, take it away"
            )
    if not cases:
        raise ValueError(
            f"{predictions.name} and {truth.name} hold no mark and no list of patients was given"
        )
    matchings = {
        case: match_marks(
            marks["predictions"].get(case, NO_MARKS),
            marks["nodes"].get(case, NO_MARKS),
            criterion,
            marks.get("ignored", {}).get(case, NO_MARKS),
        )
        for case in cases
    }
    return ScoredPatients.of(matchings, left_out=left_out, notes=notes)


def list_cohort(pairs: Path, nodes: Path) -> ScoredPatients:
    """Patients from bare (score, hit) pairs that somebody else has matched.

    Args:
        pairs: Columns patient, score and hit (1 or 0): one line for each found node, with the best score
            that finds it, and one for each false positive.
        nodes: Columns patient and nodes: one line for each patient, also for those without a prediction.

    Raises:
        ValueError: A table cannot be used as it is; the message names file, line and remedy.
    """
    counted = read_table(nodes, {"patient": PATIENT, "nodes": ("nodes", "n_nodes")}, ("patient", "nodes"))
    listed = read_table(
        pairs, {"patient": PATIENT, "score": COLUMNS["score"], "hit": ("hit",)}, ("patient", "score", "hit")
    )
    if not counted.rows:
        raise ValueError(f"{nodes.name} names no patient: add a line for each patient")
    refuse_repeats(nodes, [row.text("patient") for row in counted.rows])
    n_nodes = {row.text("patient"): _count(row) for row in counted.rows}
    found: dict[str, list[tuple[float, bool]]] = {case: [] for case in n_nodes}
    for row in listed.rows:
        case = row.text("patient")
        if case not in found:
            raise ValueError(
                f"{row.place}: patient {case} is not in {nodes.name}; add a line for each patient"
            )
        hit = ANSWERS.get(row.cells["hit"].lower())
        if hit is None:
            raise ValueError(f"{row.place}: hit is {row.cells['hit']!r}; expected 1 or 0")
        found[case].append((row.number("score"), hit))
    scored = {}
    for case, entries in found.items():
        try:
            scored[case] = Scored(
                np.array([score for score, _ in entries]),
                np.array([hit for _, hit in entries]),
                n_nodes[case],
            )
        except ValueError as error:
            raise ValueError(f"{pairs.name}, patient {case}: {error}") from error
    return ScoredPatients(scored, notes=[*listed.note(pairs), *counted.note(nodes)])


def _count(row: CsvRow) -> int:
    value = row.number("nodes")
    if not 0 <= value <= MOST_NODES or value != int(value):
        raise ValueError(
            f"{row.place}: nodes is {row.cells['nodes']!r}; expected a whole number from 0 to {MOST_NODES}"
        )
    return int(value)


def _marks(table: CsvTable, path: Path, kind: str) -> dict[str, Marks]:
    """Marks by patient, in the order of the lines."""
    size = _size_column(table, path, kind)
    lines: dict[str, list[tuple[float, ...]]] = {}
    for row in table.rows:
        center = (row.number("x"), row.number("y"), row.number("z"))
        radius = np.nan if size is None else _radius_mm(row, size, kind)
        score = row.number("score") if kind == "predictions" else 0.0
        entry = (*center, radius, score)
        found = lines.setdefault(row.text("patient"), [])
        if kind == "nodes" and entry in found:
            raise ValueError(f"{row.place}: the same node stands in the table twice; keep one line for each")
        found.append(entry)
    made = {}
    for case, entries in lines.items():
        columns = np.array(entries)
        radius_mm = None if size is None else columns[:, 3]
        made[case] = Marks(columns[:, :3], radius_mm, columns[:, 4] if kind == "predictions" else None)
    return made


def _repeats(marks: Marks) -> int:
    """Marks that stand in a table a second time, with the same center, size and score."""
    columns = [marks.center_mm, marks.scores, *([] if marks.radius_mm is None else [marks.radius_mm])]
    lines = np.column_stack(columns)  # type: ignore[arg-type]
    return len(lines) - len(np.unique(lines, axis=0))


def _size_column(table: CsvTable, path: Path, kind: str) -> str | None:
    known = sorted(table.columns & {"radius", "diameter"})
    if len(known) == 2:
        raise ValueError(
            f"{path.name} has a column for the radius and one for the diameter: keep one of them"
        )
    if not known and kind != "predictions":
        raise ValueError(f"{path.name} has no column for the radius: add radius_mm or diameter_mm")
    return known[0] if known else None


def _radius_mm(row: CsvRow, column: str, kind: str) -> float:
    value = row.number(column)
    if value < 0 and kind == "ignored":
        return UNKNOWN_DIAMETER_MM / 2
    if value <= 0:
        raise ValueError(f"{row.place}: the {column} is {value:g}; expected mm above 0")
    return value / 2 if column == "diameter" else value


def _one_sided(found: dict[str, Marks], true: dict[str, Marks], predictions: Path, truth: Path) -> list[str]:
    """A sentence about patients of one table only.

    Raises:
        ValueError: The tables share no patient.
    """
    if found and true and not found.keys() & true.keys():
        raise ValueError(
            f"{predictions.name} and {truth.name} share no patient: one names {min(found)!r}, the other "
            f"{min(true)!r}; write the ids alike, or name everybody who was looked at (--patients)"
        )
    falsely, missed = len(found.keys() - true.keys()), len(true.keys() - found.keys())
    if not falsely and not missed:
        return []
    return [
        f"patients with predictions and without a node: {falsely}; with nodes and without a prediction: "
        f"{missed}; if they are more than they should be, look at how the ids are written"
    ]


def _strangers(path: Path, found: dict[str, Marks], listed: set[str], only_common: bool) -> Sequence[str]:
    """Sentences about marks of patients who are not on the list.

    Raises:
        ValueError: There are some, and they may not be left out.
    """
    strangers = sorted(set(found) - listed)
    if not strangers:
        return []
    named = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")
    marks = sum(len(found[case]) for case in strangers)
    if not only_common:
        raise ValueError(
            f"{path.name} has marks of {len(strangers)} patients who are not on the list of patients "
            f"({named}): add them, or leave them out with --only-common"
        )
    return [f"{path.name}: {marks} marks of {len(strangers)} patients who are not on the list ({named})"]
