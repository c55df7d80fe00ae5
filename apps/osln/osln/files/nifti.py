"""NIfTI files that come from anybody: what a header promises is checked before any voxel is unpacked.

Reference: NIfTI-1 (nifti1.h, 2007) and NIfTI-2 (nifti2.h, 2011) of the NIfTI Data Format Working Group.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from osln.files.unpacking import unpack

MICRON, METER = 3, 1
TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
"""By datatype: one real number for each voxel."""
UNITS = {MICRON: "microns", METER: "meters"}
"""Of xyzt_units: what is not millimeters although it says a unit."""
SINGLE = {348: (b"n+1\0", 344, "h", 40, 352), 540: (b"n+2\0", 4, "q", 16, 544)}
"""By sizeof_hdr: magic of a file that holds its own voxels, its place, type and place of dim, first voxel."""


@dataclass(frozen=True)
class NiftiHeader:
    """What a header promises.

    Attributes:
        shape: Voxels along the file's axes.
        dtype: Of a stored voxel.
        start: Bytes before the first voxel.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int

    @property
    def stop(self) -> int:
        """Bytes of the whole file, unpacked."""
        return self.start + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_header(path: Path) -> NiftiHeader:
    """The header alone; of a compressed file nothing more is unpacked.

    Raises:
        ValueError: If it is damaged, names its voxels in another file, or they are no real numbers.
    """
    with _opened(path) as file:
        return _header(_read(file, 540))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels in the file's axes order and affine to RAS mm; integers as they are, others as float32.

    Raises:
        ValueError: As `read_header`; if the file holds less or more than its header promises, its unit is no
            millimeter, or it is put to different places by different programs.
    """
    with _opened(path) as file:
        head = _read(file, 540)
        header = _header(head)
        data = unpack(file, header.stop, head)
    if len(data) != header.stop:
        more = "goes on behind its voxels" if len(data) > header.stop else f"holds {len(data)} bytes"
        raise ValueError(f"it {more} where its header promises {header.stop} bytes; export it again")
    kind, parsed = _placed(data.data, header)
    slope, inter = parsed.get_slope_inter()
    if header.dtype.str[1:] != "f8" and (slope or 1.0, inter or 0.0) == (1.0, 0.0):
        array = np.frombuffer(data, header.dtype, offset=header.start).reshape(header.shape, order="F")
        return array.astype(header.dtype.newbyteorder("="), copy=False), parsed.get_best_affine()
    image = kind.from_bytes(bytes(data))
    return image.get_fdata(dtype=np.float32, caching="unchanged"), image.affine


def read_affine(path: Path) -> np.ndarray:
    """Affine (4, 4) from voxel index to RAS mm; of a compressed file nothing but the header is unpacked.

    Raises:
        ValueError: As `read_header`, or if the file is put to different places by different programs.
    """
    with _opened(path) as file:
        data = bytearray(_read(file, 540))
    return _placed(data, _header(bytes(data)))[1].get_best_affine()


def _placed(
    data: bytearray | memoryview, header: NiftiHeader
) -> tuple[type[nib.Nifti1Image], nib.Nifti1Header]:
    """Class of the image whose file begins with these bytes, and its header, whose place is believed."""
    size, order = _size(bytes(data[:4]))
    if size == 348:
        # Some programs leave the offset at 0; ITK, hence the viewers, then begin behind the header.
        struct.pack_into(f"{order}f", data, 108, header.start)
    kind = nib.Nifti1Image if size == 348 else nib.Nifti2Image
    parsed = kind.header_class.from_fileobj(io.BytesIO(bytes(data[:size])), check=False)
    _check_position(parsed, header.shape)
    return kind, parsed


def _opened(path: Path) -> io.BufferedIOBase:
    if path.name.lower().endswith(".gz"):
        return igzip.open(path, "rb")
    return path.open("rb")


def _read(file: io.BufferedIOBase, count: int) -> bytes:
    try:
        return file.read(count)
    except Exception as error:
        # A damaged file can make the decoder raise nearly anything.
        raise ValueError(f"it is damaged ({error}); copy it again") from error


def _size(data: bytes) -> tuple[int, str]:
    for order in "<>":
        if len(data) >= 4 and (size := struct.unpack_from(f"{order}i", data)[0]) in SINGLE:
            return size, order
    raise ValueError("it is no NIfTI file")


def _header(data: bytes) -> NiftiHeader:
    size, order = _size(data)
    magic, place, kind, dims, first = SINGLE[size]
    if len(data) < size:
        raise ValueError("it ends within its header; copy it again")
    if data[place : place + 4] != magic:
        raise ValueError("it does not hold its voxels itself (.hdr and .img?); export it as one file")
    count, *lengths = struct.unpack_from(f"{order}8{kind}", data, dims)
    if not 1 <= count <= 7 or min(lengths[:count]) < 1:
        raise ValueError(f"its header says {count} dimensions {tuple(lengths[:count])}; export it again")
    code = struct.unpack_from(f"{order}h", data, 70 if size == 348 else 12)[0]
    if code not in TYPES:
        raise ValueError("its voxels are colors or complex numbers; expected one real number each")
    kind, place = ("f", 108) if size == 348 else ("q", 168)
    offset = struct.unpack_from(f"{order}{kind}", data, place)[0]
    if not np.isfinite(offset) or offset != int(offset) or not (offset == 0 or offset >= first):
        raise ValueError(f"its voxels begin inside its header (vox_offset {offset:g}); export it again")
    if offset > first + 2**20:
        raise ValueError(f"its voxels begin at byte {offset:g} (vox_offset); export it without extensions")
    return NiftiHeader(tuple(lengths[:count]), np.dtype(order + TYPES[code]), int(offset) or first)


def _check_position(header: nib.Nifti1Header, shape: tuple[int, ...]) -> None:
    """Refuses files that nibabel and ITK, hence server and viewer, would put at different places."""
    if unit := UNITS.get(int(header["xyzt_units"]) & 7):
        # Viewers take the numbers for millimeters whatever the unit is.
        raise ValueError(f"its unit is {unit} (xyzt_units), expected millimeters; export it again")
    codes = int(header["sform_code"]), int(header["qform_code"])
    if codes == (0, 0):
        # nibabel then mirrors left and right, ITK does not.
        raise ValueError(
            "it does not say where it lies in patient space (sform and qform codes are 0); export it again"
        )
    handed = float(header["pixdim"][0])
    if codes[1] > 0 and abs(handed) != 1:
        if handed != 0:
            raise ValueError(f"its pixdim[0] is {handed:g}, expected 1 or -1 with a qform; export it again")
        # nifti1.h: 0 means 1.
        header["pixdim"][0] = 1
    last = np.array(shape[:3]) - 1
    if codes[0] > 0:
        sizes = np.linalg.norm(header.get_sform()[:3, :3], axis=0)[: len(last)]
        apart = (np.abs(sizes - header.get_zooms()[: len(last)]) * last).max()
        if apart > 0.5 * min(header.get_zooms()[:3]):
            raise ValueError(
                f"it says two voxel sizes (sform and pixdim), which put its ends {apart:.1f} mm apart; "
                "export it again"
            )
    if min(codes) > 0:
        # nibabel takes the sform, ITK the qform for some codes.
        corner = np.array([[0, 0, 0, 1], [*last, 1]]).T
        apart = np.abs((header.get_sform() - header.get_qform()) @ corner).max()
        if apart > 0.5 * min(header.get_zooms()[:3]):
            raise ValueError(
                f"it says two positions (sform and qform) that are {apart:.1f} mm apart; export it again"
            )
