"""Small labels, how they are stored as revisions, and disks that refuse or processes that end meanwhile."""

import errno
import gzip
import itertools
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from osln.store.final_copy import FinalCopy
from osln.store.revisions import Revisions


def label(value):
    """The bytes of a small NIfTI file."""
    return nib.Nifti1Image(np.full((2, 2, 2), value, np.uint8), np.eye(4)).to_bytes()


ONE, TWO, THREE = (gzip.compress(label(value), mtime=0) for value in (1, 2, 3))
PLAIN = label(5)
REVIEW = {"complete": False, "undecided": "unknown", "seconds": 7.5, "candidates": []}


def submit(kept, data, **options):
    with kept.lock():
        kept.settle()
        return kept.submit(data, by=options.pop("by", "anna"), source="submission", **options)


def refuse_copies(patch):
    """No copy can be put in place."""
    patch.setattr(FinalCopy, "publish", lambda self: (_ for _ in ()).throw(OSError(5, "I/O error")))


class Killed(BaseException):
    """The process is no more."""


def each_kill(kept, monkeypatch, act):
    """The revisions after `act` was killed at its first operation on files, its second and so on."""
    root = kept.folder.parents[1]
    for last in itertools.count(1):
        copy = shutil.copytree(root, root.with_name(f"{root.name}-{last}"))
        killed, operations = Revisions(copy / ".osln" / "case", copy / "labels/final/case.nii.gz"), []

        def dying(operation, last=last, operations=operations):
            def run(*arguments, **options):
                operations.append(operation)
                if len(operations) >= last:
                    raise Killed
                return operation(*arguments, **options)

            return run

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying(lambda _: None))
            for name in ("replace", "rename", "unlink"):
                patch.setattr(Path, name, dying(getattr(Path, name)))
            try:
                with killed.lock():
                    act(killed)
                return
            except Killed:
                pass
        yield killed


def voxels_of(kept):
    """The values of all labels that are kept or lie there, and of the one that others read (None: none)."""
    folder = kept.final.parent
    files = [kept.path(one.revision) for one in kept.history()] + [*folder.glob("[!.]*")]
    contents = [path.read_bytes() for path in files]
    unpacked = [gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in contents]
    shown = gzip.decompress(kept.final.read_bytes())[-1] if kept.final.is_file() else None
    return {one[-1] for one in unpacked}, shown


def refusing_for(monkeypatch, *paths):
    """The paths can be neither replaced nor removed: immutable files, or those that are open elsewhere."""
    real_replace, real_unlink = Path.replace, Path.unlink

    def replace(path, target):
        if {path, Path(target)} & set(paths):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real_replace(path, target)

    def unlink(path, missing_ok=False):
        if path in paths and path.exists():
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real_unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)


def forget(kept, number, *keys):
    """Takes keys out of what is told of a revision, as former versions told it."""
    for name in (f"{number:04d}.json", "head.json"):
        told = json.loads((kept.folder / name).read_text())
        if told["revision"] == number:
            left = {key: value for key, value in told.items() if key not in keys}
            (kept.folder / name).write_text(json.dumps(left))
