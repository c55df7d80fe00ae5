"""The attributes of one DICOM file without its pixels, whatever is wrong with the file."""

import hashlib
import os
import warnings
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator, read_file_meta_info, read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian

LARGEST_INFLATED, PART = 2**28, 2**20
"""Bytes of a deflated file, and bytes that are unpacked at a time."""
LAST_OF_SERIES = 0x00200052
"""FrameOfReferenceUID: what stands before it tells whose file it is and of what kind."""
TRUNCATED = "is truncated or damaged; copy it again"


def read_header(path: Path, tags: Sequence[str | tuple[int, int]] | None = None) -> Dataset:
    """The attributes of a DICOM file without its pixels.

    Args:
        path: Of the file.
        tags: Read only these; all if None.

    Raises:
        ValueError: If it is no DICOM file or is truncated within the header.
    """
    return _read(path, tags)[0]


def read_header_and_content(
    path: Path, tags: Sequence[str | tuple[int, int]], whole: Collection[str] = ()
) -> tuple[Dataset, str]:
    """The attributes of a DICOM file as `read_header`, and a digest by which a changed file shows.

    The transfer syntax and the data set, with its size, count. Its pixels do not: reading those of all images
    would take as long as an import. Nor do the preamble and the rest of group 2, which tell who stored the
    file.

    Args:
        path: Of the file.
        tags: Read only these, "Modality" among them.
        whole: Modalities of which all of the file counts.

    Raises:
        ValueError: As `read_header`.
    """
    return _read(path, tags, whole)


def _read(
    path: Path, tags: Sequence[str | tuple[int, int]] | None, whole: Collection[str] | None = None
) -> tuple[Dataset, str]:
    """The attributes, and the digest if `whole` is given."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
        # Files without the preamble of Part 10 begin with an attribute of group 8 (or 2).
        bare = start[:4] in (
            b"\x08\x00\x00\x00",
            b"\x08\x00\x05\x00",
            b"\x08\x00\x08\x00",
            b"\x08\x00\x16\x00",
        )
        if start[128:132] != b"DICM" and not bare:
            raise InvalidDicomError
        if not bare:
            refuse_bomb(path)
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            wanted: Any = list(tags) if tags else None
            header = pydicom.dcmread(file, stop_before_pixels=True, force=bare, specific_tags=wanted)
            # Values are decoded when they are first read: do it here, where it can be told.
            header.walk(lambda _dataset, _element: None)
            return header, "" if whole is None else _digest(file, header, whole)
    except InvalidDicomError:
        raise ValueError("it is not a DICOM file") from None
    except OSError as error:
        # The reader also raises it, without a reason, where a file ends too early.
        reason = f"cannot be opened ({error.strerror})" if error.strerror else TRUNCATED
        raise ValueError(f"it {reason}") from error
    except BombError:
        raise
    except Exception as error:
        # Damaged files make the reader raise nearly anything.
        raise ValueError(f"it {TRUNCATED}") from error


def _digest(file: BinaryIO, header: Dataset, whole: Collection[str]) -> str:
    """Of a file that was read up to its pixels; without pixels, or deflated, to its end."""
    pixels, size = file.tell(), file.seek(0, os.SEEK_END)
    end = size if header.get("Modality") in whole else pixels
    start, syntax = _start_of_data_set(file), header.file_meta.get("TransferSyntaxUID", "")
    digest = hashlib.sha256(f"{syntax} {size - start} ".encode())
    while part := file.read(min(PART, end - file.tell())):
        digest.update(part)
    return digest.hexdigest()


def _start_of_data_set(file: BinaryIO) -> int:
    """Moves to where preamble and group 2 of a file end: each program that stores an image writes its own."""
    file.seek(0)
    file.seek(132 if file.read(132)[128:] == b"DICM" else 0)
    group_2 = data_element_generator(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    for _ in group_2:
        pass
    return file.tell()


def start_of(path: Path) -> list[Dataset]:
    """The attributes of patient and series of a damaged file; none if not even they can be read."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            refuse_bomb(path)
            header = read_partial(file, stop_when=lambda tag, vr, length: tag > LAST_OF_SERIES)
            header.walk(lambda _dataset, _element: None)
            return [header]
    except Exception:
        return []


class BombError(ValueError):
    """A small file that unpacks to a huge one."""


def refuse_bomb(path: Path) -> None:
    """Raises BombError if a deflated file unpacks to more than `LARGEST_INFLATED`."""
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        # Behind the preamble: group length (12 bytes) and as many bytes as it says.
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
        size, rest = 0, file.read(PART)
        while rest:
            size += len(inflate.decompress(rest, PART))
            if size > LARGEST_INFLATED:
                raise BombError(
                    f"it unpacks to more than {LARGEST_INFLATED >> 20} MiB; export it uncompressed"
                )
            rest = inflate.unconsumed_tail or file.read(PART)
