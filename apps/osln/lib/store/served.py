"""Which cases a store serves: every id and file name that comes from outside is checked here."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel

from lib.errors import NotReadyError, UnknownCaseError
from lib.store.cases import TAGS, checked_tag, is_case_id, reason_against
from lib.store.copied_labels import LOOKED_AT, MISFIT, reason_not_fitting, stamp, without_ct
from lib.store.submitted import notes_past
from lib.store.viewing import ViewedStore
from osln.dicom.served.uids import case_named
from osln.files.images import split_suffix
from osln.store.final_copy import prepared_cases
from osln.store.layout import check_case
from osln.store.revision import time_of
from osln.store.revisions import Revisions, label_revisions

logger = logging.getLogger(__name__)
COPIED = ("final", "gtv")
"""Tags of labels that people copy into the folder."""


class ServedStore(ViewedStore):
    """A store that lists only what it can serve, and knows why it leaves out the rest."""

    @property
    def refused(self) -> dict[str, str]:
        """Files at the top of the store that are not served, with the reason."""
        return dict(self._refused)

    @property
    def left_out(self) -> list[str]:
        """A sentence for each file that is served as no case, or as no label of one."""
        told = list(self._refused.values())
        told += [reason for by_case in self._lonely.values() for reason in by_case.values()]
        for case, entry in sorted(self._datastore.objects.items()):
            reasons = [label.info.get(MISFIT) for label in entry.labels.values()]
            told += [f"{case}: {reason}" for reason in reasons if reason]
        return told

    def revisions(self, case: str, tag: str) -> Revisions:
        """The kept versions of a case's approved nodes ("final") or tumor ("gtv")."""
        return label_revisions(self.root, case, tag)

    def label_path(self, case: str, tag: str) -> Path:
        """Where a label of ours is stored, whether it exists or not."""
        return self.root / "labels" / tag / f"{case}.nii.gz"

    def check_served(self, case: str) -> None:
        """Raises UnknownCaseError if the case was removed meanwhile; called inside its lock."""
        if case not in self._datastore.objects:
            # An import that exchanges the images leaves none for a moment.
            self.refresh()
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

    def _with_label(self, name: str, tag: str) -> str:
        """As `known`, of a case that has a label of this tag."""
        case = self.known(name)
        if not super().get_label_uri(case, checked_tag(tag)):
            there = ", ".join(sorted(self._datastore.objects[case].labels)) or "none"
            raise UnknownCaseError(f"case {case} has no label {tag!r}; it has: {there}")
        return case

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
        cases, refused = [split_suffix(name)[0] for name in found], {}
        for name in found:
            case = split_suffix(name)[0]
            if reason := reason_against(folder / name) or _taken(case, cases):
                refused[case] = reason
        for case in sorted(refused.keys() - self._refused.keys()):
            logger.warning("Case left out: %s", refused[case])
        self._refused = refused
        return {name: name for name in found if split_suffix(name)[0] not in refused}

    def _remove_non_existing(self) -> int:
        objects = self._datastore.objects
        unfit = [case for case in objects if not is_case_id(case) or case in self._refused]
        for case in unfit:
            del objects[case]
        waiting = {
            (case, tag): objects[case].labels[tag]
            for case, tag in self.waiting_labels()
            if case in objects and tag in objects[case].labels
        }
        removed = len(unfit) + super()._remove_non_existing()
        for (case, tag), label in waiting.items():
            if case in self._datastore.objects:
                self._datastore.objects[case].labels[tag] = label
                removed -= 1
        return removed

    def waiting_labels(self) -> set[tuple[str, str]]:
        """Case and tag of the labels that are stored and have no file yet.

        The disk refused to put the first copy of each in place.
        """
        return {
            (case, tag)
            for tag in COPIED
            for case in prepared_cases(self.root / "labels" / tag)
            if not self.label_path(case, tag).is_file() and self._waits(case, tag)
        }

    def _waits(self, case: str, tag: str) -> bool:
        try:
            return self.revisions(case, tag).waiting() is not None
        except ValueError:
            # What is damaged is told where the label is read.
            return True

    def _add_non_existing_labels(self, tag: str) -> int:
        if tag not in TAGS:
            return 0
        objects = self._datastore.objects
        noted = {case for case, entry in objects.items() if tag in entry.labels}
        changed = super()._add_non_existing_labels(tag)
        if tag not in COPIED:
            return changed
        changed += self._add_waiting(tag)
        # A label that went away and came back, with its CT perhaps, is the revision that it was.
        for case, entry in objects.items():
            if tag in entry.labels and case not in noted and (notes := self.missed(case, tag)):
                entry.labels[tag].info = notes
        return changed + self._look_at_copied(tag)

    def missed(self, case: str, tag: str) -> dict[str, Any] | None:
        """What the index does not know of the newest revision of a label that it lists or could list.

        None if it knows that, if no label lies there, and if what is known of the revisions is damaged, which
        the log tells.
        """
        entry, kept = self._datastore.objects.get(case), self.revisions(case, tag)
        if entry is None:
            return None
        info = entry.labels[tag].info if tag in entry.labels else {}
        noted = info.get("revision")
        try:
            head = kept.head()
            # After a backup a number may come again, of another label.
            same = head is not None and info.get("sha256", head.sha256) == head.sha256
            if head is None or (noted == head.revision and same):
                return None
            # What nobody has visited yet is no revision, or becomes another one: also a newer one, where the
            # head came from a backup.
            older = isinstance(noted, int) and noted < head.revision
            if not older and kept.lying() != head:
                return None
            at = int(time_of(head.at).timestamp())
            return notes_past(info, head) | {"ts": at}
        except (OSError, ValueError) as error:
            logger.warning("The newest %s label of case %s cannot be noted: %s", tag, case, error)
            return None

    def _add_waiting(self, tag: str) -> int:
        """Notes labels of a tag that wait and that the index lacks; how many."""
        objects, added = self._datastore.objects, 0
        for case, of in self.waiting_labels():
            if of == tag and case in objects and tag not in objects[case].labels:
                noted = {"ts": int(time.time()), "name": self.label_path(case, tag).name}
                objects[case].labels[tag] = DataModel(info=noted, ext=".nii.gz")
                added += 1
        return added

    def _look_at_copied(self, tag: str) -> int:
        """Notes which labels of a tag that nobody submitted here do not fit; how many notes have changed.

        Each is looked at once, and again when its file or its CT has changed.
        """
        folder = self.root / "labels" / tag
        there = [path.name for path in folder.glob("*.nii*") if not path.name.startswith(".")]
        lonely = without_ct(there, [*self._datastore.objects, *self._refused], tag)
        for case in sorted(lonely.keys() - self._lonely.get(tag, {}).keys()):
            logger.warning("Label left out: %s", lonely[case])
        self._lonely[tag] = lonely
        return sum(self._look_at_label(case, tag) for case in self._datastore.objects)

    def _look_at_label(self, case: str, tag: str) -> bool:
        """As `_look_at_copied` for one case; whether its notes have changed."""
        entry = self._datastore.objects[case]
        label = entry.labels.get(tag)
        if label is None or ("revision" in label.info and LOOKED_AT not in label.info):
            return False
        file = self.root / "labels" / tag / f"{case}{label.ext}"
        ct = self.root / f"{case}{entry.image.ext}"
        seen = stamp(file, ct)
        if seen is None or seen == label.info.get(LOOKED_AT):
            return False
        label.info[LOOKED_AT] = seen
        label.info.pop(MISFIT, None)
        if reason := reason_not_fitting(file, ct):
            label.info[MISFIT] = reason
            logger.warning("Case %s: %s", case, reason)
        return True


def _taken(name: str, cases: Iterable[str]) -> str | None:
    """Why a file cannot be a case whose name viewers have for another one; None if they have not."""
    if (case := case_named(name, cases)) is None:
        return None
    return f"{name} cannot be a case, rename it: viewers call the case {case} by that UID"
