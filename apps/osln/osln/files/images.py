"""Image files: their names, their voxels as stored, and writing that never leaves half a file.

Files may come from anybody. Their headers are read here before any library sees them: the formats are a
closed list, voxels come from the file itself, and no more is unpacked than a header promises and `MAX_VOXELS`
allow.
"""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from osln.files import nifti, nrrd
from osln.files.whole import write_atomically as write_atomically

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
MAX_VOXELS = 10**9
"""Twice a whole-body CT of 512 x 512 x 2000."""


def split_suffix(path: str | Path) -> tuple[str, str]:
    """Name and image suffix of a path; the suffix is "" when it is not one of `SUFFIXES`."""
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return name, ""


def twins(path: str | Path) -> list[Path]:
    """Image files beside `path` that differ from it in the suffix only.

    Such pairs are refused: ITK-based programs read `x.nii` when they are asked for `x.nii.gz`
    (InsightSoftwareConsortium/ITK issue 2243), so that viewer and server could see different images.
    """
    path = Path(path)
    name, own = split_suffix(path)
    others = (path.with_name(name + suffix) for suffix in SUFFIXES if suffix != own)
    return [other for other in others if other.exists()]


def read_voxels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of a NIfTI, NRRD or MetaImage file in the file's own axes order, and its affine.

    Args:
        path: Ends with one of `SUFFIXES`.

    Returns:
        (i, j, k) array in the processor's byte order, integers as they are, scaled and other values as
        float32; (4, 4) affine from voxel index to RAS mm.

    Raises:
        ValueError: If the file is missing, has a twin name, is damaged, is not one 3-D volume of real
            numbers, or does not say where it lies in patient space.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no image file at {path}")
    _, suffix = split_suffix(path)
    if not suffix:
        raise ValueError(f"{path.name} is not an image: expected a name that ends with one of {SUFFIXES}")
    if others := twins(path):
        names = ", ".join(sorted(other.name for other in others))
        raise ValueError(f"{path.name} lies beside {names}: programs confuse the two, remove or rename one")
    try:
        shape = promised_shape(path)
        if math.prod(shape) > MAX_VOXELS:
            raise ValueError(f"it has {shape} voxels, {MAX_VOXELS:.0e} in all are accepted; crop it")
        array, affine = _read(path, suffix.lower())
    except Exception as error:
        # A damaged file can make the decoders raise nearly anything.
        raise ValueError(f"{path.name} cannot be read as an image: {str(error).strip()[-300:]}") from error
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise ValueError(
            f"{path.name} has {array.ndim} dimensions {array.shape}; expected one 3-D volume "
            "(split a time series or multi-channel file into single volumes)"
        )
    return array, affine


def promised_shape(path: Path) -> tuple[int, ...]:
    """Voxels along the axes of a file as its header says, before any voxel is unpacked.

    Raises:
        ValueError: If the header is damaged, or the file does not hold its voxels itself.
    """
    suffix = split_suffix(path)[1].lower()
    if suffix.startswith(".nii"):
        return nifti.read_header(path).shape
    if suffix == ".nrrd":
        header = nrrd.read_header(path)
        return (*header.shape, header.layers) if header.layers > 1 else header.shape
    return _meta_header(path).GetSize()


def promised_affine(path: Path) -> np.ndarray:
    """Affine (4, 4) from voxel index to RAS mm as a file's header says, before any voxel is unpacked.

    Raises:
        ValueError: As `promised_shape`, or if the file does not say where it lies.
    """
    suffix = split_suffix(path)[1].lower()
    if suffix.startswith(".nii"):
        return nifti.read_affine(path)
    if suffix == ".nrrd":
        return nrrd.read_header(path).affine
    return _meta_affine(_meta_header(path))


def nifti_bytes(array: np.ndarray, affine: np.ndarray) -> bytes:
    """A NIfTI-1 file's content, sform and qform both set.

    Args:
        array: (i, j, k); bool is stored as uint8, 64-bit integers as int32, which every viewer reads.
        affine: (4, 4) from voxel index to RAS mm.

    Raises:
        ValueError: If an integer does not fit.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        limits = np.iinfo(np.int32)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise ValueError(f"voxel values up to {array.max()} do not fit 32 bits: renumber the labels")
        array = array.astype(np.int32)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image.to_bytes()


def _read(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray]:
    if suffix.startswith(".nii"):
        return nifti.read(path)
    if suffix == ".nrrd":
        layers, header = nrrd.read(path)
        if len(layers) != 1:
            raise ValueError(f"it has {len(layers)} components; expected one 3-D volume")
        return _real(layers[0]), header.affine
    return _read_meta_image(path)


def _check_meta_image(path: Path) -> None:
    """Refuses a MetaImage whose voxels lie in another file, which ITK would open."""
    with path.open("rb") as file:
        for _ in range(200):
            key, equals, value = file.readline(2000).partition(b"=")
            if key.strip().lower() == b"elementdatafile":
                if value.strip() == b"LOCAL":
                    return
                raise ValueError("its voxels lie elsewhere (ElementDataFile); save the image as one file")
            if not equals:
                break
    raise ValueError("its header does not say ElementDataFile = LOCAL; save the image as one file")


def _read_meta_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path), imageIO="MetaImageIO")
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
        components = image.GetNumberOfComponentsPerPixel()
        raise ValueError(
            f"it has {image.GetDimension()} dimensions and {components} components; expected one 3-D volume"
        )
    array = sitk.GetArrayFromImage(image).T
    return _real(array), _meta_affine(image)


def _meta_header(path: Path) -> sitk.ImageFileReader:
    _check_meta_image(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _meta_affine(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    # ITK's patient axes are LPS, ours are RAS.
    return np.diag([-1, -1, 1, 1]) @ affine


def _real(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind in "iu" else array.astype(np.float32)
