"""DeepLesion's files become the tagger's input, with values that can be computed by hand."""

import numpy as np
import pytest
import SimpleITK as sitk

from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.deeplesion import DeepLesion, LesionRow
from osln.tagging.ontology import Ontology, read_ontology
from small.deeplesion import HEADER, info_row, write_info, write_labels, write_png
from small.reference_data import reference_folder

LUNG, CHEST, LIVER, CYST = (TAG_INDEX[name] for name in ("lung", "chest", "liver", "cyst"))


def small_ontology() -> Ontology:
    """Lung implies chest; chest and lung exclude liver."""
    implied = np.eye(len(TAG_NAMES), dtype=bool)
    implied[LUNG, CHEST] = True
    exclusive = np.zeros_like(implied)
    for a in (LUNG, CHEST):
        exclusive[a, LIVER] = exclusive[LIVER, a] = True
    return Ontology(implied, exclusive)


def data_set(root) -> DeepLesion:
    return DeepLesion(root / "DL_info.csv", root / "Images_png", root / "labels.json", small_ontology())


def gray(hu: float) -> float:
    """Value of the tagger's input where the CT has these HU."""
    return ((hu + 1024) / 4095 * 255 - 50) / 255


def one_series(root, hu_by_slice: dict[int, float], slice_mm: float) -> LesionRow:
    for number, hu in hu_by_slice.items():
        write_png(root / "Images_png" / "000003_01_02" / f"{number:03d}.png", np.full((40, 50), hu))
    write_info(
        root / "DL_info.csv",
        [info_row("000003_01_02", 12, (10.0, 12.0, 30.0, 26.0), (0.5, 0.5, slice_mm))],
    )
    return data_set(root).rows[0]


def test_a_row_says_where_the_slices_lie_and_how_large_they_are(tmp_path):
    assert one_series(tmp_path, {12: 0}, 5.0) == LesionRow(
        "3", "000003_01_02", 12, (10.0, 12.0, 30.0, 26.0), (0.5, 0.5, 5.0)
    )


def test_channels_are_2_mm_apart_between_stored_slices(tmp_path):
    row = one_series(tmp_path, {11: 0, 12: 100, 13: 300}, 5.0)
    image, box = data_set(tmp_path).patch(row)
    # 2 of 5 mm towards each neighbor: 100 - .4 * 100 and 100 + .4 * 200.
    for channel, hu in enumerate((60, 100, 180)):
        np.testing.assert_allclose(image[channel], gray(hu), atol=1e-5)
    # The box is 5..15, 6..13 mm; its center (10, 9.5) rounds to (10, 10).
    np.testing.assert_allclose(box, [55, 56, 65, 63])


def test_with_1_mm_slices_the_channels_are_stored_slices(tmp_path):
    row = one_series(tmp_path, {10: -100, 11: 7, 12: 20, 13: 7, 14: 400}, 1.0)
    image, _ = data_set(tmp_path).patch(row)
    np.testing.assert_allclose(image[:, 60, 60], [gray(-100), gray(20), gray(400)], atol=1e-5)


def test_missing_neighbors_repeat_the_last_slice_that_is_there(tmp_path):
    row = one_series(tmp_path, {12: 20, 14: 400}, 1.0)
    image, _ = data_set(tmp_path).patch(row)
    np.testing.assert_allclose(image[:, 60, 60], gray(20), atol=1e-5)


def test_rows_and_columns_keep_their_direction(tmp_path):
    row = one_series(tmp_path, {}, 5.0)
    hu = np.zeros((40, 50))
    hu[:10] = 500
    hu[:, :8] = -500
    write_png(tmp_path / "Images_png" / "000003_01_02" / "012.png", hu)
    image, _ = data_set(tmp_path).patch(row)
    # The center (10, 10) mm is pixel (60, 60): 9 mm higher and 9 mm further left are rows and columns near 0.
    assert image[1, 51, 70] == pytest.approx(gray(500), abs=1e-5)
    assert image[1, 70, 51] == pytest.approx(gray(-500), abs=1e-5)


def lesions_of(root, relevant: list[int], uncertain: list[int]):
    one_series(root, {12: 0}, 5.0)
    write_labels(root / "labels.json", train=[(0, relevant, uncertain)])
    return list(data_set(root).lesions("train"))


def test_labels_are_expanded_and_exclusions_are_reliable(tmp_path):
    (lesion,) = lesions_of(tmp_path, [LUNG, LUNG], [CYST])
    assert lesion.case == "3"
    assert set(np.flatnonzero(lesion.labels)) == {LUNG, CHEST}
    assert set(np.flatnonzero(~lesion.certain)) == {CYST}
    assert set(np.flatnonzero(lesion.reliable)) == {LUNG, CHEST, LIVER}


