"""Which ids, tags, notes and files the store accepts, and the sentence when it does not."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.json_check import LONGEST, check_json
from lib.who import who
from osln.files.images import split_suffix, twins
from osln.imaging.grid import Volume, read_volume
from osln.imaging.study import build_study
from osln.pacs.cases import TOLD
from osln.store.layout import check_case

OF_THE_NEXT_CASE = {"id", "checksum", "weight", "why"}
"""What a viewer is told of its next case; notes of the case are laid over it."""
OF_THE_SERVER = {
    "revision", "by", "sha256", "ts", "name", "misfit", "looked_at", "restored_from", "source", "found",
    "warnings", *TOLD,
}  # fmt: skip
"""What the server notes of an image or a label itself: who made it, when, which file it is, what was found in
it, and what a PACS calls it."""
PERSONS = ("user", "client_id", "annotator")
"""Names by which a note says who somebody is."""
TAGS = ("final", "original", "gtv")
UPLOAD_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Of an uploaded CT; what is not NIfTI is stored as NIfTI."""


def checked_tag(tag: str) -> str:
    """The tag itself if it is one of the three of the store.

    Raises:
        ValueError: Otherwise, with the meaning of the three.
    """
    value = getattr(tag, "value", tag)
    if value not in TAGS:
        raise ValueError(
            f"{value!r} is not a tag of this store; expected 'final' (approved nodes), 'original' "
            "(prediction) or 'gtv' (primary tumor)"
        )
    return value


def checked_notes(notes: Any) -> dict[str, Any]:
    """The notes that come with an image or a label, if they are a JSON object that can be told to others.

    They are written into the index with those of all cases, and told with the next case to annotate.

    Raises:
        ValueError: Otherwise.
    """
    if not isinstance(notes, dict):
        raise ValueError(f"expected a JSON object of notes, got {type(notes).__name__}")
    check_json(notes, "a note")
    if taken := sorted(notes.keys() & OF_THE_NEXT_CASE):
        raise ValueError(f"a note must not be called {', '.join(taken)}: it would stand for another case's")
    stamps = notes.get("strategy", {})
    if not isinstance(stamps, dict) or not all(_is_stamp(stamp) for stamp in stamps.values()):
        raise ValueError("the note strategy is the server's: which strategy chose this case, and when (ts)")
    return notes


def client_notes(notes: Any, former: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Notes of a client, without what only the server writes; who they name is the account that asks.

    Clients send notes back as they got them, so that the server's are left out and not refused, and names
    that were noted before stay.

    Args:
        notes: As for `checked_notes`.
        former: Notes that they are laid over.

    Raises:
        ValueError: As `checked_notes`, or if the notes would take more room than a body may have: each change
            of the index writes those of all cases.
    """
    former = former or {}
    kept = _in_own_name(
        {key: note for key, note in checked_notes(notes).items() if key not in OF_THE_SERVER}, former
    )
    if "strategy" in kept:
        before = former.get("strategy")
        kept["strategy"] = _stamps(kept["strategy"], before if isinstance(before, dict) else {})
    size = len(json.dumps({**former, **kept}))
    if size > LONGEST:
        raise ValueError(f"the notes would have {size} bytes in all, at most {LONGEST} are kept")
    return kept


def _in_own_name(notes: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """Notes in which nobody is named but the account that asks, and who was named before."""
    account = who()
    if account is None:
        return dict(notes)
    named = {key: account.name for key in PERSONS if key in notes and notes[key] != former.get(key)}
    return {**notes, **named}


def _stamps(stamps: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """Which strategy chose a case, and when: by the one who asks, and not in times to come."""
    now = int(time.time())
    return {
        name: stamp
        if stamp == former.get(name)
        else _in_own_name(stamp, {}) | ({"ts": min(stamp["ts"], now)} if "ts" in stamp else {})
        for name, stamp in stamps.items()
    }


def _is_stamp(stamp: Any) -> bool:
    # A time before all times would outweigh every other case in the choice of the next one.
    ts = stamp.get("ts", 0) if isinstance(stamp, dict) else None
    return isinstance(ts, int | float) and ts >= 0


def read_ct(case: str, path: Path) -> Volume:
    """An uploaded CT.

    Raises:
        ValueError: If it is not a 3-D image, is too large, holds NaN, has one value everywhere, or is not in
            HU (a PET, for instance).
    """
    ct = read_volume(path)
    build_study(case, ct)
    return ct


def is_case_id(name: str) -> bool:
    """Whether a name is fit to be a case id."""
    try:
        check_case(name)
    except ValueError:
        return False
    return True


def reason_against(path: Path) -> str | None:
    """Why an image file at the top of the store cannot be a case; None if it can."""
    try:
        check_case(split_suffix(path)[0])
    except ValueError as error:
        return f"{path.name} cannot be a case, rename it: {error}"
    if others := twins(path):
        return f"{path.name} lies beside {others[0].name}: programs confuse the two, remove or rename one"
    leads_to = split_suffix(path.resolve())[1]
    if path.is_symlink() and leads_to and leads_to != split_suffix(path)[1]:
        return f"{path.name} is a link to a {leads_to} file: rename the link, whose name tells the format"
    return None
