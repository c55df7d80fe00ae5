"""The store's index (`datastore_v2.json`), shared by the server and its training and scoring processes.

MONAI Label rewrites the whole file from each process's own memory, so that the later writer erases what the
other one stored, and a reader may meet half a file. Here every change is: take the lock, read what is on the
disk, change a private copy, write it to a temporary file, rename. Readers never wait and never see a change
in the making.
"""

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore, LocalDatastoreModel

from lib.errors import StoreGoneError
from osln.files.images import write_atomically
from osln.files.whole import put_aside

logger = logging.getLogger(__name__)


class StoreIndex(LocalDatastore):
    """`LocalDatastore` whose index is written atomically and merged with other processes' changes."""

    def __init__(self, datastore_path: str, **options: Any) -> None:
        self._published: LocalDatastoreModel | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._turn = threading.RLock()
        self._own = threading.local()
        self._mark = _mark_of(Path(datastore_path), make=True)
        super().__init__(datastore_path, **options)

    @property
    def _datastore(self) -> LocalDatastoreModel:
        draft = getattr(self._own, "draft", None)
        if draft is not None:
            return draft
        if self._stamp_on_disk() not in (None, self._stamp):
            self._load()
        return self._published

    @_datastore.setter
    def _datastore(self, model: LocalDatastoreModel) -> None:
        self._published = model

    def index(self) -> LocalDatastoreModel:
        """All cases and labels with their notes, as they are now; not to be changed.

        Raises:
            StoreGoneError: As `check_there`.
        """
        self.check_there()
        return self._datastore

    def check_there(self) -> None:
        """Looks whether the folder is still the one that was opened.

        Raises:
            StoreGoneError: If it is not: a share that was unmounted leaves an empty place, into which labels
                must not go and whose emptiness is no removal of cases.
        """
        folder = Path(self._datastore_path)
        if not folder.is_dir() or _mark_of(folder) != self._mark:
            raise StoreGoneError(
                f"the folder of the cases, {folder}, is not there (an unmounted share?): nothing was read or "
                "written; bring it back and try again"
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Inside, changes of the index are private; on leaving, they are merged, written and shown.

        An error inside drops them. Keep it short: other threads and processes that write wait for it.
        """
        if getattr(self._own, "draft", None) is not None:
            yield
            return
        self.check_there()
        with self._turn, FileLock(self._lock_file):
            draft = self._datastore.model_copy(deep=True)
            self._own.draft, self._own.dirty = draft, False
            try:
                yield
                if self._own.dirty:
                    self._write(draft)
            finally:
                self._own.draft = None

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        if self._published is not None and self._stamp is None and self._stamp_on_disk() is not None:
            self._load()

    def _update_datastore_file(self, lock: bool = True) -> None:
        with self.transaction():
            self._own.dirty = True

    def _reconcile_datastore(self) -> None:
        with self.transaction():
            super()._reconcile_datastore()

    def set_name(self, name: str) -> None:
        with self.transaction():
            super().set_name(name)

    def set_description(self, description: str) -> None:
        with self.transaction():
            super().set_description(description)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        with self.transaction():
            super().update_image_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        with self.transaction():
            super().update_label_info(label_id, label_tag, info)

    def _stamp_on_disk(self) -> tuple[int, int, int] | None:
        try:
            found = Path(self._datastore_config_path).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _load(self) -> None:
        stamp = self._stamp_on_disk()
        path = Path(self._datastore_config_path)
        try:
            model = LocalDatastoreModel.model_validate_json(path.read_text())
        except FileNotFoundError:
            return
        except ValueError as error:
            aside = put_aside(path)
            logger.error(
                "The index of the store cannot be read and was moved to %s; it is made anew from the files, "
                "notes about cases are lost: %s",
                aside,
                error,
            )
            return
        model.base_path = self._datastore_path
        self._published, self._stamp = model, stamp

    def _write(self, model: LocalDatastoreModel) -> None:
        text = json.dumps(model.model_dump(exclude={"base_path"}), indent=2, default=str)
        write_atomically(Path(self._datastore_config_path), text.encode())
        self._published, self._stamp = model, self._stamp_on_disk()


def _mark_of(folder: Path, *, make: bool = False) -> str:
    """What tells a store from an empty place where it was mounted; "" if there is no mark.

    Args:
        folder: Of the store.
        make: Give it a mark if it has none and can be written.
    """
    path = folder / ".osln" / ".store"
    try:
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, uuid.uuid4().hex.encode())
        return path.read_text()
    except OSError:
        return ""
