"""Parents and exclusions of lesion tags, read from the ontology file that LesaNet's authors distribute.

The file carries RadLex's license and is not part of this repository: users download it with LesaNet
(`lesion_ontology_181022.xlsx`). Only training on DeepLesion needs it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from osln.rows.tags import TAG_NAMES

COLUMNS = ("term", "term_exclusive", "term_parents", "term_children")
SEPARATOR = "|"


@dataclass(frozen=True)
class Ontology:
    """How the 171 tags imply and exclude each other.

    Attributes:
        implied: (171, 171) bool; [i, j] where tag i implies tag j, itself included.
        exclusive: (171, 171) bool; [i, j] where both cannot hold; symmetric.
    """

    implied: np.ndarray
    exclusive: np.ndarray

    def expand(self, labels: np.ndarray) -> np.ndarray:
        """The tags and everything that they imply: (N, 171) bool from (N, 171) bool."""
        return _reach(labels, self.implied)

    def excluded(self, labels: np.ndarray) -> np.ndarray:
        """The tags that cannot hold beside these: (N, 171) bool from (N, 171) bool, expanded before."""
        return _reach(labels, self.exclusive)


def read_ontology(path: str | Path) -> Ontology:
    """Parents and exclusions of the 171 tags from the authors' table.

    Parents are followed upwards to the end, also by way of terms that are no tags; a term is as well the
    child of a term that lists it among its children. What excludes a term excludes all that implies it,
    whichever of the two rows says so. An exclusion of two terms that one term implies together is a
    contradiction of the table and is dropped.

    Args:
        path: `lesion_ontology_181022.xlsx`: a row for each term with the columns term, term_exclusive,
            term_parents and term_children, names separated by "|".

    Raises:
        ValueError: If the file is missing, is no such table, or a tag has no row in it.
    """
    rows = _rows(Path(path))
    if missing := sorted(set(TAG_NAMES) - rows.keys()):
        raise ValueError(
            f"{Path(path).name} has no row for {len(missing)} of the 171 tags ({', '.join(missing[:5])}): "
            "take the ontology file that LesaNet's authors distribute with their labels"
        )
    names = list(rows)
    names += sorted({name for row in rows.values() for part in row for name in part} - rows.keys())
    index = {name: i for i, name in enumerate(names)}
    implied = np.eye(len(names), dtype=bool)
    exclusive = np.zeros_like(implied)
    for name, (others, parents, children) in rows.items():
        i = index[name]
        exclusive[i, [index[other] for other in others]] = True
        implied[i, [index[parent] for parent in parents]] = True
        implied[[index[child] for child in children], i] = True
    implied = _closed(implied)
    contradicted = _reach(implied.T, implied)
    exclusive = (exclusive | exclusive.T) & ~contradicted
    exclusive = _reach(_reach(implied, exclusive), implied.T)
    tags = [index[name] for name in TAG_NAMES]
    return Ontology(implied[np.ix_(tags, tags)], exclusive[np.ix_(tags, tags)])


def _rows(path: Path) -> dict[str, tuple[list[str], list[str], list[str]]]:
    """Exclusive terms, parents and children of each term of the table's first sheet."""
    if not path.is_file():
        raise ValueError(
            f"no ontology at {path}: it comes with LesaNet's labels as lesion_ontology_181022.xlsx"
        )
    try:
        sheet = load_workbook(path, read_only=True, data_only=True).worksheets[0]
        lines = sheet.iter_rows(values_only=True)
        header = [str(cell) for cell in next(lines, ())]
        table = [dict(zip(header, line, strict=False)) for line in lines]
    except (InvalidFileException, BadZipFile, KeyError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as an Excel table: {error}") from error
    if lacking := [name for name in COLUMNS if name not in header]:
        raise ValueError(
            f"{path.name} has no column {', '.join(lacking)}: expected {', '.join(COLUMNS)}, found "
            f"{', '.join(header[:10])}"
        )
    found = {}
    for line in table:
        if line["term"]:
            others, parents, children = (list(_names(line.get(column))) for column in COLUMNS[1:])
            found[str(line["term"]).strip()] = (others, parents, children)
    return found


def _names(cell: object) -> Iterable[str]:
    return (name.strip() for name in str(cell or "").split(SEPARATOR) if name.strip())


def _closed(links: np.ndarray) -> np.ndarray:
    """Transitive closure of a (T, T) bool relation."""
    while True:
        further = _reach(links, links)
        if (further == links).all():
            return links
        links = further


def _reach(rows: np.ndarray, links: np.ndarray) -> np.ndarray:
    """(N, T) bool: what the members of each row link to."""
    reached: np.ndarray = rows.astype(np.float32) @ links.astype(np.float32) > 0
    return reached
