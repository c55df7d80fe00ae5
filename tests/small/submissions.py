"""Submitting a label of the case "one" as annotator anna, and what is stored of it."""

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from lib.store.reports import report_for
from small.store import SHAPE, write

OTHER = np.s_[28:31, 10:13, 15:17]


def nodes(*boxes, value=1):
    label = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        label[box] = value
    return label


def submit(store, tmp_path, label, names=None, tag="final", **params):
    path = write(tmp_path / "upload.nii.gz", label)
    if names is not None:
        params["label_info"] = [{"name": name, "idx": i} for i, name in enumerate(names, 1)]
    store.save_label("one", str(path), tag, {"client_id": "anna", **params})
    return report_for("one")


def stored(store, tag="final"):
    return np.asarray(nib.load(store.get_label_uri("one", tag)).dataobj)


def refused(store, tmp_path, *args, status=422, **options):
    with pytest.raises(HTTPException) as caught:
        submit(store, tmp_path, *args, **options)
    assert caught.value.status_code == status
    return caught.value.detail
