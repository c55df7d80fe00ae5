"""Files that a stranger might send: headers that name other files, bombs, cut ones, archives."""

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

Named = tuple[str, bytes]
"""Name of a file as a client tells it, and its bytes."""

NAMES = (
    "x.nii.gz", "../../escaped.nii.gz", "..\\escaped.nii", "/etc/escaped.nii.gz", "x\x00.nii.gz",
    "n" * 4000 + ".nii.gz", "ä\u202e.nii", "x.nii.gz/..", "", ".", "a b;c|d.nrrd", "x.mha", "x.seg.nrrd",
    "x.dcm", "x.zip", "%2e%2e%2fx.nii",
)  # fmt: skip


def good(random_: random.Random) -> bytes:
    """A small CT."""
    array = np.full((12, 12, 8), -1000, np.int16)
    array[2:-2, 2:-2] = random_.randrange(0, 100)
    return gzip.compress(nib.Nifti1Image(array, np.diag([2.0, 2, 3, 1])).to_bytes(), 1)


def hostile_files(secret: Path) -> dict[str, Callable[[random.Random], Named]]:
    """Makers of files by what is wrong with them.

    Args:
        secret: A file of the server that a header names.
    """
    return {
        "good": lambda draw: ("good.nii.gz", good(draw)),
        "odd name": lambda draw: (draw.choice(NAMES), good(draw)),
        "detached NRRD": lambda _: ("x.nrrd", _nrrd(f"data file: {secret}\n")),
        "detached NRRD list": lambda _: ("x.nrrd", _nrrd(f"data file: LIST\n{secret}\n")),
        "detached NRRD pattern": lambda _: ("x.nrrd", _nrrd(f"data file: {secret.parent}/%d.txt 1 1 1\n")),
        "NRRD of nothing": lambda _: ("x.nrrd", _nrrd("")),
        "NRRD sizes": lambda draw: (
            "x.nrrd",
            _nrrd("").replace(b"8 4 2", draw.choice([b"-1 4 2", b"99999999999 9 9", b"1e9 4 2", b"0 0 0"])),
        ),
        "MHA": lambda _: ("x.mha", _mha(str(secret))),
        "MHD": lambda _: ("x.mhd", _mha(str(secret))),
        "MHA named NIfTI": lambda _: ("x.nii.gz", _mha(str(secret))),
        "gzip bomb": lambda draw: ("x.nii.gz", _bomb(draw.choice([1, 64]))),
        "cut": lambda draw: ("x.nii.gz", good(draw)[: draw.randrange(0, 300)]),
        "cut inside": lambda draw: ("x.nii", gzip.decompress(good(draw))[: draw.randrange(340, 2000)]),
        "flipped": lambda draw: ("x.nii.gz", gzip.compress(_flipped(gzip.decompress(good(draw)), draw))),
        "flipped NRRD": lambda draw: ("x.nrrd", _flipped(_nrrd("") + bytes(64), draw)),
        "header of terabytes": lambda _: ("x.nii", _vast()),
        "zip": lambda _: ("x.zip", _zip()),
        "zip named NIfTI": lambda _: ("x.nii.gz", _zip()),
        "noise": lambda draw: ("x.nii.gz", draw.randbytes(draw.randrange(0, 5000))),
        "empty": lambda _: ("x.nii.gz", b""),
        "not a number": lambda _: ("x.nii.gz", _not_a_number()),
    }  # fmt: skip


def _nrrd(line: str) -> bytes:
    return (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 4 2\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: raw\n"
        f"space origin: (0,0,0)\n{line}\n"
    ).encode()


def _mha(file: str) -> bytes:
    return (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
        f"ElementSpacing = 1 1 1\nElementDataFile = {file}\n"
    ).encode()


def _header(shape: tuple[int, int, int]) -> bytes:
    image = nib.Nifti1Header()
    image.set_data_dtype(np.int16)
    raw = bytearray(image.binaryblock)
    struct.pack_into("<8h", raw, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<8f", raw, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", raw, 108, 352)
    raw[344:348] = b"n+1\0"
    return bytes(raw) + bytes(4)


def _vast() -> bytes:
    return _header((32767, 32767, 32767)) + bytes(1000)


def _bomb(megabytes: int) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        file.write(_header((32, 32, 32)))
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    return packed.getvalue()


def _flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randrange(1, 8)):
        changed[draw.randrange(min(len(changed), 400))] = draw.randrange(256)
    return bytes(changed)


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../escaped.txt", "escaped")
        link = zipfile.ZipInfo("link.nii.gz")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    return packed.getvalue()


def _not_a_number() -> bytes:
    array = np.full((8, 8, 8), np.nan, np.float32)
    raw = bytearray(nib.Nifti1Image(array, np.diag([2.0, 2, 3, 1])).to_bytes())
    struct.pack_into("<f", raw, 280, np.inf)  # srow_x[0]
    return gzip.compress(bytes(raw))
