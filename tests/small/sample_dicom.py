"""A patient of the sample store as DICOM: what networks were trained on, so that a server finds nodes."""

from pathlib import Path

import nibabel as nib
import numpy as np

from osln.dicom.writing.contours import outlines
from small.dicom import ct_slices, pet_slices, structure_set, uid

STORE = Path(__file__).resolve().parents[2] / "sample-datastore"
BQML_PER_SUV = 370e6 * 2 ** (-3600 / 6586.2) / 70000
"""For the dose, the weight and the hour of decay that `small_dicom.pet_slices` writes."""


def sample_study(case, prefix=""):
    """CT, PET in the same frame of reference, and an RTSTRUCT with the primary tumor.

    Args:
        case: In the sample store.
        prefix: Makes the UIDs and the patient another one's.
    """
    tags = {"PatientID": f"{prefix}H-123456", "StudyInstanceUID": uid(f"{prefix}study")}
    ct, pet, gtv = (nib.load(STORE / folder / f"{case}.nii.gz") for folder in ("", "pet", "labels/gtv"))
    slices = ct_slices(
        np.clip(np.asarray(ct.dataobj), -1024, 3000).astype(np.int16), ct.affine, name=f"{prefix}ct", **tags
    )
    bqml = np.asarray(pet.dataobj, dtype=np.float64) * BQML_PER_SUV
    tumor = np.asarray(gtv.dataobj) > 0
    contours = []
    for k in np.flatnonzero(tumor.any(axis=(0, 1))):
        for outline in outlines(tumor[:, :, k]):
            index = np.column_stack([outline, np.full(len(outline), k)])
            contours.append(index @ ct.affine[:3, :3].T + ct.affine[:3, 3])
    drawn = structure_set(slices, {"GTVp": contours}, name=f"{prefix}rtstruct", **tags)
    return [*slices, *pet_slices(bqml, pet.affine, name=f"{prefix}pet", **tags), drawn]