def test_what_an_uncertain_tag_implies_is_uncertain_unless_it_is_a_label(tmp_path):
    (lesion,) = lesions_of(tmp_path, [], [LUNG])
    assert set(np.flatnonzero(~lesion.certain)) == {LUNG, CHEST} and not lesion.labels.any()
    (lesion,) = lesions_of(tmp_path, [CHEST], [LUNG])
    assert set(np.flatnonzero(~lesion.certain)) == {LUNG} and set(np.flatnonzero(lesion.labels)) == {CHEST}


def test_lesions_whose_slices_were_not_downloaded_are_left_out(tmp_path):
    one_series(tmp_path, {12: 0}, 5.0)
    rows = [
        info_row("000009_01_01", 3, (1, 1, 5, 5), (1, 1, 1)),
        info_row("000003_01_02", 12, (1, 1, 5, 5), (1, 1, 1)),
    ]
    write_info(tmp_path / "DL_info.csv", rows)
    write_labels(tmp_path / "labels.json", train=[(0, [LUNG], []), (1, [CYST], [])], val=[(0, [], [])])
    data = data_set(tmp_path)
    assert data.indices("train") == [1] and data.count("train") == 2
    (lesion,) = data.lesions("train")
    assert set(np.flatnonzero(lesion.labels)) == {CYST}
    with pytest.raises(ValueError, match="none of the 1 lesions of split val has its key slice below"):
        list(data.lesions("val"))


def test_damaged_files_are_refused_in_words(tmp_path):
    row = one_series(tmp_path, {12: 0}, 5.0)
    data = data_set(tmp_path)
    with pytest.raises(ValueError, match=r"label file .*labels\.json cannot be read"):
        data.indices("train")
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(ValueError, match="has no term_list, train_lesion_idxs"):
        data.indices("train")
    write_labels(tmp_path / "labels.json", train=[(5, [], [])])
    with pytest.raises(ValueError, match=r"names lesion 5, but DL_info\.csv has 1 rows"):
        data_set(tmp_path).indices("train")
    text = (tmp_path / "labels.json").read_text().replace('"lung"', '"lungs"')
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match="lists other tags than the 171 of LesaNet"):
        data_set(tmp_path).indices("train")
    with pytest.raises(ValueError, match="unknown split 'validation'"):
        data.indices("validation")
    png = tmp_path / "Images_png" / "000003_01_02" / "012.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(png))
    with pytest.raises(ValueError, match="expected 16-bit gray values, got uint8"):
        data.patch(row)
    png.write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be read as a PNG: download it again"):
        data.patch(row)


@pytest.mark.parametrize(
    ("column", "value"),
    [("Bounding_boxes", "1, 2, 3"), ("Spacing_mm_px_", "0.8, 0.8, 0"), ("Key_slice_index", "x")],
)
def test_a_row_with_wrong_numbers_is_named(tmp_path, column, value):
    good = info_row("000001_01_01", 3, (1, 1, 5, 5), (1, 1, 1))
    write_info(tmp_path / "DL_info.csv", [good, good | {column: value}])
    with pytest.raises(ValueError, match=r"DL_info\.csv, lesion 1: "):
        data_set(tmp_path).rows  # noqa: B018


def test_another_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*DL_info\.csv"):
        data_set(tmp_path).rows  # noqa: B018
    (tmp_path / "DL_info.csv").write_text(",".join(HEADER[1:]) + "\n")
    with pytest.raises(ValueError, match="has no column File_name"):
        data_set(tmp_path).rows  # noqa: B018


def test_the_distributed_labels_fit_their_ontology(tmp_path):
    """No lesion of the distributed label file has tags that exclude what they imply."""
    folder = reference_folder("lesanet-labels")
    ontology = read_ontology(folder / "lesion_ontology_181022.xlsx")
    labels = folder / "text_mined_labels_171_and_split.json"
    data = DeepLesion(tmp_path / "DL_info.csv", tmp_path, labels, ontology)
    assert [data.count(split) for split in ("train", "val", "test")] == [20266, 1976, 1879]
    write_info(tmp_path / "DL_info.csv", [info_row("000001_01_01", 1, (1, 1, 5, 5), (1, 1, 1))] * 32735)
    write_png(tmp_path / "000001_01_01" / "001.png", np.zeros((8, 8)))
    lesion = next(data.lesions("train"))
    assert lesion.labels.any() and not (lesion.labels & ontology.excluded(lesion.labels[None])[0]).any()
