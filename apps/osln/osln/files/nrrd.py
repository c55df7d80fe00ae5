"""NRRD files that come from anybody: one 3-D image, or a segmentation of 3D Slicer with its segments.

Read here and by no library, because libraries open whatever other file a header names. Voxels are taken from
behind the header, raw or by gzip, and not a byte more is unpacked than the header promises.
Reference: Teem, "Definition of NRRD File Format", version 5.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import igzip

from osln.files.unpacking import unpack

LONGEST_HEADER = 2**22
"""Bytes; a segmentation of thousands of segments has less."""
TYPES = {
    "int8": "int8 signed_char int8_t",
    "uint8": "uint8 uchar unsigned_char uint8_t",
    "int16": "int16 short short_int signed_short signed_short_int int16_t",
    "uint16": "uint16 ushort unsigned_short unsigned_short_int uint16_t",
    "int32": "int32 int signed_int int32_t",
    "uint32": "uint32 uint unsigned_int uint32_t",
    "int64": "int64 longlong long_long long_long_int signed_long_long signed_long_long_int int64_t",
    "uint64": "uint64 ulonglong unsigned_long_long unsigned_long_long_int uint64_t",
    "float32": "float float32",
    "float64": "double float64",
}
SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
"""Signs that bring coordinates to RAS."""
UNITS = ("mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "???", "none")
"""Of lengths, in small letters; the last three say nothing, which means mm as where the field is missing."""
IN_SPACE = ("domain", "space", "???", "none")
"""Kinds of an axis along which one value follows another in space."""
LAYERS = ("list", "???", "none")
"""Kinds of the axis of the layers."""


@dataclass(frozen=True)
class NrrdHeader:
    """What a header promises.

    Attributes:
        shape: Voxels along the three axes of the file.
        layers: How many values each voxel has (segmentations whose segments overlap), else 1.
        dtype: Of a value.
        affine: (4, 4) from voxel index to RAS mm.
        gzip: Whether the values are compressed.
        start: Bytes of the header.
        tags: Key/value pairs, for instance Slicer's names of segments.
    """

    shape: tuple[int, ...]
    layers: int
    dtype: np.dtype
    affine: np.ndarray
    gzip: bool
    start: int
    tags: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes of the values, unpacked."""
        return math.prod(self.shape) * self.layers * self.dtype.itemsize


def read_header(path: Path) -> NrrdHeader:
    """The header alone.

    Raises:
        ValueError: If it is damaged, names its voxels in another file, or is no 3-D image in patient space.
    """
    with path.open("rb") as file:
        return _header(file)


def read(path: Path) -> tuple[list[np.ndarray], NrrdHeader]:
    """The layers, each (i, j, k) in the file's axes order, and the header.

    Raises:
        ValueError: As `read_header`, and if the file holds less or more than its header promises.
    """
    with path.open("rb") as file:
        header = _header(file)
        source = igzip.GzipFile(fileobj=file, mode="rb") if header.gzip else file
        data = unpack(source, header.size)
    if len(data) != header.size:
        more = "goes on behind its voxels" if len(data) > header.size else f"holds {len(data)} bytes"
        raise ValueError(f"it {more} where its header promises {header.size} bytes; export it again")
    values = np.frombuffer(data, header.dtype).reshape((header.layers, *header.shape), order="F")
    values = values.astype(header.dtype.newbyteorder("="), copy=False)
    return [values[layer] for layer in range(header.layers)], header


