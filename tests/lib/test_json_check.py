"""JSON that the server could not write again is refused with a sentence."""

import pytest

from lib.json_check import DEEPEST, LONGEST, check_json, read_json
from lib.store.cases import checked_notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "must be JSON in UTF-8"),
        (b'{"a": "\xff"}', "must be JSON in UTF-8"),
        ('{"a": NaN}', "nan, which is no number"),
        ('{"a": [-Infinity]}', "-inf, which is no number"),
        ('{"a": 1e999}', "inf, which is no number"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        (f'{{"a": {2**63}}}', "more than 64 bits"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), f"nested more than {DEEPEST} deep"),
        ("[" * 100_000, "nested more than|must be JSON"),
        (f'"{"x" * LONGEST}"', f"at most {LONGEST} are taken"),
    ],
)
def test_what_cannot_be_written_again_is_refused_in_words(text, said):
    with pytest.raises(ValueError, match=said):
        read_json(text, "params")


def test_what_can_be_written_again_is_taken_as_it_is():
    value = {"a": [1, -1.5, True, None, "Lymphknoten \U0001fac1"], "b": {"c": 2**63 - 1}}
    assert check_json(value, "a note") is value
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert read_json(deep, "a note") is not None


@pytest.mark.parametrize(
    "notes",
    [
        [],
        {"a": float("nan")},
        {"strategy": "random"},
        {"strategy": {"random": 1}},
        {"strategy": {"random": {"ts": "now"}}},
        {"strategy": {"random": {"ts": -1.7e308}}},
        {"id": "another case"},
        {"checksum": "SHA256:0"},
    ],
)
def test_notes_that_would_break_the_next_listing_or_case_are_refused(notes):
    with pytest.raises(ValueError):
        checked_notes(notes)


def test_what_the_server_notes_itself_is_taken():
    notes = {"strategy": {"random": {"ts": 1700000000, "client_id": None}}, "ts": 1, "name": "one.nii.gz"}
    assert checked_notes(notes) == notes
