"""Sessions (images that a viewer sends for a while) inside the store, by ids that cannot be paths."""

import math
import re
import time
import uuid
from pathlib import Path
from typing import Any

from monailabel.utils.sessions import SessionInfo, Sessions

from lib.errors import translated
from lib.store.cases import UPLOAD_SUFFIXES
from osln.files.images import MAX_VOXELS, promised_shape, split_suffix

SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class OslnSessions(Sessions):
    """MONAI Label's sessions, kept in `<store>/.cache/sessions` instead of the home folder.

    Args:
        root: Folder of the studies.
        expiry: Seconds until an unused session ends.
    """

    def __init__(self, root: str | Path, expiry: int = 3600) -> None:
        super().__init__(str(Path(root).resolve() / ".cache" / "sessions"), expiry)

    def get_session(
        self, session_id: str, update_ts: bool = True, fetch_cache: bool = True
    ) -> SessionInfo | None:
        if not SESSION_ID.fullmatch(session_id):
            return None
        return super().get_session(session_id, update_ts, fetch_cache)

    def remove_session(self, session_id: str) -> None:
        if SESSION_ID.fullmatch(session_id):
            super().remove_session(session_id)

    def remove_expired(self) -> int:
        """Ends sessions that nobody has used for their time; also those that were never complete."""
        folders = [path for path in Path(self.store_path).glob("*") if path.is_dir()]
        ended = 0
        for folder in folders:
            session = self.get_session(folder.name, update_ts=False, fetch_cache=False)
            if session is None or 0 < session.expiry < time.time() - session.last_access_ts:
                self.remove_session(folder.name)
                ended += 1
        return ended

    @translated()
    def add_session(
        self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: str | None = None
    ) -> Any:
        """Takes in one image file.

        Raises:
            HTTPException: 422 for archives, folders and anything that is not an image file.
        """
        path = Path(data_file)
        if uncompress:
            raise ValueError("archives are not unpacked: send one NIfTI or NRRD image without uncompress")
        if path.is_dir():
            raise ValueError("a session holds one image, several files came: send one NIfTI or NRRD image")
        suffix = split_suffix(path)[1]
        if suffix.lower() not in UPLOAD_SUFFIXES:
            raise ValueError(f"a session holds a NIfTI or NRRD image, {path.name!r} is none by its name")
        # A small file can unpack to a huge one, and a header can name another file: it is read here first.
        if math.prod(promised_shape(path)) > MAX_VOXELS:
            raise ValueError(f"the image has more than {MAX_VOXELS:.0e} voxels; crop it")
        # The client's file name never becomes part of a path.
        plain = path.rename(path.with_name(f"image{suffix.lower()}"))
        return super().add_session(str(plain), expiry, False, session_id or str(uuid.uuid4()))
