"""What the measurement of fusions keeps: a case of another store, or of other files, is another case."""

from benchmarks.fusion import marks, short_key
from osln.store.layout import companions


def test_cases_of_one_name_in_two_stores_are_kept_apart(tmp_path):
    keys = set()
    for store in ("planted", "fine"):
        (tmp_path / store / "truth").mkdir(parents=True)
        for place in (".", "truth"):
            (tmp_path / store / place / "phantom-01.nii.gz").write_bytes(b"voxels")
        keys.add(short_key(marks(companions(tmp_path / store, "phantom-01"))))
    (tmp_path / "fine" / "truth" / "phantom-01.nii.gz").write_bytes(b"other voxels")
    keys.add(short_key(marks(companions(tmp_path / "fine", "phantom-01"))))
    assert len(keys) == 3
