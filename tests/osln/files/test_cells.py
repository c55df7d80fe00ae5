"""Names as cells."""

import pytest

from osln.files.cells import cell


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)", " =1", "\t=1"])
def test_a_name_is_no_formula(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["phantom-01", "a=b", "", "Müller"])
def test_other_names_stay(text):
    assert cell(text) == text
