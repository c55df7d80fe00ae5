"""What a run of the tables is asked for, and the trainings that its rows are made of."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from osln.cohorts.cohort import Cohort
from osln.rows.detectors import DETECTOR_RECIPES
from osln.rows.experiments import Preset, Row
from osln.rows.paper import rows_of
from osln.tagging.tagger import Tagger

EVALUATED = ("validation", "test")


@dataclass(frozen=True)
class Network:
    """One training of stage one.

    Attributes:
        segmenter: Row of `SEGMENTERS`.
        length: Training steps in units of the preset's.
        seed: Of first weights and patches.
        left_out: Training cases that it does not see.
    """

    segmenter: str
    length: int
    seed: int
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its training in the progress bar and in the record of the run."""
        without = f" without {self.left_out[0]} and others" if self.left_out else ""
        length = f" x{self.length}" if self.length > 1 else ""
        return f"network {self.segmenter}{length} seed {self.seed}{without}"


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        work: Folder for everything made.
        cohort: The patients.
        preset: Sizes and recipes.
        tables: Names in `TABLES`.
        seeds: Trainings of each network.
        tagger: File of the tagger.
        command: As typed.
        detector_iterations: Training steps of an end-to-end detector; its recipe's if None.
        keys: Of the rows of these tables that are run; all of them if empty.
    """

    work: Path
    cohort: Cohort
    preset: Preset
    tables: tuple[str, ...]
    seeds: int
    tagger: Path
    command: str = ""
    detector_iterations: int | None = None
    keys: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return rows_of(self.tables, self.keys)

    @cached_property
    def tagger_sha256(self) -> str:
        return Tagger.checksum(self.tagger)

    @property
    def detector_steps(self) -> int:
        """Training steps of an end-to-end detector."""
        return self.detector_iterations or DETECTOR_RECIPES[self.preset.name].iterations

    def networks(self, row: Row, seed: int, case: str | None = None) -> list[Network]:
        """The trainings whose maps are fused to the row's, for one of the run's seeds.

        No network is in two trainings of a row, so that these tell how far trainings lie apart.

        Args:
            row: Of any table.
            seed: From 0.
            case: Is asked of them; of a patient that teaches stage two they must not have learned.
        """
        left_out = self.cohort.unseen_part(case) if case is not None and case in self._taught else ()
        return [
            Network(name, row.length, seed * row.copies + copy, left_out)
            for copy in range(row.copies)
            for name in row.segmenters
        ]

    @cached_property
    def _taught(self) -> frozenset[str]:
        return frozenset(self.cohort.cases("stage two"))
