import csv
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osln.evaluation.csv_table import read_patients, read_table

NAMES = {"patient": ("patient", "seriesuid"), "score": ("score", "probability")}


def written(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_any_of_their_names_and_others_are_told(tmp_path):
    path = written(tmp_path, "SeriesUID, Probability ,class\na,0.5,1\n\nb,1e-3,0\n")
    table = read_table(path, NAMES, ("patient", "score"))
    assert [(row.text("patient"), row.number("score")) for row in table.rows] == [("a", 0.5), ("b", 0.001)]
    assert table.note(path) == ["table.csv: columns class were not used"]
    assert [row.place for row in table.rows] == ["table.csv, line 2", "table.csv, line 4"]


@pytest.mark.parametrize("sign", ["\t", ";"])
def test_tabs_and_semicolons_part_cells_where_there_is_no_comma(tmp_path, sign):
    table = read_table(written(tmp_path, f"patient{sign}score\na{sign}0.5\n"), NAMES, ("patient", "score"))
    assert [(row.text("patient"), row.number("score")) for row in table.rows] == [("a", 0.5)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfpatient,score\na,1\n")
    assert read_table(path, NAMES, ("patient",)).columns == {"patient", "score"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("name,score\na,1\n", "no column for patient: expected one of patient, seriesuid, found name, score"),
        ("patient,score,probability\na,1,1\n", "several columns for score"),
        ("patient,score\na,0,5\n", "line 2: 3 cells under 2 columns"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_words(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read_table(written(tmp_path, text), NAMES, ("patient", "score"))


@pytest.mark.parametrize("cell", ["nan", "inf", "", "high", "0;5"])
def test_a_cell_that_is_no_finite_number_is_refused_with_its_line(tmp_path, cell):
    table = read_table(written(tmp_path, f"patient,score\na,1\nb,{cell}\n"), NAMES, ("patient", "score"))
    with pytest.raises(ValueError, match="line 3: score is"):
        table.rows[1].number("score")


def test_a_line_without_a_patient_is_refused_with_its_line(tmp_path):
    table = read_table(written(tmp_path, "patient,score\n,1\n"), NAMES, ("patient", "score"))
    with pytest.raises(ValueError, match="line 2: no patient"):
        table.rows[0].text("patient")


def test_a_missing_file_is_refused_in_words(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*none.csv: expected CSV"):
        read_table(tmp_path / "none.csv", NAMES, ())
    with pytest.raises(ValueError, match="cannot be read"):
        read_patients(tmp_path / "none.csv")


def test_a_list_of_patients_may_have_a_header_and_no_repeats(tmp_path):
    assert read_patients(written(tmp_path, "seriesuid\n1.2\n1.3\n")) == ["1.2", "1.3"]
    assert read_patients(written(tmp_path, "1.2\n\n1.3\n")) == ["1.2", "1.3"]
    with pytest.raises(ValueError, match=r"names 1\.2 twice"):
        read_patients(written(tmp_path, "1.2\n1.3\n1.2\n"))
    with pytest.raises(ValueError, match="names no patient"):
        read_patients(written(tmp_path, "patient\n"))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters='",;\t\r\n'), max_size=8)


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200) | st.text(alphabet='patientscore,;\t"\r\n\x00é1.e-', max_size=200).map(str.encode)
)
def test_any_bytes_are_a_table_or_a_refusal(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(b"patient,score\n" + data)
    try:
        table = read_table(path, NAMES, ("patient", "score"))
    except ValueError as error:
        assert "table.csv" in str(error)
        return
    for row in table.rows:
        assert row.cells.keys() == {"patient", "score"}
        try:
            assert math.isfinite(row.number("score"))
        except ValueError as error:
            assert row.place in str(error)


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELLS.map(str.strip).filter(bool), st.floats(allow_nan=False, allow_infinity=False)))
)
def test_what_a_csv_writer_wrote_comes_back(tmp_path, lines):
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "score"), *lines])
    table = read_table(path, NAMES, ("patient", "score"))
    assert [(row.text("patient"), row.number("score")) for row in table.rows] == lines
