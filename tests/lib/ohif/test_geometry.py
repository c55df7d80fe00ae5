"""Label maps between files and the viewer (`lib/ohif/geometry.js`), run by Node.js."""

import json

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.labelmaps import read_label_file
from small import ohif_scripts

SIZE = (3, 4, 2)
"""Of the file: all three differ, so that no exchange of axes goes unnoticed."""
VALUES = np.arange(1, 25, dtype=np.uint8).reshape(SIZE, order="F")
AXES = [[2.0, 0.0, 0.0], [0.0, 2.5, 0.0], [0.0, 0.0, 3.0]]
FILE = {"size": list(SIZE), "origin": [10.0, -20.0, 30.0], "axes": AXES}


def run(script):
    """What a script returns that knows the functions of geometry.js."""
    return ohif_scripts.run("geometry", script)


def moved(target):
    """The values of the file's label map in the voxel order of another grid, or the sentence of a refusal."""
    values = VALUES.ravel(order="F").tolist()
    found = run(f"return [...onGrid({values}, {json.dumps(FILE)}, {json.dumps(target)})]")
    return found if isinstance(found, str) else np.reshape(found, target["size"], order="F")


def test_same_grid_leaves_the_values():
    np.testing.assert_array_equal(moved(FILE), VALUES)


def test_mirrored_and_exchanged_axes_keep_every_voxel_at_its_place():
    # i runs along -z, j along x, k along -y, from the corner with the highest z and y.
    target = {
        "size": [2, 3, 4],
        "origin": [10.0, -20.0 + 3 * 2.5, 30.0 + 3.0],
        "axes": [[0.0, 0.0, -3.0], [2.0, 0.0, 0.0], [0.0, -2.5, 0.0]],
    }

    np.testing.assert_array_equal(moved(target), VALUES[:, ::-1, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({**FILE, "origin": [10.0, -20.0, 33.0]}, "does not begin at the corner of this CT"),
        ({**FILE, "origin": [10.5, -20.0, 30.0]}, "does not begin at the corner of this CT"),
        ({**FILE, "axes": [*AXES[:2], [0.0, 0.0, 3.5]]}, "does not lie on the voxels of this CT (axis 3)"),
        ({**FILE, "size": [3, 4, 3]}, "does not lie on the voxels of this CT (axis 3)"),
        ({**FILE, "axes": [*AXES[:2], [0.0, 0.0, -3.0]]}, "does not begin at the corner of this CT"),
    ],
)
def test_another_grid_is_refused(target, said):
    found = moved(target)

    assert isinstance(found, str) and said in found


def test_file_for_the_server_is_read_back_and_is_what_the_server_reads(tmp_path):
    values = VALUES.ravel(order="F").tolist()
    script = (
        f"const file = writeNrrd(Uint8Array.from({values}), {json.dumps(FILE)});"
        "const buffer = await file.arrayBuffer(); const { labels, grid } = readNrrd(buffer);"
        "return { bytes: [...new Uint8Array(buffer)], labels: [...labels], grid }"
    )
    made = run(script)

    assert made["labels"] == values
    assert made["grid"] == FILE
    (tmp_path / "label.nrrd").write_bytes(bytes(made["bytes"]))
    # RAS: x and y of the patient run the other way.
    affine = np.diag([-2.0, -2.5, 3.0, 1.0])
    affine[:3, 3] = [-10.0, 20.0, 30.0]
    read = read_label_file(tmp_path / "label.nrrd", Grid(SIZE, affine))
    np.testing.assert_array_equal(read.layers[0], VALUES)


def test_compressed_file_is_refused():
    header = "NRRD0004\\ntype: uint8\\nencoding: gzip\\nspace: left-posterior-superior\\n\\n"

    said = run(f"return readNrrd(new TextEncoder().encode('{header}').buffer)")

    assert said == "expected an uncompressed NRRD label map of one or two bytes a voxel"
