"""Files come into memory in parts, and no further than one byte beyond what was promised."""

import gzip
import io

import pytest
from isal import igzip

from osln.files import unpacking
from osln.files.unpacking import unpack


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(unpacking, "PART", 4)


@pytest.mark.parametrize(("size", "expected"), [(10, b"0123456789"), (12, b"0123456789"), (6, b"0123456")])
def test_a_file_is_read_to_its_end_or_a_byte_beyond_what_is_expected(size, expected):
    assert unpack(io.BytesIO(b"0123456789"), size).tobytes() == expected


def test_what_was_read_before_stands_first():
    file = io.BytesIO(b"0123456789")
    head = file.read(3)

    assert unpack(file, 10, head).tobytes() == b"0123456789"


def test_a_head_that_is_longer_than_expected_stays_whole():
    assert unpack(io.BytesIO(b""), 2, b"01234").tobytes() == b"01234"


def test_a_damaged_file_is_refused():
    packed = bytearray(gzip.compress(b"0123456789" * 10))
    packed[-8] ^= 1

    with pytest.raises(ValueError, match=r"it is damaged .*; copy it again"):
        unpack(igzip.GzipFile(fileobj=io.BytesIO(packed)), 100)
