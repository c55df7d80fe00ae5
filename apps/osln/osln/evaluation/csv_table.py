"""Tables of other programs: the columns that are wanted from a CSV file, by any of their names, checked."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Names = Mapping[str, Sequence[str]]
"""The names in a file, in small letters, that each wanted column may have."""


@dataclass(frozen=True)
class CsvRow:
    """One line: its cells by the wanted names, and where it stands for messages."""

    cells: dict[str, str]
    place: str

    def text(self, name: str) -> str:
        """A cell that must not be empty."""
        if not self.cells[name]:
            raise ValueError(f"{self.place}: no {name}; every line needs one")
        return self.cells[name]

    def number(self, name: str) -> float:
        """A cell as a finite number."""
        try:
            value = float(self.cells[name])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(
                f"{self.place}: {name} is {self.cells[name]!r}; expected a finite number with a decimal point"
            )
        return value


@dataclass(frozen=True)
class CsvTable:
    """Rows of a CSV file; `columns` are the wanted ones that it has, `unused` its others."""

    rows: list[CsvRow]
    columns: frozenset[str]
    unused: tuple[str, ...]

    def note(self, path: Path) -> list[str]:
        """A sentence about columns that were not used, if there are any."""
        return [f"{path.name}: columns {', '.join(self.unused)} were not used"] if self.unused else []


def read_table(path: Path, names: Names, required: Sequence[str]) -> CsvTable:
    """Reads a file of cells with a header line, parted by commas, or by tabs or semicolons throughout.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        names: Wanted columns and what they may be called; capitals do not matter.
        required: Those that must be there.

    Raises:
        ValueError: The file cannot be read, a required column is missing, two columns mean the same, or a
            line has another number of cells than the header. The message says what was found.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: expected CSV with the columns {', '.join(required)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=_delimiter(file.readline()))
            file.seek(0)
            lines = [(number, line) for number, line in enumerate(reader, start=1) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a CSV file: {error}") from error
    if not lines:
        raise ValueError(f"{path.name} is empty: expected a header line with {', '.join(required)}")
    header = [cell.strip() for cell in lines[0][1]]
    meaning = {alias: name for name, aliases in names.items() for alias in aliases}
    found = [meaning.get(cell.lower()) for cell in header]
    for name in required:
        if name not in found:
            raise ValueError(
                f"{path.name} has no column for {name}: expected one of {', '.join(names[name])}, "
                f"found {', '.join(header)}"
            )
    twice = {name for name in found if name is not None and found.count(name) > 1}
    if twice:
        raise ValueError(f"{path.name} has several columns for {', '.join(sorted(twice))}: keep one of them")
    rows = []
    for number, line in lines[1:]:
        if len(line) != len(header):
            raise ValueError(
                f"{path.name}, line {number}: {len(line)} cells under {len(header)} columns; use one comma, "
                "tab or semicolon between cells and a decimal point in numbers"
            )
        cells = {name: cell.strip() for name, cell in zip(found, line, strict=True) if name is not None}
        rows.append(CsvRow(cells, f"{path.name}, line {number}"))
    unused = tuple(cell for cell, name in zip(header, found, strict=True) if name is None)
    return CsvTable(rows, frozenset(name for name in found if name is not None), unused)


def _delimiter(header: str) -> str:
    """What parts the cells: a comma if the header has one, else a tab or a semicolon if it has one."""
    return next((sign for sign in (",", "\t", ";") if sign in header), ",")


PATIENT = (
    "patient",
    "seriesuid",
    "case",
    "patient_id",
    "case_id",
    "patientid",
    "caseid",
    "seriesinstanceuid",
    "id",
)


def read_patients(path: Path) -> list[str]:
    """Ids of a list of patients, one a line, with or without a header (LUNA16's seriesuids.csv has none).

    Raises:
        ValueError: The file cannot be read, is empty, or names a patient twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=_delimiter(file.readline()))
            file.seek(0)
            lines = [cells[0].strip() for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a list of patients: {error}") from error
    patients = [line for line in lines if line]
    if torn := [one for one in patients if "\n" in one or "\r" in one]:
        raise ValueError(
            f"{path.name}: a quote that begins at {torn[0][:30]!r} ends lines later: one id a line"
        )
    if patients and patients[0].lower() in PATIENT:
        patients = patients[1:]
    if not patients:
        raise ValueError(f"{path.name} names no patient: expected one id a line")
    refuse_repeats(path, patients)
    return patients


def refuse_repeats(path: Path, ids: Sequence[str]) -> None:
    """Raises ValueError if an id stands in a list twice."""
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"{path.name} names {one} twice: keep one line for each")
        seen.add(one)
