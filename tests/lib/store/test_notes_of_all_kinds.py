"""Notes that the store takes can be written as JSON, by every program that reads JSON, and read back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.store.cases import checked_notes

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
NOTES = st.dictionaries(
    st.sampled_from(["client_id", "label_info", "strategy", "path", "id"]) | st.text(), VALUES
)


@settings(derandomize=True, deadline=None)
@given(NOTES | VALUES)
def test_notes_are_plain_json_or_refused(notes):
    try:
        taken = checked_notes(notes)
    except ValueError as error:
        assert str(error)
        return
    # As the index is written: strict JSON in UTF-8.
    assert json.loads(json.dumps(taken, allow_nan=False)) == notes
    json.dumps(taken, allow_nan=False, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("levels", [900, 20_000])
def test_notes_without_end_are_refused(levels):
    notes = {}
    for _ in range(levels):
        notes = {"a": notes}
    with pytest.raises(ValueError):
        checked_notes(notes)