def _header(file: BinaryIO) -> NrrdHeader:
    fields, tags = _lines(file)
    start = file.tell()
    for name in ("datafile", "byteskip", "lineskip"):
        if name in fields and (name == "datafile" or fields[name] != "0"):
            raise ValueError(f"its voxels lie elsewhere ({name}: ...); save the image as one file")
    _check_meaning(fields)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ValueError(f"its encoding is {encoding or 'not given'}; expected raw or gzip")
    kind = "_".join(fields.get("type", "").lower().split())
    names = [name for name, words in TYPES.items() if kind in words.split()]
    if not names:
        raise ValueError(f"its voxels are of type {kind or 'not given'}; expected a number each")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "little").lower())
    if order is None:
        raise ValueError(f"its byte order is {fields['endian']!r}; expected little or big")
    sizes = _numbers(fields, "sizes", int)
    axes = _axes(fields)
    count = _numbers(fields, "dimension", int)
    if count != [len(sizes)] or len(axes) != len(sizes) or min(sizes, default=0) < 1:
        raise ValueError(f"its header says {count} dimensions and the sizes {sizes}; export it again")
    layers, kinds = 1, fields.get("kinds", "none " * len(sizes)).lower().split()
    if len(kinds) != len(sizes):
        raise ValueError(f"its header says the kinds {kinds} for {len(sizes)} axes; export it again")
    if len(sizes) == 4 and axes[0] is None:
        # ITK calls the layers of a segmentation so, too.
        segments = any(key.startswith("Segment") for key in tags)
        if sizes[0] > 1 and kinds[0] not in (*LAYERS, *(("vector",) if segments else ())):
            raise ValueError(f"it has {sizes[0]} components ({kinds[0]}); expected one 3-D volume")
        layers, sizes, axes, kinds = sizes[0], sizes[1:], axes[1:], kinds[1:]
    if strange := [kind for kind in kinds if kind not in IN_SPACE]:
        raise ValueError(f"it has an axis of the kind {strange[0][:60]!r}; expected three in space (domain)")
    vectors = [axis for axis in axes if axis is not None]
    if len(sizes) != 3 or len(vectors) != 3:
        raise ValueError(
            f"it has {len(sizes)} dimensions and {len(vectors)} in space; expected one 3-D volume"
        )
    signs = SPACES.get(fields.get("space", "").lower())
    origin = _vector(fields.get("spaceorigin", ""))
    if signs is None or origin is None:
        raise ValueError(
            "it does not say where it lies in patient space (space, space origin); export it again"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(vectors).T
    affine[:3, 3] = origin
    affine[:3] *= np.array(signs)[:, None]
    dtype = np.dtype(names[0])
    dtype = np.dtype(f"{order}{dtype.kind}{dtype.itemsize}")
    return NrrdHeader(tuple(sizes), layers, dtype, affine, encoding != "raw", start, tags)


def _check_meaning(fields: Mapping[str, str]) -> None:
    """Refuses lengths and values that are not what the numbers of the file say."""
    for name in ("spaceunits", "units"):
        words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', fields.get(name, ""))]
        if strange := [word for word in words if word.strip().lower() not in UNITS]:
            raise ValueError(f"its unit is {strange[0][:60]!r} ({name}), expected mm; export it again")
    if {"oldmin", "oldmax"} & set(fields):
        raise ValueError("its values stand for others (old min, old max); export it with its own values")


def _lines(file: BinaryIO) -> tuple[dict[str, str], dict[str, str]]:
    """Fields by name in small letters without blanks, and key/value pairs; the file stands behind them."""
    if not re.fullmatch(rb"NRRD000[1-5]\r?\n", file.readline(16)):
        raise ValueError("it is no NRRD file")
    fields: dict[str, str] = {}
    tags: dict[str, str] = {}
    left = LONGEST_HEADER
    while (line := file.readline(left)).strip(b"\r\n"):
        left -= len(line)
        text = line.decode("utf-8", "replace").strip("\r\n")
        if text.startswith("#"):
            continue
        # A pair is told from a field by its ":=" (the first one).
        key, pair, value = text.partition(":=")
        if not pair:
            key, colon, value = text.partition(":")
            key = re.sub(r"\s+", "", key).lower().replace("-", "")
            if not colon or key in fields:
                raise ValueError(f"its header has the line {text[:60]!r}, which cannot be understood")
            fields[key] = value.strip()
        else:
            tags[key] = value.replace("\\n", "\n").replace("\\\\", "\\")
    if not line.endswith(b"\n"):
        raise ValueError("its header does not end; copy it again")
    return fields, tags


def _numbers(fields: Mapping[str, str], name: str, kind: type) -> list:
    try:
        return [kind(word) for word in fields.get(name, "").split()]
    except ValueError as error:
        raise ValueError(f"its header says {name}: {fields[name][:60]!r}; expected numbers") from error


def _axes(fields: Mapping[str, str]) -> list[list[float] | None]:
    """Step along each axis in space; None for an axis that is not in space."""
    words = re.findall(r"none|\([^)]*\)", fields.get("spacedirections", ""))
    return [None if word == "none" else _vector(word) for word in words]


def _vector(text: str) -> list[float] | None:
    try:
        values = [float(word) for word in text.strip("() ").split(",")]
    except ValueError:
        return None
    return values if len(values) == 3 and np.isfinite(values).all() else None
