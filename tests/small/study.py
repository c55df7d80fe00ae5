"""A whole small study as files (CT, PET, RTSTRUCT with a tumor and two nodes), and its import."""

import numpy as np

from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.intake.importing import ImportOptions, import_studies
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.reading.files import LocalSource
from small.dicom import AXIAL, SHAPE, box_contours, ct_slices, pet_slices, structure_set, write_dicom

KEY = bytes(range(32))
TUMOR = ((5, 9), (6, 9), range(4, 7))
NODE = ((12, 14), (4, 6), range(2, 4))
OTHER_NODE = ((12, 15), (9, 11), range(8, 11))
PET_AFFINE = AXIAL @ np.diag([2.0, 2.0, 2.0, 1.0])


def regions(affine=AXIAL, **more):
    named = {"GTVp": TUMOR, "GTV_N1": NODE, "LN 4R": OTHER_NODE, **more}
    return {name: box_contours(affine, *box) for name, box in named.items()}


def mask_of(*boxes):
    mask = np.zeros(SHAPE, bool)
    for (a, b), (c, d), slices in boxes:
        mask[a:b, c:d, slices.start : slices.stop] = True
    return mask


def pet(affine=PET_AFFINE, **tags):
    bqml = np.full((10, 8, 6), 5000.0)
    bqml[6, 2, 1] = 30000
    return pet_slices(bqml, affine, **tags)


def study(folder, *, affine=AXIAL, **tags):
    ct = ct_slices(affine=affine, **tags)
    write_dicom(folder / "a", ct)
    write_dicom(folder / "b", pet(affine @ np.diag([2.0, 2.0, 2.0, 1.0]), **tags))
    write_dicom(folder, [structure_set(ct, regions(affine), **tags)], "rs")
    return folder


def run(source, store, *choices, keep=False, **options):
    with LocalSource(source) as opened:
        return import_studies(
            opened,
            store,
            Deidentifier(KEY, keep_identity=keep),
            ImportOptions(load_rules(None, choices), **options),
        )
