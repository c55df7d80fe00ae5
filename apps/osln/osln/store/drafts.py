"""Unfinished work of annotators, one file for each of them beside the revisions of a case.

A draft is no label: it is never listed, trained on or exported. It lies in the folder of the case's
revisions, so that it goes with the case when that is removed, and is kept gzipped.
"""

import base64
import binascii
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from isal import igzip

from osln.files.whole import write_atomically
from osln.store.revisions import label_revisions

LONGEST = 16 * 2**20
"""Bytes of a draft as JSON; a label map of runs has a hundredth of it."""
LONGEST_STATE = 4 * 2**20
"""Bytes of what a viewer keeps in it besides voxels."""
KEYS = ("base_revision", "saved_at", "state", "labels")


def checked_draft(value: Any) -> dict[str, Any]:
    """A draft as it came from a viewer.

    Args:
        value: `base_revision`, number of the revision that was edited (0 for none); `saved_at`, ISO 8601;
            `state`, an object that only the viewer understands; `labels`, base64 or None.

    Raises:
        ValueError: If a key is missing or unknown, or a value is not what it should be.
    """
    if not isinstance(value, dict):
        raise ValueError("a draft must be a JSON object")
    if sorted(value) != sorted(KEYS):
        odd = sorted(str(key)[:80] for key in value.keys() ^ set(KEYS))
        raise ValueError(f"a draft has the keys {', '.join(KEYS)}; unknown or missing are {odd[:10]}")
    base, labels = value["base_revision"], value["labels"]
    if not isinstance(base, int) or isinstance(base, bool) or base < 0:
        raise ValueError("base_revision of a draft must be the number of the revision that was edited")
    try:
        # As browsers write it; Python 3.10 does not know the Z.
        datetime.fromisoformat(value["saved_at"].replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("saved_at of a draft must be a time such as 2026-01-31T12:00:00+00:00") from error
    if not isinstance(value["state"], dict):
        raise ValueError("state of a draft must be a JSON object")
    if len(json.dumps(value["state"])) > LONGEST_STATE:
        raise ValueError(f"state of a draft has more than {LONGEST_STATE} bytes of JSON")
    if labels is not None:
        _check_base64(labels)
    return value


def keep_draft(root: Path, case: str, annotator: str, draft: Mapping[str, Any]) -> None:
    """Writes a draft in place of the annotator's former one, whole or not at all.

    Args:
        root: Folder of the store.
        case: Id of the case; call it inside the lock of its revisions.
        annotator: Name.
        draft: From `checked_draft`.
    """
    path = _path(root, case, annotator)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**draft, "annotator": annotator}, allow_nan=False)
    write_atomically(path, igzip.compress(content.encode()))


def kept_draft(root: Path, case: str, annotator: str) -> dict[str, Any] | None:
    """The draft of an annotator; None if there is none.

    Raises:
        ValueError: If the file is damaged.
    """
    path = _path(root, case, annotator)
    try:
        draft = json.loads(gzip.decompress(path.read_bytes()))
        del draft["annotator"]
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"the draft {path.name} of case {case} cannot be read: {error}; drop it") from error
    return dict(draft)


def drop_draft(root: Path, case: str, annotator: str) -> None:
    """Removes a draft, if there is one; call it inside the lock of the case's revisions."""
    _path(root, case, annotator).unlink(missing_ok=True)


def _path(root: Path, case: str, annotator: str) -> Path:
    # Names of people need not be fit for a file system.
    name = hashlib.sha256(annotator.encode()).hexdigest()[:32]
    return label_revisions(root, case, "final").folder / "drafts" / f"{name}.json.gz"


def _check_base64(labels: Any) -> None:
    try:
        base64.b64decode(labels, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError("labels of a draft must be base64 or null") from error
