"""Image files: their names, and their voxels as stored."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from isal import igzip

from osln.files.whole import write_atomically as write_atomically

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


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
        array, affine = _read_nifti(path) if suffix.lower().startswith(".nii") else _read_with_itk(path)
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


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        data = igzip.decompress(data)
    two = int.from_bytes(data[:4], "little") == 540 or int.from_bytes(data[:4], "big") == 540
    image = (nib.Nifti2Image if two else nib.Nifti1Image).from_bytes(data)
    header = image.header
    stored = header.get_data_dtype()
    if stored.kind not in "iuf":
        raise ValueError("its voxels are colors or complex numbers; expected one real number each")
    promised = int(header["vox_offset"]) + int(np.prod(image.shape, dtype=object)) * stored.itemsize
    if promised > len(data):
        raise ValueError(f"it holds {len(data)} bytes where its header promises {promised}; copy it again")
    _check_position(header, image.shape)
    # The scaling is the data object's: nibabel clears it from the header of an image that it has read.
    source: Any = image.dataobj
    if stored.kind in "iu" and (source.slope, source.inter) == (1.0, 0.0):
        array = np.asanyarray(source.get_unscaled())
        return array.astype(stored.newbyteorder("="), copy=False), image.affine
    return image.get_fdata(dtype=np.float32, caching="unchanged"), image.affine


def _check_position(header: nib.Nifti1Header, shape: tuple[int, ...]) -> None:
    """Refuses files that nibabel and ITK, hence server and viewer, would put at different places."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if codes == (0, 0):
        # nibabel then mirrors left and right, ITK does not.
        raise ValueError(
            "it does not say where it lies in patient space (sform and qform codes are 0); export it again"
        )
    if min(codes) > 0:
        # nibabel takes the sform, ITK the qform for some codes.
        corner = np.array([[0, 0, 0, 1], [*(np.array(shape[:3]) - 1), 1]]).T
        apart = np.abs((header.get_sform() - header.get_qform()) @ corner).max()
        if apart > 0.5 * min(header.get_zooms()[:3]):
            raise ValueError(
                f"it says two positions (sform and qform) that are {apart:.1f} mm apart; export it again"
            )


def _read_with_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
        components = image.GetNumberOfComponentsPerPixel()
        raise ValueError(
            f"it has {image.GetDimension()} dimensions and {components} components; expected one 3-D volume"
        )
    array = sitk.GetArrayFromImage(image).T
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    # ITK's patient axes are LPS, ours are RAS.
    return (array if array.dtype.kind in "iu" else array.astype(np.float32)), np.diag([-1, -1, 1, 1]) @ affine
