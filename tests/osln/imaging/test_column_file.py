"""A column is read as it was written; what cannot be read is named."""

from dataclasses import replace

import numpy as np
import pytest

from osln.imaging.column_file import load_column, save_column
from small.columns import small_column

ARRAYS = ("ct_hu", "pet_suv", "distance_mm", "nodes", "body")


@pytest.mark.parametrize("complete", [True, False])
def test_a_column_is_read_as_it_was_written(tmp_path, complete):
    column = replace(
        small_column(0, pet=complete, tumor=complete), outside_mm=(30.5, 80.0), prefiltered=complete
    )
    save_column(tmp_path / "new" / "a.npz", column, {"findings": [{"kind": "node"}]})
    again, more = load_column(tmp_path / "new" / "a.npz")
    assert again.case == column.case and again.grid.matches(column.grid) and again.tumor is None
    for name in ARRAYS:
        ours, theirs = getattr(column, name), getattr(again, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert again.outside_mm == (30.5, 80.0) and again.prefiltered is complete
    assert more == {"findings": [{"kind": "node"}]}


def test_a_damaged_file_is_named_with_the_way_out(tmp_path):
    save_column(tmp_path / "a.npz", small_column(0))
    whole = (tmp_path / "a.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"column"):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.npz cannot be read .* delete it"):
            load_column(tmp_path / "a.npz")
