"""What a run makes and keeps, what it is made from, and in which order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class Artifact:
    """Files that a run makes and keeps, what they are made from, and how.

    Attributes:
        name: In the progress bar and in the record of the run; no other of the run has it.
        paths: The files; if all are there it is not made again. Without any it is made in every run.
        needs: What is read to make it.
        make: Makes the files: a function of a module with all its arguments, so that a process can be told.
            Making twice at once, as where a computer was believed lost, gives the same whole files.
        cost: About how many seconds one core takes; decides what is made first and how far the bar is.
        uses_network: Whether a network is trained or asked: on a GPU where there is one. If it fails, what
            does not need it is made all the same; another failure is one of the cohort and ends all.
    """

    name: str
    paths: tuple[Path, ...]
    needs: tuple["Artifact", ...]
    make: Callable[[], Any]
    cost: float = 1.0
    uses_network: bool = False

    @property
    def path(self) -> Path:
        """The file of an artifact that has one."""
        (path,) = self.paths
        return path

    @property
    def is_made(self) -> bool:
        return bool(self.paths) and all(path.is_file() for path in self.paths)


@dataclass(frozen=True)
class Made:
    """What came of an artifact.

    Attributes:
        seconds: How long it took.
        value: What `make` returned.
    """

    seconds: float
    value: Any


def with_needs(wanted: Iterable[Artifact]) -> dict[str, Artifact]:
    """These artifacts and all that they are made from by name, each behind what it needs."""
    found: dict[str, Artifact] = {}

    def add(one: Artifact) -> None:
        if one.name not in found:
            for needed in one.needs:
                add(needed)
            found[one.name] = one

    for one in wanted:
        add(one)
    return found


def by_urgency(artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """Artifacts of `with_needs` by falling cost of the longest chain of work that begins with them."""
    chain = {name: one.cost for name, one in artifacts.items()}
    # What needs an artifact stands behind it, so its own chain is known first.
    for name, one in reversed(list(artifacts.items())):
        for needed in one.needs:
            chain[needed.name] = max(chain[needed.name], needed.cost + chain[name])
    return dict(sorted(artifacts.items(), key=lambda item: -chain[item[0]]))
