"""What the tables ask of a cohort, generated or of patients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from osln.imaging.grid import Volume
from osln.imaging.lung_column import LungColumn

SPLITS = ("train", "validation", "test", "stage two")
"""The last one teaches the second stage."""


class Cohort(Protocol):
    """Patients in splits, as columns on the working grid of one preset."""

    @property
    def trained_on(self) -> str:
        """What weights that have learned from it may claim."""

    @property
    def seconds(self) -> float:
        """About how long one core prepares one case."""

    @property
    def left_out_cases(self) -> Mapping[str, str]:
        """Reasons for the cases that are there but cannot be used."""

    def cases(self, split: str) -> Sequence[str]:
        """Case ids of one of `SPLITS`."""

    def patients_of(self, split: str) -> Sequence[str]:
        """The patient of each of these cases."""

    def path(self, case: str) -> Path:
        """File of the prepared column."""

    def column(self, case: str) -> LungColumn:
        """The compact column, with nodes as instances, prepared and kept if need be.

        Raises:
            ValueError: The case cannot be used; says what to do.
        """

    def taught(self, every_node: bool) -> "Cohort":
        """The same cases as networks of stage one learn from them.

        Args:
            every_node: With every node labelled, those that do not count, too, where they are known: of
                generated patients they are. Of others the labelled ones are all that is known.
        """

    def ct(self, case: str) -> Volume:
        """CT that the tagger looks at."""

    @property
    def ct_mark(self) -> str:
        """Of what `ct` depends on besides the case's fingerprint; empty where that is nothing."""

    def findings(self, case: str) -> Sequence[Mapping[str, Any]]:
        """What is known to be in the case, as `phantoms.Patient.findings`; nothing of a patient."""

    def fingerprint(self, case: str) -> str:
        """Changes if anything that the column is made of does."""

    def unseen_part(self, case: str) -> tuple[str, ...]:
        """For a case of "stage two": the training cases, itself among them, that a network of stage one must
        not have learned from to be asked for its candidates; empty if the networks of all training patients
        may be asked."""
