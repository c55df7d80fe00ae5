"""Label maps as the server hands them to the viewer, in the order of a file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import requests
import SimpleITK as sitk


@dataclass(frozen=True)
class Volume:
    """The nodes of a case on its CT.

    Attributes:
        values: (x, y, z) a value for each node, 0 outside; the tumor is left out.
        affine: Of the CT's file, RAS.
    """

    values: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


def nodes_of_server(server, case: str) -> Volume:
    """The stored nodes of a case of a folder; all 0 before the first revision."""
    reply = requests.get(f"{server.url}/osln/label", params={"image": case, "instances": True}, timeout=120)
    ct = requests.get(f"{server.url}/datastore/image", params={"image": case}, timeout=120)
    assert reply.ok and ct.ok, reply.text
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ct.nii.gz").write_bytes(ct.content)
        image = nib.load(Path(folder) / "ct.nii.gz")
        if reply.status_code == 204:
            return Volume(np.zeros(image.shape, np.uint8), image.affine)
        (Path(folder) / "label.nrrd").write_bytes(reply.content)
        label = sitk.ReadImage(str(Path(folder) / "label.nrrd"))
    values = sitk.GetArrayFromImage(label).T.copy()
    values[values == int(reply.headers["OSLN-Tumor-Value"])] = 0
    assert values.shape == image.shape
    to_ras = np.diag([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(to_ras @ label.GetOrigin(), image.affine[:3, 3], atol=1e-3)
    return Volume(values, image.affine)
