"""What taking in cases and labels needs of a store, which asks for it and is not imported back."""

from pathlib import Path
from typing import Any, Protocol

from osln.imaging.grid import Volume
from osln.store.revisions import Revisions


class Shelf(Protocol):
    """A folder of cases; `lib.store.datastore` is one."""

    root: Path

    def ct(self, case: str) -> Volume:
        """The CT that labels of a case are checked against."""

    def revisions(self, case: str, tag: str) -> Revisions:
        """The kept versions of a case's approved nodes ("final") or tumor ("gtv")."""

    def label_path(self, case: str, tag: str) -> Path:
        """Where a label of ours is stored, whether it exists or not."""

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """The notes about a stored label."""

    def check_served(self, case: str) -> None:
        """Raises UnknownCaseError if the case was removed meanwhile; called inside its lock."""

    def announce(self, case: str, tag: str) -> None:
        """Called before a submitted label is stored, inside its lock; for stores that pass labels on."""

    def register_case(self, case: str, file: Path, info: dict[str, Any]) -> None:
        """Notes a stored CT in the index."""

    def register_label(self, case: str, tag: str, info: dict[str, Any]) -> None:
        """Notes a stored label in the index."""

    def catch_up(self, case: str, tag: str) -> None:
        """Notes the newest revision of a label where the index does not know it."""

    def refresh(self) -> None:
        """Compares the index with the files."""
