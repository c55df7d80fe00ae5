"""Which cases a store serves: every id and file name that comes from outside is checked here."""

import logging
from pathlib import Path
from typing import Any

from lib.errors import NotReadyError, UnknownCaseError
from lib.store.cases import TAGS, checked_tag, is_case_id, reason_against
from lib.store.viewing import ViewedStore
from osln.files.images import split_suffix
from osln.store.layout import check_case

logger = logging.getLogger(__name__)


class ServedStore(ViewedStore):
    """A store that lists only what it can serve, and knows why it leaves out the rest."""

    @property
    def refused(self) -> dict[str, str]:
        """Files at the top of the store that are not served, with the reason."""
        return dict(self._refused)

    def check_served(self, case: str) -> None:
        """Raises UnknownCaseError if the case was removed meanwhile; called inside its lock."""
        if case not in self._datastore.objects:
            raise UnknownCaseError(f"case {case} was removed from the store meanwhile; nothing was stored")

    def known(self, case: str) -> str:
        """The id of a case that the store serves.

        Args:
            case: Its id, or the UID of its study, of a series or of an image, as a viewer has them.

        Raises:
            ValueError: Not fit to be an id.
            UnknownCaseError: No such case.
            GoneError: A series of a case whose file has changed meanwhile.
            NotReadyError: The case is there but refused, for instance because of a twin name.
        """
        if not case:
            raise UnknownCaseError(
                "no case was named, or the session has ended; give image=<case id>, or send the image again "
                "(PUT /session/)"
            )
        check_case(case)
        self.check_there()
        case = self._named(case)
        if not self._there(case):
            self.refresh()
            case = self._named(case)
        if reason := self._refused.get(case):
            raise NotReadyError(f"case {case} is not served: {reason}")
        if case not in self._datastore.objects:
            raise UnknownCaseError(
                f"no case {case!r} in the store, which has {len(self._datastore.objects)}; "
                "GET /datastore/?output=all lists them"
            )
        return case

    def _has_label(self, case: str, tag: str) -> None:
        if not super().get_label_uri(self.known(case), checked_tag(tag)):
            there = ", ".join(sorted(self._datastore.objects[case].labels)) or "none"
            raise UnknownCaseError(f"case {case} has no label {tag!r}; it has: {there}")

    def _on_any_event(self, event: Any) -> None:
        try:
            super()._on_any_event(event)
        except Exception:
            # An error here would end the folder watcher for good.
            logger.exception("The store could not be read again after a change of its files")

    def _to_id(self, file: str) -> tuple[str, str]:
        return split_suffix(file)

    def _list_files(self, path: str, patterns: tuple[str, ...]) -> dict[str, str]:
        folder = Path(path).resolve()
        found = {name: name for name in super()._list_files(path, patterns) if (folder / name).is_file()}
        if folder != self.root:
            return found
        refused = {}
        for name in found:
            if reason := reason_against(folder / name):
                refused[split_suffix(name)[0]] = reason
        for case in sorted(refused.keys() - self._refused.keys()):
            logger.warning("Case left out: %s", refused[case])
        self._refused = refused
        return {name: name for name in found if split_suffix(name)[0] not in refused}

    def _remove_non_existing(self) -> int:
        objects = self._datastore.objects
        unfit = [case for case in objects if not is_case_id(case) or case in self._refused]
        for case in unfit:
            del objects[case]
        return len(unfit) + super()._remove_non_existing()

    def _add_non_existing_labels(self, tag: str) -> int:
        return super()._add_non_existing_labels(tag) if tag in TAGS else 0
